"""sched_ext's files and loaders, with a directory in the place of the kernel's, and scripts as loaders."""

import os
import subprocess
import sys
import threading

import pytest
from fake_sched_ext import attaches, attaching, made_sysfs
from scheduled import is_running
from waiting import eventually

from schedtel.errors import CapabilityError, CollectorError, UsageError
from schedtel.host.sched_ext import State, read_state
from schedtel.schedulers import sched_ext
from schedtel.schedulers.changes import undo
from schedtel.schedulers.sched_ext import Attached, Loader, find_loader

#: What a loader makes the kernel show: it attaches, and detaches when it is told to end.
ATTACHES = attaches("{sysfs}", "${{OPS:-fake_1.2}}")


@pytest.fixture
def sysfs(tmp_path):
    """A kernel with sched_ext, and no scheduler attached."""
    return made_sysfs(tmp_path, 7)


@pytest.fixture
def attached(sysfs):
    """Attach a scheduler by a script; its process is ended afterwards."""
    with attaching(sysfs) as attach:
        yield lambda script=ATTACHES, ops="fake", timeout_s=30.0: attach(
            Loader(("sh", "-c", script.format(sysfs=sysfs)), ops), timeout_s
        )


def children():
    listing = f"/proc/self/task/{threading.get_native_id()}/children"
    with open(listing) as file:
        return file.read().split()


def test_a_scheduler_is_attached_and_detached(attached, sysfs):
    scheduler = attached()
    assert read_state(sysfs) == State("enabled", "fake_1.2", 8)
    assert scheduler.problem() is None
    scheduler.detach()
    assert read_state(sysfs) == State("disabled", None, 8)
    assert not {str(pid) for pid in scheduler.pids} & set(children())


def test_a_kernel_without_sched_ext_is_refused(attached, sysfs):
    for path in sysfs.iterdir():
        path.unlink()
    with pytest.raises(CapabilityError, match="built without CONFIG_SCHED_CLASS_EXT"):
        attached()


def test_anothers_scheduler_is_left_alone(attached, sysfs):
    (sysfs / "root").mkdir()
    (sysfs / "root" / "ops").write_text("theirs\n")
    (sysfs / "state").write_text("enabled\n")
    before = children()
    with pytest.raises(CapabilityError, match=r"theirs is attached.*EBUSY"):
        attached()
    assert children() == before
    assert read_state(sysfs) == State("enabled", "theirs", 7)


def test_another_that_was_quicker_is_told(attached, sysfs):
    quicker = "cd {sysfs}; mkdir root; echo theirs > root/ops; echo enabled > state; echo busy >&2; exit 1"
    with pytest.raises(CapabilityError, match=r"theirs is attached.*EBUSY"):
        attached(quicker)


def test_one_that_is_about_to_go_is_waited_for(attached, sysfs):
    (sysfs / "state").write_text("disabling\n")
    timer = threading.Timer(0.2, (sysfs / "state").write_text, ["disabled\n"])
    timer.start()
    assert attached().problem() is None
    timer.join()


def test_a_loader_that_fails_is_told_with_its_last_line(attached):
    with pytest.raises(CollectorError, match=r"ended with status 3 \(bpf: verifier says no\)"):
        attached("echo first >&2; echo 'bpf: verifier says no' >&2; exit 3")


def test_a_loader_that_attaches_nothing_is_ended_in_time(attached):
    before = children()
    with pytest.raises(CollectorError, match="it was not enabled in time"):
        attached("exec sleep 60", timeout_s=0.3)
    assert children() == before


def test_one_that_is_disabled_at_once_is_not_waited_for(attached):
    """The kernel tells its loader nothing: that goes on."""
    goes = "cd {sysfs}; echo enabled > state; echo 8 > enable_seq; echo disabled > state; exec sleep 60"
    with pytest.raises(CollectorError, match="the kernel has disabled it at once"):
        attached(goes)


def test_one_with_another_name_than_it_should_have_is_not_waited_for(attached, sysfs):
    with pytest.raises(CapabilityError, match="liar is attached"):
        attached(f"OPS=liar; {ATTACHES}")
    assert read_state(sysfs).state == "disabled"


def test_an_older_attach_of_the_same_name_is_not_taken_for_ours(attached):
    """enable_seq has not risen: what is shown was there before."""
    with pytest.raises(CollectorError, match="it was not enabled in time"):
        attached(ATTACHES.replace("+ 1", "+ 0"), timeout_s=0.5)


def test_an_ejection_is_noticed(attached, sysfs):
    scheduler = attached()
    (sysfs / "state").write_text("disabled\n")
    assert scheduler.problem() == "fake was ejected: the kernel is back to EEVDF (fake: scheduling)"


def test_the_end_of_a_loader_and_anothers_attach_are_noticed(attached, sysfs):
    scheduler = attached()
    (sysfs / "enable_seq").write_text("9")
    assert scheduler.problem() == "fake_1.2 was attached in the place of fake (fake: scheduling)"
    (sysfs / "enable_seq").write_text("8")
    (pid,) = scheduler.pids
    os.kill(pid, 9)
    eventually(lambda: scheduler.problem() is not None)
    assert scheduler.problem().startswith("the loader of fake has ended")


def test_its_journal_ends_it(sysfs):
    noted = []
    scheduler = Attached(Loader(("sh", "-c", ATTACHES.format(sysfs=sysfs)), "fake"), sysfs)
    scheduler.attach(noted.append)
    assert undo(noted) == []
    assert scheduler._process.wait(30) == -9


#: One that waits: it says that it has loaded, and attaches when a byte comes; its end of input says never.
WAITS = 'echo loading > {sysfs}/loading; printf l; got=$(head -c 1); [ "$got" = a ] || exit 4' + ATTACHES


@pytest.fixture
def waiting(sysfs):
    """Prepare a loader that waits."""
    made = []

    def prepare(script=WAITS, timeout_s=30.0):
        loader = Loader(("sh", "-c", script.format(sysfs=sysfs)), "fake", waits=True)
        made.append(Attached(loader, sysfs, timeout_s))
        return made[-1]

    yield prepare
    for one in made:
        (sysfs / "state").write_text("disabled\n")
        one.detach()


def test_one_that_waits_has_loaded_before_and_attaches_when_it_is_told(waiting, sysfs):
    (sysfs / "root").mkdir()
    (sysfs / "root" / "ops").write_text("other\n")
    (sysfs / "state").write_text("enabled\n")
    scheduler = waiting()
    assert (sysfs / "loading").exists()
    assert read_state(sysfs) == State("enabled", "other", 7), "the other one runs until then"
    (sysfs / "state").write_text("disabled\n")
    scheduler.attach()
    assert read_state(sysfs) == State("enabled", "fake_1.2", 8)


def test_one_that_waits_ends_when_it_is_no_longer_wanted(waiting, sysfs):
    """One of the same name that runs meanwhile is not waited for."""
    (sysfs / "root").mkdir()
    (sysfs / "root" / "ops").write_text("fake\n")
    (sysfs / "state").write_text("enabled\n")
    scheduler = waiting()
    (pid,) = scheduler.pids
    assert is_running(pid)
    scheduler.detach()
    assert not is_running(pid)
    assert read_state(sysfs) == State("enabled", "fake", 7)


def test_one_that_cannot_load_is_told_with_its_last_line(waiting):
    before = children()
    with pytest.raises(CollectorError, match=r"cannot load fake: its loader ended with status 5 \(no such kfunc\)"):
        waiting("echo no such kfunc >&2; exit 5")
    with pytest.raises(CollectorError, match="cannot load fake: it was not loaded in time"):
        waiting("exec sleep 60", timeout_s=0.3)
    assert children() == before


def test_an_object_is_attached_by_a_loader_that_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(sched_ext, "OBJECTS", tmp_path)
    (tmp_path / "ours.bpf.o").write_bytes(b"")
    monkeypatch.setenv("PATH", "/no/such/place")
    loader = find_loader("ours", {}, 1234)
    assert (loader.ops, loader.waits, sched_ext.installed()) == ("ours", True, ["ours"])
    assert loader.command[-4:] == ("--wait", "--timeout-ms", "1234", str(tmp_path / "ours.bpf.o"))


def test_a_loader_dies_with_its_parent(sysfs):
    """SIGKILL leaves the parent no time to do anything."""
    script = (
        "import sys, time; from pathlib import Path; from schedtel.schedulers.sched_ext import Attached, Loader\n"
        "scheduler = Attached(Loader(('sh', '-c', sys.argv[2]), 'fake'), Path(sys.argv[1]))\n"
        "scheduler.attach(); print(*scheduler.pids, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(sysfs), ATTACHES.format(sysfs=sysfs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        loader = int(parent.stdout.readline())
        assert is_running(loader)
        parent.kill()
    eventually(lambda: not is_running(loader))


def test_a_loader_is_the_callers_or_a_program_on_the_path(tmp_path, monkeypatch):
    for name in ("scx_simple", "scx_loader"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "scx_text").write_text("no program")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert sched_ext.installed() == ["simple"]
    assert find_loader("simple", {}) == Loader(("scx_simple",), "simple")
    own = Loader(("sh", "-c", "exit"), "simple")
    assert find_loader("simple-fifo", {"simple-fifo": own}) == own
    with pytest.raises(UsageError, match=r"did you mean 'simple'\?"):
        find_loader("simpel", {})
