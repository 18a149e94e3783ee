"""`schedtel scheduler` on the running kernel: a command under an arm, and what is there after it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from scheduled import BATCH, OTHER, policy_of
from waiting import eventually

from schedtel.host.sched_ext import has_sub_schedulers

SCHEDTEL = [sys.executable, "-m", "schedtel.cli", "scheduler"]
#: Says its policy, by what the kernel shows of it.
SAY_POLICY = "awk '{print $41}' /proc/self/stat"


def scheduler(*words, **options):
    return subprocess.run([*SCHEDTEL, *words], capture_output=True, text=True, check=False, timeout=120, **options)


@pytest.mark.parametrize(("arm", "policy"), [("policy:batch", 3), ("policy:idle", 5), ("policy:rr=4", 2), ("eevdf", 0)])
def test_a_command_and_its_children_run_under_the_arm(arm, policy):
    done = scheduler("run", arm, "--", "sh", "-c", f'{SAY_POLICY}; sh -c "{SAY_POLICY.replace("$", "$")}"; exit 7')
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.split()[0] == str(policy)


def test_the_arm_may_be_for_others_while_the_command_runs(sleeper):
    show = f"awk '{{print $41}}' /proc/{sleeper}/stat"
    done = scheduler("run", "policy:batch", "--for", f"pid={sleeper}", "--", "sh", "-c", f"{show}; {SAY_POLICY}")
    assert (done.returncode, done.stdout.split()) == (0, [str(BATCH), str(OTHER)])
    assert policy_of(sleeper) == OTHER


def test_a_class_is_a_selection_inside_of_the_command(tmp_path):
    """The child gets its name by an exec, after the arm is in effect, so that a rescan has to find it."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    command = [*SCHEDTEL, "run", "policy:hogs:batch", "--class", "hogs=comm=cat", "--", "sh", "-c", f"cat {gate}; :"]
    with subprocess.Popen(command) as process:
        eventually(lambda: reader_of(process.pid))
        child = reader_of(process.pid)
        eventually(lambda: policy_of(child) == BATCH)
        gate.write_text("")
    assert process.returncode == 0


def test_orphans_of_the_command_are_put_back(tmp_path):
    """The orphan is born and its parent ends before anything looks for it; it goes on when the command has ended."""
    orphan = f"echo $$ > {tmp_path}/pid; {SAY_POLICY} > {tmp_path}/policy; exec sleep 60"
    (tmp_path / "orphan.sh").write_text(orphan)
    (tmp_path / "parent.sh").write_text(f"sh {tmp_path}/orphan.sh < /dev/null > /dev/null 2>&1 &")
    wait = f"while [ ! -s {tmp_path}/policy ]; do sleep 0.01; done"
    done = scheduler("run", "policy:batch", "--", "sh", "-c", f"sh {tmp_path}/parent.sh; {wait}")
    pid = int((tmp_path / "pid").read_text())
    try:
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "policy").read_text() == f"{BATCH}\n"
        assert policy_of(pid) == OTHER
    finally:
        os.kill(pid, signal.SIGKILL)


def test_the_signal_that_ends_it_ends_the_command_and_the_arm(sleeper):
    command = [*SCHEDTEL, "run", "policy:batch", "--for", f"pid={sleeper}", "--", "sleep", "60"]
    with subprocess.Popen(command) as process:
        eventually(lambda: policy_of(sleeper) == BATCH)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    assert policy_of(sleeper) == OTHER


def test_sigkill_leaves_the_command_and_no_arm():
    script = "echo $$; exec sleep 60"
    with subprocess.Popen(
        [*SCHEDTEL, "run", "policy:batch", "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        pid = int(process.stdout.readline())
        assert policy_of(pid) == BATCH
        process.kill()
        eventually(lambda: policy_of(pid) == OTHER)
        os.kill(pid, signal.SIGKILL)


def test_an_autogroup_is_that_of_the_command_alone():
    if not Path("/proc/self/autogroup").exists():
        pytest.skip("needs CONFIG_SCHED_AUTOGROUP")
    before = Path("/proc/self/autogroup").read_text()
    done = scheduler("run", "policy:autogroup=9", "--", "cat", "/proc/self/autogroup")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" nice 9\n")
    assert Path("/proc/self/autogroup").read_text() == before


def test_list_says_what_can_be_had_here():
    found = [json.loads(line) for line in scheduler("list", "--format", "ndjson").stdout.splitlines()]
    usable = {choice["arm"]: choice["usable"] for choice in found}
    assert found[0] == {"arm": "eevdf", "usable": True, "why": ""}
    assert usable["policy:batch"] is usable["policy:rr=10"] is usable["policy:idle"] is True
    if not Path("/sys/kernel/sched_ext").exists():
        for kind in ("scx:NAME", "loader:NAME"):
            (choice,) = (choice for choice in found if choice["arm"] == kind)
            assert choice["usable"] is False
            assert "CONFIG_SCHED_CLASS_EXT" in choice["why"]
    if not has_sub_schedulers():
        (choice,) = (choice for choice in found if choice["arm"] == "scx:NAME@/x")
        assert choice["usable"] is False
        assert "need Linux 7.2 or later with CONFIG_EXT_SUB_SCHED" in choice["why"]


def test_current_is_what_the_kernel_shows(sleeper):
    os.sched_setscheduler(sleeper, os.SCHED_BATCH, os.sched_param(0))
    text = scheduler("current", "--for", f"pid={sleeper}").stdout
    assert "1 thread: batch" in text
    found = json.loads(scheduler("current", "--for", f"pid={sleeper}", "--format", "ndjson").stdout)
    assert list(found) == ["scheduler", "state", "threads", "cgroups"]
    assert sum(found["threads"].values()) == 1


def test_a_refusal_is_one_line_and_nothing_runs(tmp_path):
    for words, says in {
        ("scx:simple",): "cannot attach a sched_ext scheduler" if not Path("/sys/kernel/sched_ext").exists() else "scx",
        ("scx:vtime@/x",): "no such cgroup"
        if has_sub_schedulers()
        else "this kernel has no sub-schedulers of sched_ext",
        ("policy:short:idle",): "cannot select class 'short': none was given",
        ("policy:weight=10",): "name a cgroup",
        ("policy:cpus=4000",): "CPU 4000 is not online",
    }.items():
        done = scheduler("run", *words, "--", "touch", str(tmp_path / "ran"))
        assert (done.returncode, done.stdout) == (2, "")
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "ran").exists()


def reader_of(pid):
    """The pid of the process named cat below a process; None if there is none yet."""
    ahead = [pid]
    while ahead:
        current = ahead.pop()
        try:
            if Path(f"/proc/{current}/comm").read_text() == "cat\n":
                return current
            for tid in os.listdir(f"/proc/{current}/task"):
                ahead += map(int, Path(f"/proc/{current}/task/{tid}/children").read_text().split())
        except FileNotFoundError:
            continue
    return None
