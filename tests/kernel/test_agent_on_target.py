"""An agent on another machine than the one that it acts on: what is changed there, and the end of each part."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from scheduled import IDLE, RR, all_of, children_of, is_running, policy_of
from serving import certificate
from targets import TARGET, TOKEN, network, outcome, target
from waiting import eventually

from schedtel.agent.alone import only_agent
from schedtel.agent.log import read_log
from schedtel.agent.policies.files import load_policy
from schedtel.errors import UsageError

__all__ = ["network"]
#: When all must be as it was after an agent has gone.
UNDONE_S = 5.0
RUN = [sys.executable, "-m", "schedtel.cli", "agent", "run"]
ARMS = "policy:hogs:idle,policy:short:rr=10"
ALLOWED = ("--scheduler", "policy:hogs:idle", "--scheduler", "policy:short:*")
#: A turn of an arm is of ten seconds, and one of EEVDF before it of two windows.
LONG = ("--dwell", "100", "--settle", "98")
#: Which part is sent which signal, and what the agent says then. All of them where `make agent-kills` asks for more.
ENDS = [
    ("agent", signal.SIGKILL, ""),
    ("target", signal.SIGKILL, "lost target"),
    ("agent", signal.SIGSTOP, "this session is over"),
    ("target", signal.SIGTERM, "target"),
    ("switcher", signal.SIGKILL, "the process that switches has ended"),
][: 5 if "SCHEDTEL_KILLS" in os.environ else 2]


@pytest.fixture
def load(workload):
    """A hog and a short thread below one shell, which leave the CPUs to others; yields the three pids."""
    script = f"{workload} hog 600 & {workload} napper 600 & wait"
    with subprocess.Popen(["nice", "-n", "19", "sh", "-c", script], start_new_session=True) as shell:
        eventually(lambda: len(children_of(shell.pid)) == 2)
        yield shell.pid, *children_of(shell.pid)
        os.killpg(shell.pid, signal.SIGKILL)


@pytest.fixture
def before(load):
    """How each thread of the load is scheduled, before anything acts."""
    return {pid: all_of(pid) for pid in load}


@pytest.fixture
def agent(load, before):
    """Start an agent for the load; whatever still runs at the end of the test is killed, by its pid."""
    processes = []

    def start(uri, *words, within=()):
        command = [*within, *RUN, "--arms", ARMS, "--for", f"pid={load[0]}", "-w", "100ms", "--target", uri]
        command += ["--no-trial", "--policy", "round-robin", *map(str, words)]
        environment = {**os.environ, "SCHEDTEL_TOKEN": TOKEN}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, env=environment, **pipes))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def changed(before):
    return [pid for pid, was in before.items() if all_of(pid) != was]


def below(pid):
    """What switches for an agent on a target, and its guard."""
    found = [one for child in children_of(pid) for one in (child, *children_of(child))]
    assert len(found) == 2
    return found


@contextlib.contextmanager
def undone_in_time(before, served, process):
    """An arm is in effect when the context begins, and stays so for seconds if nothing ends the agent.

    Yields what has brought it into effect. Five seconds after the end of the context, neither of them is there.
    """

    def is_in_effect():
        assert process.poll() is None, process.stderr.read()
        return changed(before)

    eventually(is_in_effect, every_s=0.002)
    started = below(served.pid)
    usual = os.sched_getscheduler(0), os.sched_getparam(0)
    # Whoever else uses this machine must not keep the test from seeing the end in time.
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(50))
    try:
        yield started
        eventually(lambda: not changed(before) and not any(map(is_running, started)), UNDONE_S, every_s=0.05)
    finally:
        os.sched_setscheduler(0, *usual)


def test_it_acts_by_classes_that_it_infers_and_puts_everything_back(load, agent, before, tmp_path):
    _, hog, short = load
    with target(*ALLOWED) as served:
        process = agent(served.uri, "--log", tmp_path / "log", "--save", tmp_path / "policy")
        seen = set()

        def both_seen():
            assert process.poll() is None, process.stderr.read()
            assert policy_of(hog) != RR
            assert policy_of(short) != IDLE
            seen.update(pid for pid, policy in ((hog, IDLE), (short, RR)) if policy_of(pid) == policy)
            return len(seen) == 2

        eventually(both_seen, every_s=0.002)
        eventually(lambda: any(e.reward is not None and e.arm != "eevdf" for e in read_log(tmp_path / "log")))
        with pytest.raises(UsageError, match="another agent runs on this machine"), only_agent():
            pytest.fail("one that is here acts as well")
        assert children_of(process.pid) == [], "what switches is on the target"
        (switcher,) = children_of(served.pid)
        (guard,) = children_of(switcher)
        process.send_signal(signal.SIGINT)
        status, out, said = outcome(process)
        assert (status, said) == (0, [])
        assert not changed(before)
        assert not is_running(switcher)
        assert not is_running(guard)
    entries = read_log(tmp_path / "log")
    assert len(entries) == len(out.splitlines())
    assert {"eevdf", *ARMS.split(",")} <= {entry.arm for entry in entries}
    learned = sum(entry.reward is not None for entry in entries)
    assert load_policy(tmp_path / "policy").counters[2] == learned > 0


def test_a_network_cut_in_mid_run_leaves_nothing_changed(agent, before, tmp_path, network):
    pytest.importorskip("cryptography")
    certificate(tmp_path, "target", host=TARGET)
    pem, key, kept = (tmp_path / name for name in ("target.pem", "target.key", "policy"))
    listen = ["--tls-cert", str(pem), "--tls-key", str(key)]
    with target(*listen, *ALLOWED, within=network.target, listen=f"grpc+tls://{TARGET}:0") as served:
        process = agent(served.uri, *LONG, "--ca", pem, "--save", kept, within=network.controller)
        with undone_in_time(before, served, process):
            network.cut()
            assert changed(before), "else it would not be the cut that undoes it"
        status, _, said = outcome(process)
        assert (status, len(said)) == (2, 1), said
        assert said[0].startswith(f"schedtel: lost target {served.uri}: "), said
        assert load_policy(kept).arms == ("eevdf", *ARMS.split(",")), "what it has learned is kept"
        assert served.process.poll() is None


@pytest.mark.parametrize(("part", "number", "why"), ENDS)
def test_however_a_part_is_killed_nothing_stays_changed(agent, before, part, number, why):
    with target(*ALLOWED) as served:
        process = agent(served.uri, *LONG)
        with undone_in_time(before, served, process) as started:
            os.kill({"agent": process.pid, "target": served.pid, "switcher": started[0]}[part], number)
        process.send_signal(signal.SIGCONT)
        status, _, said = outcome(process)
        if why:
            assert (status, len(said)) == (2, 1), said
            assert why in said[0]
