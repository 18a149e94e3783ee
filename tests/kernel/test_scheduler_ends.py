"""However the process ends that has switched an arm, threads are as they were: by its own end or by its guard."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from scheduled import BATCH, OTHER, all_of, children_of, is_running, policy_of
from waiting import eventually

from schedtel.errors import CollectorError
from schedtel.schedulers.switching import Schedulers

#: Switches, says the pid of its guard, and ends as it is told.
SWITCHER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from schedtel.schedulers.switching import Schedulers
    with Schedulers(f"pid={sys.argv[1]}", journals=Path(sys.argv[2])) as schedulers:
        schedulers.switch(sys.argv[3])
        print(*schedulers.helpers, flush=True)
        if sys.stdin.readline() == "fail\\n":
            raise RuntimeError("as the test asked")
""")
#: The same, with a child that is never executed, and so has all that its parent has open.
FORKS = """
    import os, time
    if os.fork() == 0:
        time.sleep(60)
    print(*"""
FORKS_FIRST = SWITCHER.replace("\n    print(*", FORKS)
#: A shell that forks when it is told, and its child, which forks when told as well.
FORKING = "read line; sh -c 'sleep 60 & echo; wait' & wait"


@pytest.fixture
def tree():
    """A process of the test; a line on its standard input has it fork a shell with a child."""
    with subprocess.Popen(
        ["sh", "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        yield process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def switched(tree, tmp_path):
    """Start a process that switches an arm for the tree; yields a function that returns it and its guard's pid."""
    processes = []

    def switch(arm, script=SWITCHER):
        command = [sys.executable, "-c", script, str(tree.pid), str(tmp_path / "journals"), arm]
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, **options))
        guard = processes[-1].stdout.readline()
        assert guard, processes[-1].stderr.read()
        return processes[-1], int(guard)

    yield switch
    for process in processes:
        process.kill()
        process.communicate()


def end(process, how):
    if isinstance(how, signal.Signals):
        process.send_signal(how)
    else:
        process.stdin.write(f"{how}\n")
        process.stdin.flush()
    process.wait(60)


@pytest.mark.parametrize("how", ["end", "fail", signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_threads_are_as_they_were_however_it_ends(tree, switched, tmp_path, how):
    before = all_of(tree.pid)
    process, guard = switched("policy:rr=5+cpus=0")
    changed = all_of(tree.pid)
    assert changed[0] == os.SCHED_RR
    assert changed[4] == {0}
    end(process, how)
    eventually(lambda: all_of(tree.pid) == before)
    eventually(lambda: not is_running(guard))
    assert not (tmp_path / "journals").exists()


def test_children_that_were_born_meanwhile_are_put_back_after_a_kill(tree, switched):
    before = all_of(tree.pid)
    process, guard = switched("policy:batch")
    tree.stdin.write("\n")
    tree.stdin.flush()
    tree.stdout.readline()
    (child,) = children_of(tree.pid)
    (grandchild,) = children_of(child)
    assert policy_of(child) == policy_of(grandchild) == BATCH
    end(process, signal.SIGKILL)
    eventually(lambda: all_of(child) == all_of(grandchild) == all_of(tree.pid) == before)
    eventually(lambda: not is_running(guard))


def test_what_another_has_set_since_is_left_as_it_is(tree, switched):
    process, guard = switched("policy:batch")
    os.sched_setscheduler(tree.pid, os.SCHED_FIFO, os.sched_param(1))
    end(process, signal.SIGKILL)
    eventually(lambda: not is_running(guard))
    assert policy_of(tree.pid) == os.SCHED_FIFO


def test_signals_of_the_terminal_do_not_reach_the_guard(tree, switched):
    process, guard = switched("policy:batch")
    assert os.getsid(guard) == guard != os.getsid(process.pid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(guard, number)
    end(process, signal.SIGKILL)
    eventually(lambda: policy_of(tree.pid) == OTHER)


def test_a_forked_child_that_holds_the_pipe_does_not_keep_the_guard_from_its_work(tree, switched):
    process, guard = switched("policy:batch", FORKS_FIRST)
    (forked,) = set(children_of(process.pid)) - {guard}
    try:
        end(process, signal.SIGKILL)
        eventually(lambda: policy_of(tree.pid) == OTHER)
        eventually(lambda: not is_running(guard))
    finally:
        os.kill(forked, signal.SIGKILL)


def test_a_switch_puts_back_what_a_process_and_its_guard_have_left(tree, switched, tmp_path):
    process, guard = switched("policy:batch")
    os.kill(guard, signal.SIGKILL)
    end(process, signal.SIGKILL)
    assert policy_of(tree.pid) == BATCH
    with subprocess.Popen(["sleep", "60"]) as other:
        with Schedulers(f"pid={other.pid}", journals=tmp_path / "journals") as schedulers:
            schedulers.switch("policy:batch")
            assert policy_of(tree.pid) == OTHER
            assert policy_of(other.pid) == BATCH
        other.kill()
    assert not (tmp_path / "journals").exists()


def test_without_its_guard_an_arm_ends(tree, tmp_path):
    with Schedulers(f"pid={tree.pid}", journals=tmp_path / "journals") as schedulers:
        schedulers.switch("policy:batch")
        (guard,) = schedulers.helpers
        os.kill(guard, signal.SIGKILL)
        eventually(lambda: not is_running(guard))
        with pytest.raises(CollectorError, match="the guard that would undo changes was ended"):
            schedulers.rescan()
        assert policy_of(tree.pid) == OTHER
        schedulers.switch("policy:batch")
        assert policy_of(tree.pid) == BATCH
        assert schedulers.helpers != {guard}
    assert policy_of(tree.pid) == OTHER
