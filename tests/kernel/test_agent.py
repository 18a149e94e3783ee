"""The agent on the running kernel: it acts on real threads, and however it ends, they are as they were."""

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import foreign
import pytest
import sandbox
from scheduled import IDLE, OTHER, RR, all_of, children_of, is_running, policy_of, priority_of, threads_of
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.agent.log import read_log
from schedtel.agent.policies.files import load_policy
from schedtel.agent.survival import Preferred

COMMAND = [sys.executable, "-m", "schedtel.cli", "agent", "run"]
UNIT = Path(__file__).parents[2] / "deploy" / "schedtel-agent.service"
#: Kills at random moments; more of them are asked for by this variable, as `make agent-kills` does.
KILLS = int(os.environ.get("SCHEDTEL_KILLS", "10"))
LONGEST_S = 0.1
#: For each line on its input, an agent by fork, whose pid it says: imports take longer than all else. The windows come
#: from a recording, over and over, every 20 ms, and the agent decides with each of them.
RECORDED = textwrap.dedent("""
    import itertools, os, sys, time
    import schedtel
    from schedtel.agent.book import Book
    from schedtel.agent.classes import CLASSES, Classes
    from schedtel.agent.guard import Guard
    from schedtel.agent.loop import Agent
    from schedtel.agent.machine import ThisMachine
    from schedtel.agent.quarantine import Quarantine
    from schedtel.agent.reward import RewardSettings
    from schedtel.agent.settings import AgentSettings, chosen_policy
    from schedtel.agent.survival import Preferred

    def source(windows):
        for window in itertools.cycle(windows):
            yield window
            time.sleep(0.02)

    def act():
        arms = ("eevdf", "policy:nice=-5+cpus=0", "policy:batch", "policy:nice=3")
        reward = RewardSettings(settle=0, dwell=1)
        settings = AgentSettings(arms=arms, policy="random", reward=reward, is_trusted=True, probe_every=1000)
        windows, classes = list(schedtel.read(sys.argv[2])), Classes()
        guard = Guard(arms, (), Quarantine(None, time.monotonic_ns), classes, time.monotonic_ns)
        with ThisMachine(CLASSES, f"pid={sys.argv[1]}") as machine, Preferred(settings.real_time_priority) as preferred:
            agent = Agent(settings, chosen_policy(settings), machine, guard, classes, Book())
            agent.run(preferred.renewing(source(windows)))

    for _ in sys.stdin:
        if (pid := os.fork()) == 0:
            act()
            os._exit(1)
        print(pid, flush=True)
        os.waitpid(pid, 0)
""")


@pytest.fixture
def load(workload):
    """Two hogs for each CPU and two short threads, below one shell; yields the shell's pid and both lists of pids."""
    hogs, short = 2 * os.cpu_count(), 2
    script = " ".join([f"{workload} hog 600 &"] * hogs + [f"{workload} napper 600 &"] * short)
    with subprocess.Popen(["sh", "-c", f"{script} wait"], start_new_session=True) as shell:
        eventually(lambda: len(children_of(shell.pid)) == hogs + short)
        pids = children_of(shell.pid)
        yield shell.pid, pids[:hogs], pids[hogs:]
        os.killpg(shell.pid, signal.SIGKILL)


@pytest.fixture
def agent():
    """Start an agent; whatever still runs at the end of the test is killed, by its pid."""
    processes = []

    def start(*words, command=COMMAND):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # The hogs of the test would make a start take four times as long.
        processes.append(subprocess.Popen(["nice", "-n", "-15", *command, *map(str, words)], **pipes))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def as_the_unit_may():
    """The command, with the capabilities of the unit and no others."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv to take capabilities away")
    (names,) = sandbox.settings(UNIT)["CapabilityBoundingSet"]
    kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in names.split())
    return ["setpriv", "--bounding-set", f"-all,{kept}", *COMMAND]


def test_it_acts_by_classes_that_it_infers_and_puts_everything_back(load, agent, tmp_path):
    shell, hogs, short = load
    before = {pid: all_of(pid) for pid in (shell, *hogs, *short)}
    arms = "eevdf,policy:hogs:idle,policy:short:rr=10,policy:comm=nobody:batch"
    words = ("--arms", arms, "--for", f"pid={shell}", "-w", "200ms", "--no-trial", "--policy", "round-robin")
    words += ("--log", tmp_path / "log", "--save", tmp_path / "policy", "--objective", "p99 wakeup wait")
    process = agent(*words, command=as_the_unit_may())
    seen = set()

    def both_seen():
        assert process.poll() is None, process.stderr.read()
        seen.update(("idle", pid) for pid in hogs if policy_of(pid) == IDLE)
        seen.update(("rr", pid) for pid in short if policy_of(pid) == RR)
        assert not any(policy_of(pid) == RR for pid in hogs)
        assert not any(policy_of(pid) == IDLE for pid in short)
        return len(seen) == len(hogs) + len(short)

    eventually(both_seen)
    eventually(lambda: any(entry.reward is not None and entry.arm != "eevdf" for entry in read_log(tmp_path / "log")))
    assert (policy_of(process.pid), priority_of(process.pid)) == (os.SCHED_FIFO, 11)
    guard = next(pid for pid in children_of(process.pid) if priority_of(pid) == 99)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    assert {pid: all_of(pid) for pid in before} == before
    assert not is_running(guard)
    lines = output.splitlines()
    entries = read_log(tmp_path / "log")
    assert len(entries) == len(lines)
    assert any("switches to policy:hogs:idle: " in line for line in lines)
    learned = sum(entry.reward is not None for entry in entries)
    assert load_policy(tmp_path / "policy").counters[2] == learned > 0
    assert {"eevdf", "policy:hogs:idle", "policy:short:rr=10"} <= {entry.arm for entry in entries}


def test_a_second_agent_is_refused_and_one_that_only_decides_is_not(load, agent, tmp_path):
    shell, hogs, _ = load
    words = ("--arms", "eevdf,policy:idle", "--for", f"pid={shell}", "-w", "50ms", "--no-trial")
    process = agent(*words)
    eventually(lambda: any(policy_of(pid) == IDLE for pid in hogs) or process.poll() is not None)
    second = agent(*words, "-d", "1s")
    _, errors = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 2
    assert errors.count("\n") == 1
    assert "another agent runs on this machine" in errors
    third = agent(*words, "--dry-run", "-d", "200ms")
    output, errors = third.communicate(timeout=PATIENCE_S)
    assert (third.returncode, errors) == (0, "")
    assert "would run " in output
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    assert {policy_of(pid) for pid in hogs} == {OTHER}


def killed(pid, before, after_s):
    """Kill an agent so long after its first change; returns for how long anything stays changed from then on."""
    eventually(lambda: not is_running(pid) or any(all_of(tid) != was for tid, was in before.items()), every_s=0.001)
    assert is_running(pid)
    with Preferred(above=50):  # else this would measure how long the hogs keep the test from a CPU
        time.sleep(after_s)  # the random moment itself
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        eventually(lambda: all(all_of(tid) == was for tid, was in before.items()), every_s=0.001)
        return time.monotonic() - began


def test_killed_at_random_moments_everything_is_back_within_100_ms(load, agent, tmp_path):
    shell, hogs, short = load
    tree = (shell, *hogs, *short)
    before = {pid: all_of(pid) for pid in tree}
    with (
        schedtel.Recorder(tmp_path / "recording", window="50ms") as recorder,
        schedtel.live("50ms", pid=shell) as source,
    ):
        for window in source:
            recorder.write(window)
            if window.window_id == 3:
                break
    parent = agent(shell, tmp_path / "recording", command=[sys.executable, "-c", RECORDED])
    chance, delays = random.Random(int.from_bytes(os.urandom(4), "little")), []
    for _ in range(KILLS):
        parent.stdin.write("\n")
        parent.stdin.flush()
        delays.append(killed(int(parent.stdout.readline()), before, chance.uniform(0, 0.1)))
    print(f"put back after {[round(1000 * delay) for delay in sorted(delays)]} ms")
    assert max(delays) < LONGEST_S


def test_threads_of_the_agent_are_preferred_and_what_they_start_is_not():
    ended = threading.Event()
    before = [all_of(tid) for tid in threads_of(os.getpid())]
    with Preferred(10) as preferred:
        assert preferred.refused == ""
        thread = threading.Thread(target=ended.wait)
        thread.start()
        assert policy_of(thread.native_id) == OTHER
        preferred.renew()
        for tid in threads_of(os.getpid()):
            assert (policy_of(tid), priority_of(tid)) == (os.SCHED_FIFO, 11)
        with subprocess.Popen(["sleep", "60"]) as child:
            assert policy_of(child.pid) == OTHER
            child.kill()
        lines = Path("/proc/self/status").read_text().splitlines()
        assert int(next(line for line in lines if line.startswith("VmLck:")).split()[1]) > 0
        ended.set()
        thread.join()
    assert [all_of(tid) for tid in threads_of(os.getpid())] == before


@pytest.mark.parametrize(("options", "shown"), [((), "the kernel runs"), (("--lines",), "window 2: saw ")])
def test_a_terminal_gets_a_page_or_lines_if_it_asks(options, shown):
    words = ["agent", "run", "--arms", "policy:hogs:batch", "--dry-run", "-w", "200ms", "-d", "1500ms", *options]
    status, written = foreign.on_terminal(words)
    assert status == 0
    assert shown in written
    assert ("\x1b[?1049h" in written) == (not options), "the page has the terminal's other screen"
