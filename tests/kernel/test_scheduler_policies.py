"""Policy arms on the running kernel: what it shows of threads, and what it then gives them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scheduled import (
    BATCH,
    IDLE,
    OTHER,
    RR,
    all_of,
    autogroup_of,
    children_of,
    cpu_ns_of,
    cpu_of,
    nice_of,
    policy_of,
    priority_of,
    slice_ns_of,
    threads_of,
)
from waiting import eventually

from schedtel.errors import CapabilityError, UsageError
from schedtel.host.procfs import tgid_of
from schedtel.schedulers import attributes, knobs, policy, trial
from schedtel.schedulers.selection import Changing
from schedtel.schedulers.switching import Schedulers
from schedtel.schedulers.threads import read_thread

#: Two threads that wait until standard input is closed, then a child of the second one.
FAMILY = """
import os, subprocess, sys, threading
def second():
    sys.stdin.readline()
    subprocess.run(["cat"])
thread = threading.Thread(target=second)
thread.start()
print(flush=True)
thread.join()
"""
#: Arm → what the kernel shows of a thread: policy, nice, priority.
SHOWN = {
    "policy:batch": (BATCH, 0, 0),
    "policy:idle": (IDLE, 0, 0),
    "policy:rr=10": (RR, 0, 10),
    "policy:nice=7": (OTHER, 7, 0),
    "policy:nice=-4": (OTHER, -4, 0),
}


@pytest.fixture
def family():
    """A process with two threads; a line on its standard input has the second one start a child."""
    command = [sys.executable, "-c", FAMILY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        yield process
        process.stdin.close()


@pytest.mark.parametrize("arm", SHOWN)
def test_the_kernel_shows_the_policy_of_every_thread_and_afterwards_the_old_one(family, journals, arm):
    tids = threads_of(family.pid)
    before = [all_of(tid) for tid in tids]
    with Schedulers(f"pid={family.pid}", journals=journals) as schedulers:
        assert schedulers.switch(arm) == len(tids) == 2
        assert [(policy_of(tid), nice_of(tid), priority_of(tid)) for tid in tids] == [SHOWN[arm]] * 2
    assert [all_of(tid) for tid in tids] == before
    assert not journals.exists()


def test_a_slice_is_what_the_kernel_shows(sleeper, journals):
    if slice_ns_of(sleeper) is None:
        pytest.skip("needs a kernel that shows slices in /proc/PID/sched")
    before = all_of(sleeper)
    with Schedulers(f"pid={sleeper}", journals=journals) as schedulers:
        for text, slice_ns in (("0.1ms", 100_000), ("20ms", 20_000_000)):
            schedulers.switch(f"policy:slice={text}")
            assert (policy_of(sleeper), slice_ns_of(sleeper)) == (OTHER, slice_ns)
            assert schedulers.current().threads == {f"other, slice {slice_ns / 1e6:g} ms": 1}
    assert all_of(sleeper) == before


def test_children_and_late_threads_are_of_the_arm_and_of_the_way_back(family, journals):
    with Schedulers(f"pid={family.pid}", journals=journals) as schedulers:
        before = all_of(family.pid)
        schedulers.switch("policy:comm=cat:batch+nice=3")
        family.stdin.write("\n")
        family.stdin.flush()
        eventually(lambda: any(comm_of(pid) == "cat" for pid in grandchildren(family.pid)))
        (child,) = grandchildren(family.pid)
        assert (policy_of(child), nice_of(child)) == (OTHER, 3), "inherited, as its parent is nice"
        schedulers.restore()
        assert all_of(child) == all_of(family.pid) == before
        schedulers.switch("policy:comm=cat:batch")
        assert (policy_of(child), policy_of(family.pid)) == (BATCH, OTHER)


def test_a_rescan_finds_what_got_its_name_later(family, journals):
    with Schedulers(f"pid={family.pid}", journals=journals) as schedulers:
        assert schedulers.switch("policy:comm=cat:batch") == 0
        assert schedulers.rescan() == 0
        family.stdin.write("\n")
        family.stdin.flush()
        eventually(lambda: any(comm_of(pid) == "cat" for pid in grandchildren(family.pid)))
        (child,) = grandchildren(family.pid)
        assert schedulers.rescan() == 1
        assert (policy_of(child), policy_of(family.pid)) == (BATCH, OTHER)
        assert schedulers.rescan() == 0
    assert policy_of(child) == OTHER


def test_threads_that_have_ended_leave_the_journal(journals, monkeypatch):
    """One after the other, a shell starts and awaits children that a look may see, and a journal must not keep."""
    monkeypatch.setattr(policy, "_FEW_LINES", 2)
    script = "while read line; do sleep 60 & echo $!; read line; kill $!; wait $!; echo; done"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:

        def tell():
            shell.stdin.write("\n")
            shell.stdin.flush()
            return shell.stdout.readline()

        with Schedulers(f"pid={shell.pid}", journals=journals) as schedulers:
            schedulers.switch("policy:batch")
            (path,) = journals.iterdir()
            for _ in range(10):
                child = int(tell())
                schedulers.rescan()
                assert json.loads(path.read_text().splitlines()[-1])[1][0] == child
                tell()
            schedulers.rescan()
            assert path.read_text().count("\n") <= 4
        assert policy_of(shell.pid) == OTHER
        shell.stdin.close()


def test_the_first_rule_that_selects_a_thread_holds(family, journals):
    main, second = sorted(threads_of(family.pid))
    with Schedulers(f"pid={family.pid}", classes={"short": [second]}, journals=journals) as schedulers:
        schedulers.switch("policy:short:rr=3+idle")
        assert (policy_of(main), policy_of(second), priority_of(second)) == (IDLE, RR, 3)


def test_a_thread_that_leaves_its_class_is_put_back_at_the_next_look(family, journals):
    main, second = sorted(threads_of(family.pid))
    before, members = all_of(main), {"short": [main, second], "hogs": []}
    classes = {name: Changing(lambda name=name: seen(members[name])) for name in members}
    with Schedulers(f"pid={family.pid}", classes=classes, journals=journals) as schedulers:
        schedulers.switch("policy:short:rr=3+hogs:idle")
        assert [policy_of(tid) for tid in (main, second)] == [RR, RR]
        members |= {"short": [second], "hogs": [main]}
        schedulers.rescan()
        assert [policy_of(tid) for tid in (main, second)] == [IDLE, RR]
        members |= {"short": [], "hogs": []}
        schedulers.rescan()
        assert [all_of(tid) for tid in (main, second)] == [before] * 2
        (path,) = journals.iterdir()
        assert path.read_text() == "", "nothing is left to be put back"
        members["short"] = [second]
        assert schedulers.rescan() == 1
        assert [policy_of(tid) for tid in (main, second)] == [OTHER, RR]
    assert [all_of(tid) for tid in (main, second)] == [before] * 2


def test_what_is_inherited_from_a_class_is_put_back_until_it_is_of_the_class(family, journals):
    _, second = sorted(threads_of(family.pid))
    before, members = all_of(second), [second]
    classes = {"short": Changing(lambda: seen(members))}
    with Schedulers(f"pid={family.pid}", classes=classes, journals=journals) as schedulers:
        schedulers.switch("policy:short:rr=3")
        family.stdin.write("\n")
        family.stdin.flush()
        eventually(lambda: grandchildren(family.pid))
        (child,) = grandchildren(family.pid)
        assert policy_of(child) == RR, "it was born so"
        schedulers.rescan()
        assert (policy_of(child), policy_of(second)) == (OTHER, RR)
        members.append(child)
        schedulers.rescan()
        assert (policy_of(child), policy_of(second)) == (RR, RR)
        members.remove(second)
        schedulers.rescan()
        assert (policy_of(child), policy_of(second)) == (RR, OTHER), "a child of the class stays when its parent leaves"
    assert all_of(second) == all_of(child) == before


def test_classes_are_kept_on_cpus_of_their_own(family, journals, last_cpu):
    if last_cpu == 0:
        pytest.skip("needs two CPUs")
    main, second = sorted(threads_of(family.pid))
    before = os.sched_getaffinity(main)
    classes = {"hogs": [main], "short": lambda: [second]}
    with Schedulers(f"pid={family.pid}", classes=classes, journals=journals) as schedulers:
        schedulers.switch(f"policy:hogs:cpus=0+short:cpus={last_cpu}")
        assert (os.sched_getaffinity(main), os.sched_getaffinity(second)) == ({0}, {last_cpu})
    assert os.sched_getaffinity(main) == os.sched_getaffinity(second) == before


def test_a_running_thread_moves_to_the_cpus_of_the_arm_and_may_leave_them_afterwards(start, last_cpu, journals):
    """By /proc/TID/stat (proc(5), field 39): the CPU on which a hog, which never sleeps, ran last."""
    if last_cpu == 0:
        pytest.skip("needs two CPUs")
    hog = start("spin", 60)
    before = os.sched_getaffinity(hog.pid)
    assert len(before) > 1
    with Schedulers(f"pid={hog.pid}", journals=journals) as schedulers:
        for cpu in (0, last_cpu, 0):
            assert schedulers.switch(f"policy:cpus={cpu}") == 1
            assert os.sched_getaffinity(hog.pid) == {cpu}
            eventually(lambda cpu=cpu: cpu_of(hog.pid) == cpu)
    assert os.sched_getaffinity(hog.pid) == before


def test_real_time_threads_are_left_alone(sleeper, journals):
    os.sched_setscheduler(sleeper, os.SCHED_FIFO, os.sched_param(2))
    with Schedulers(f"pid={sleeper}", journals=journals) as schedulers:
        for arm in ("policy:batch", "policy:nice=5", "policy:rr=9"):
            assert schedulers.switch(arm) == 0
            assert (policy_of(sleeper), priority_of(sleeper)) == (os.SCHED_FIFO, 2)


def test_every_switch_passes_through_the_kernels_own(sleeper, journals):
    before = all_of(sleeper)
    with Schedulers(f"pid={sleeper}", journals=journals) as schedulers:
        schedulers.switch("policy:nice=5")
        schedulers.switch("policy:batch")
        assert (policy_of(sleeper), nice_of(sleeper)) == (BATCH, 0)
        schedulers.switch("eevdf")
        assert all_of(sleeper) == before
        assert schedulers.current().scheduler == "eevdf"


def test_an_autogroup_is_nice_and_then_no_longer(sleeper, journals):
    if not Path(f"/proc/{sleeper}/autogroup").exists():
        pytest.skip("needs CONFIG_SCHED_AUTOGROUP")
    before = autogroup_of(sleeper)
    assert before.endswith(" nice 0")
    with Schedulers(f"pid={sleeper}", journals=journals) as schedulers:
        assert schedulers.switch("policy:autogroup=11") == 1
        assert autogroup_of(sleeper) == before.replace("nice 0", "nice 11")
    assert autogroup_of(sleeper) == before


def test_an_autogroup_that_others_are_in_is_refused(journals):
    if not Path("/proc/self/autogroup").exists():
        pytest.skip("needs CONFIG_SCHED_AUTOGROUP")
    # A session of its own: that of the tests may be init's, which has no autogroup.
    two = [sys.executable, "-c", "import subprocess; subprocess.run(['cat'])"]
    with subprocess.Popen(two, stdin=subprocess.PIPE, start_new_session=True) as leader:
        eventually(lambda: children_of(leader.pid))
        before = autogroup_of(leader.pid)
        schedulers = Schedulers(f"pid={children_of(leader.pid)[0]}", journals=journals)
        with pytest.raises(UsageError, match=f"process {leader.pid} is in the same session, and not selected"):
            schedulers.switch("policy:autogroup=11")
        assert autogroup_of(leader.pid) == before
        leader.stdin.close()
    assert before.endswith(" nice 0")
    assert not journals.exists()


def test_a_process_without_an_autogroup_is_refused(sleeper, journals, monkeypatch):
    """As the kernel shows what is in init's session. Only what init itself starts can be, so it is made up here."""
    monkeypatch.setattr(knobs, "autogroup_of", lambda pid: None)
    monkeypatch.setattr(trial, "require", lambda setting: None)
    with pytest.raises(UsageError, match=f"process {sleeper} has no autogroup"):
        Schedulers(f"pid={sleeper}", journals=journals).switch("policy:autogroup=11")
    assert not journals.exists()


def test_a_nice_hog_leaves_the_cpu_to_the_other(start, last_cpu, journals):
    """Weights of 15 and 1024 (sched_prio_to_weight) make a share of 1.4 %; without the arm it would be a half."""
    hogs = [start("spin", 60, cpu=last_cpu) for _ in range(2)]
    with Schedulers(journals=journals, classes={"hogs": [hogs[0].pid]}) as schedulers:
        schedulers.switch("policy:hogs:nice=19")
        began = [cpu_ns_of(hog.pid) for hog in hogs]
        eventually(lambda: cpu_ns_of(hogs[1].pid) - began[1] > 700_000_000)
        nice_ns, other_ns = (cpu_ns_of(hog.pid) - ns for hog, ns in zip(hogs, began, strict=True))
        assert nice_ns / (nice_ns + other_ns) < 0.2


def test_an_arm_that_the_kernel_refuses_half_way_leaves_nothing(family, journals, monkeypatch):
    put, calls = attributes.put, []

    def refuse_the_second(tid, wanted):
        calls.append(tid)
        if calls.index(tid) == 1:
            raise PermissionError(1, "Operation not permitted")
        return put(tid, wanted)

    tids = threads_of(family.pid)
    before = [all_of(tid) for tid in tids]
    with Schedulers(f"pid={family.pid}", journals=journals) as schedulers:
        monkeypatch.setattr(trial, "require", lambda _: None)  # it would be refused before
        monkeypatch.setattr(trial, "default_slice_ns", lambda: slice_ns_of(family.pid) or 0)
        monkeypatch.setattr(attributes, "put", refuse_the_second)
        with pytest.raises(CapabilityError, match=r"cannot set batch of thread \d+: Operation not permitted"):
            schedulers.switch("policy:batch")
        assert calls == [tids[0], tids[1], tids[0]], "changed, refused, and put back"
        assert [all_of(tid) for tid in tids] == before


#: Setting → what a user without privileges is told; None where it works.
UNPRIVILEGED = {
    "rr=10": "Operation not permitted (run as root, or grant CAP_SYS_NICE)",
    "nice=-5": "(run as root, or grant CAP_SYS_NICE)",
    "nice=5": "this user could not undo it",
    "idle": "this user could not undo it",
    "batch": None,
}


@pytest.mark.parametrize("text", UNPRIVILEGED)
def test_what_a_user_could_not_do_or_undo_is_refused_before(text):
    script = (
        "import os, sys\n"
        "from schedtel.schedulers import trial\n"
        "from schedtel.schedulers.settings import parse_setting\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "try: trial.require(parse_setting(sys.argv[1]))\nexcept Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", script, text], capture_output=True, text=True, check=True)
    expected = UNPRIVILEGED[text]
    if expected is None:
        assert done.stdout == ""
    else:
        assert done.stdout.startswith(f"CapabilityError cannot use {text}: ")
        assert expected in done.stdout


def comm_of(pid):
    return Path(f"/proc/{pid}/comm").read_text().strip()


def seen(tids):
    """Threads as the telemetry names them."""
    return [read_thread(tgid_of(tid), tid).as_seen() for tid in tids]


def grandchildren(pid):
    """The children of any thread of a process."""
    return [
        int(child) for tid in threads_of(pid) for child in Path(f"/proc/{pid}/task/{tid}/children").read_text().split()
    ]


@pytest.mark.parametrize("own_slice_ns", [0, 7_000_000])
def test_a_thread_without_a_slice_of_its_own_gets_none_by_being_put_back(sleeper, journals, own_slice_ns):
    """The kernel shows the same for a thread that has asked for its default slice, which then follows it no more."""
    if slice_ns_of(sleeper) is None:
        pytest.skip("needs a kernel that shows slices in /proc/PID/sched")
    if own_slice_ns:
        attributes.put(sleeper, attributes.Attributes(slice_ns=own_slice_ns))
    before = all_of(sleeper)
    with Schedulers(f"pid={sleeper}", journals=journals) as schedulers:
        schedulers.switch("policy:batch")
        (path,) = journals.iterdir()
        kind, _, put_back_to, *_ = json.loads(path.read_text())
        assert (kind, put_back_to) == ("attributes", [OTHER, 0, 0, own_slice_ns, 0])
    assert all_of(sleeper) == before
