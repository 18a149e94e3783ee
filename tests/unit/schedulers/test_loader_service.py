"""Arms of the kind loader: against a service org.scx.Loader on a bus of the test's own; a directory is the kernel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_sched_ext import made_sysfs
from waiting import eventually

from schedtel.errors import CapabilityError, CollectorError, UsageError
from schedtel.schedulers.switching import Schedulers

pytest.importorskip("jeepney", reason="jeepney is not installed (pip install 'schedtel[loader]')")

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
SERVICE = Path(__file__).parents[2] / "support" / "loader_here.py"
#: Switches, says so, and waits for the signal that no program sees.
SWITCHER = """
import sys, time
from pathlib import Path
from schedtel.schedulers.switching import Schedulers
with Schedulers(sysfs=Path(sys.argv[1]), journals=Path(sys.argv[2])) as schedulers:
    schedulers.switch(sys.argv[3])
    print("switched", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def bus(tmp_path_factory):
    """The address of a bus of the test's own."""
    program = shutil.which("dbus-daemon")
    if program is None:
        pytest.skip("dbus-daemon is not installed (apt install dbus-daemon)")
    folder = tmp_path_factory.mktemp("bus")
    (folder / "bus.conf").write_text(CONFIG.format(socket=folder / "socket"))
    command = [program, f"--config-file={folder}/bus.conf", "--nofork", "--nopidfile", "--print-address"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        yield daemon.stdout.readline().strip()
        daemon.terminate()


@pytest.fixture
def sysfs(tmp_path):
    """A kernel with sched_ext, and no scheduler attached."""
    return made_sysfs(tmp_path, 7)


@pytest.fixture
def serve(bus, sysfs, tmp_path, monkeypatch):
    """Start the service with options; returns a function that says which calls have changed something."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus)
    calls, processes = tmp_path / "calls", []

    def begin(*options):
        command = [sys.executable, str(SERVICE), str(sysfs), str(calls), *options]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout.readline() == "serving\n"
        return lambda: calls.read_text().splitlines() if calls.exists() else []

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def schedulers(sysfs, tmp_path):
    with Schedulers(sysfs=sysfs, journals=tmp_path / "journals") as made:
        yield made


def state(sysfs):
    return (sysfs / "state").read_text().strip()


def ops(sysfs):
    return (sysfs / "root" / "ops").read_text().strip()


def test_the_service_runs_the_scheduler_in_its_mode_and_then_nothing(serve, schedulers, sysfs):
    calls = serve()
    switched = schedulers.switch("loader:bpfland:lowlatency")
    assert (state(sysfs), ops(sysfs)) == ("enabled", "bpfland_1.0.20_x86_64")
    assert (schedulers.current().scheduler, schedulers.problem()) == ("bpfland_1.0.20_x86_64", None)
    assert switched == 1
    assert switched.attach_ns > 0
    schedulers.restore()
    assert state(sysfs) == "disabled"
    assert calls() == ["StartScheduler scx_bpfland 3", "StopScheduler"]


def test_each_switch_ends_what_was_before(serve, schedulers, sysfs):
    calls = serve()
    schedulers.switch("loader:bpfland")
    schedulers.switch("loader:lavd:gaming")
    assert ops(sysfs).startswith("lavd_")
    schedulers.switch("eevdf")
    assert state(sysfs) == "disabled"
    assert calls() == ["StartScheduler scx_bpfland 0", "StopScheduler", "StartScheduler scx_lavd 1", "StopScheduler"]


@pytest.mark.parametrize("age", [[], ["--old"]])
def test_what_the_service_ran_before_comes_back(serve, schedulers, sysfs, age):
    calls = serve("--default", "scx_rusty", *age)
    eventually(lambda: state(sysfs) == "enabled")
    schedulers.switch("loader:bpfland")
    assert ops(sysfs).startswith("bpfland_")
    with pytest.raises(CapabilityError, match=r"cannot switch to eevdf: rusty_1.0.20_x86_64 is attached"):
        schedulers.switch("eevdf")
    assert ops(sysfs).startswith("rusty_")
    assert calls() == ["SwitchScheduler scx_bpfland 0", "SwitchScheduler scx_rusty 0"]


def test_its_own_arguments_come_back_as_well(serve, schedulers, sysfs):
    calls = serve()
    ask("SwitchSchedulerWithArgs", "string:scx_lavd", "array:string:--performance,--verbose")
    eventually(lambda: state(sysfs) == "enabled")
    schedulers.switch("loader:bpfland")
    schedulers.restore()
    with_arguments = "SwitchSchedulerWithArgs scx_lavd ['--performance', '--verbose']"
    assert calls() == [with_arguments, "SwitchScheduler scx_bpfland 0", with_arguments]


def test_what_somebody_has_asked_for_since_is_theirs(serve, schedulers, sysfs):
    calls = serve()
    schedulers.switch("loader:bpfland")
    ask("SwitchScheduler", "string:scx_rusty", "uint32:2")
    eventually(lambda: (state(sysfs), (sysfs / "enable_seq").read_text()) == ("enabled", "9\n"))
    assert schedulers.problem().startswith("rusty_1.0.20_x86_64 was attached in the place of bpfland")
    schedulers.restore()
    assert state(sysfs) == "enabled"
    assert calls() == ["StartScheduler scx_bpfland 0", "SwitchScheduler scx_rusty 2"]


@pytest.mark.parametrize("before", [[], ["--default", "scx_rusty"]])
def test_a_kill_leaves_what_was_before(serve, sysfs, tmp_path, before):
    calls = serve(*before)
    eventually(lambda: (state(sysfs) == "enabled") is bool(before))
    command = [sys.executable, "-c", SWITCHER, str(sysfs), str(tmp_path / "journals"), "loader:bpfland"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "switched\n"
        assert ops(sysfs).startswith("bpfland_")
        process.kill()
    last = "SwitchScheduler scx_rusty 0" if before else "StopScheduler"
    eventually(lambda: calls()[1:] == [last])
    eventually(lambda: not (tmp_path / "journals").exists())
    eventually(lambda: state(sysfs) == ("enabled" if before else "disabled"))


def test_an_ejection_is_noticed_and_the_service_told_to_stop(serve, schedulers, sysfs):
    calls = serve()
    schedulers.switch("loader:bpfland")
    (sysfs / "state").write_text("disabled\n")
    assert schedulers.problem().startswith("bpfland was ejected: the kernel is back to EEVDF (")
    schedulers.restore()
    assert calls()[1:] == ["StopScheduler"]


REFUSED = {
    "loader:bpflnad": (UsageError, [], r"org.scx.Loader does not have it: did you mean 'bpfland'\?"),
    "loader:lavd": (CapabilityError, ["--rival"], r"scx.service is active, .*\(systemctl stop scx.service\)"),
    "loader:rusty": (CollectorError, ["--refuses"], r"cannot call StartScheduler of org.scx.Loader: Not allowed!"),
}


@pytest.mark.parametrize("arm", REFUSED)
def test_what_cannot_be_had_is_one_line_and_changes_nothing(serve, schedulers, sysfs, tmp_path, arm):
    error, options, says = REFUSED[arm]
    serve(*options)
    with pytest.raises(error, match=says):
        schedulers.switch(arm)
    assert (state(sysfs), (sysfs / "enable_seq").read_text()) == ("disabled", "7\n")


def test_one_that_the_kernel_does_not_show_is_stopped_again(serve, schedulers, sysfs, monkeypatch):
    calls = serve("--idle")
    monkeypatch.setattr("schedtel.schedulers.serviced.PATIENCE_S", 0.3)
    with pytest.raises(CollectorError, match=r"it was not enabled after org.scx.Loader was asked"):
        schedulers.switch("loader:bpfland")
    assert calls() == ["StartScheduler scx_bpfland 0", "StopScheduler"]


def test_a_scheduler_of_another_program_is_left_alone(serve, schedulers, sysfs):
    calls = serve()
    (sysfs / "root").mkdir()
    (sysfs / "root" / "ops").write_text("theirs\n")
    (sysfs / "state").write_text("enabled\n")
    with pytest.raises(CapabilityError, match=r"cannot attach bpfland: theirs is attached.*EBUSY"):
        schedulers.switch("loader:bpfland")
    assert calls() == []


def test_a_bus_without_the_service_is_told(bus, schedulers, monkeypatch):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus)
    with pytest.raises(CapabilityError, match=r"the system's D-Bus has no org.scx.Loader: .*ServiceUnknown"):
        schedulers.switch("loader:bpfland")


@pytest.mark.parametrize("address", ["unix:path=/no/such/socket", "tcp:host=localhost,port=1", "nonsense", "unix:"])
def test_a_bus_that_is_out_of_reach_is_told(schedulers, monkeypatch, address):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    with pytest.raises(CapabilityError, match="cannot reach the system's D-Bus: "):
        schedulers.switch("loader:bpfland")


def test_without_the_library_it_is_told_which_extra_has_it(schedulers, monkeypatch):
    monkeypatch.setitem(sys.modules, "jeepney", None)
    with pytest.raises(CapabilityError, match=r"pip install 'schedtel\[loader\]'"):
        schedulers.switch("loader:bpfland")


def test_the_library_is_not_imported_before_such_an_arm_is_named():
    script = (
        "import sys; from schedtel.schedulers.switching import Schedulers; Schedulers().arms()\n"
        "sys.exit('jeepney' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def ask(method, *arguments):
    """Call the service by dbus-send(1), which is no code of this project."""
    program = shutil.which("dbus-send") or pytest.skip("dbus-send is not installed (apt install dbus-bin)")
    where = ["--dest=org.scx.Loader", "/org/scx/Loader", f"org.scx.Loader.{method}"]
    address = f"--bus={os.environ['DBUS_SYSTEM_BUS_ADDRESS']}"
    subprocess.run([program, address, "--print-reply", *where, *arguments], check=True, stdout=subprocess.DEVNULL)
