"""An agent in a guest of the lab, whose sched_ext schedulers are real: whatever goes wrong with one, EEVDF is back."""

import itertools
import json
import os
import re
from pathlib import Path

import pytest
from kernels import UnavailableError

from schedtel.lab import jobs, packages, schedulers
from schedtel.lab.frames import STDERR, STDOUT
from schedtel.lab.machine import Boot
from schedtel.lab.snapshot import snapshot
from schedtel.schedulers.sched_ext import STALL_TIMEOUT_MS

PATIENCE_S = 3600
#: Kills at random moments; `make agent-kills` asks for 30 by this variable. 0: none of this, which takes minutes.
KILLS = int(os.environ.get("SCHEDTEL_KILLS", "0"))
pytestmark = pytest.mark.skipif(KILLS == 0, reason="takes minutes: `make agent-kills` asks for it")
#: An arm that never attaches is given up after 20 s, which the guest takes a minute for.
LAST = "never" if KILLS > 2 else "gone"
LONGEST_NS = 100_000_000
HERE = Path(__file__).parent
OBJECTS = ("staller", "crasher", "refuser", "starver")
#: Programs in the place of sched_ext schedulers, each with something wrong.
PROGRAMS = {
    "gone": "exec scx_fifo",
    "exits": "echo no such luck >&2; exit 3",
    "never": "exec sleep 1000",
    "liar": "exec scx_vtime",
}


@pytest.fixture(scope="module")
def agents():
    """What became of agents and of the guest; one boot for all that is asked."""
    try:
        start = snapshot(jobs.machine(packages.DEFAULT_KERNEL, 2), schedulers.guest_files(schedulers.own_names()))
        files = {}
        for name in OBJECTS:
            files |= schedulers.object_file(HERE / f"{name}.bpf.c")
    except UnavailableError as reason:
        pytest.skip(str(reason))
    files |= {f"/usr/bin/scx_{name}": f"#!/bin/sh\n{text}\n".encode() for name, text in PROGRAMS.items()}
    files |= {f"/agents/{name}.py": (HERE / f"{name}.py").read_bytes() for name in ("guest_agent", "guest_arms")}
    said = {STDOUT: b"", STDERR: b""}
    with packages.scratch() as directory:
        answer = Boot(start, directory).run(
            jobs.job_file(["python3", "/agents/guest_agent.py", str(KILLS), LAST]) | files,
            lambda kind, text: said.update({kind: said[kind] + text}),
            PATIENCE_S,
        )
    assert answer.status == 0, said[STDERR].decode()[-3000:]
    return json.loads(said[STDOUT])


def stretches(agents, name):
    """How long a scheduler was shown each time, in seconds."""
    changes = [*agents["seen"], [None, agents["seen"][-1][1]]]
    return [(end - begin) / 1e9 for (what, begin), (_, end) in itertools.pairwise(changes) if what == name]


def test_an_arm_that_is_not_there_is_refused_in_one_line(agents):
    (line,) = agents["missing"]["lines"]
    assert agents["missing"]["status"] == 2
    assert line.startswith("schedtel: cannot use scx:missing: no program scx_missing is on the path")


def test_arms_that_fail_at_once_are_in_quarantine_with_their_reasons_and_five_are_too_many(agents):
    failing = agents["failing"]
    why = failing["quarantine"]
    assert "the kernel has disabled it at once (runtime error: " in why["scx:refuser"]
    assert "ops.init_task() failed (-12)" in why["scx:refuser"]
    assert re.search(r"(disabled it at once|was ejected).*runtime error: non-existent DSQ 0xdead", why["scx:crasher"])
    assert "its loader ended with status 3 (no such luck)" in why["scx:exits"]
    assert "vtime is attached" in why["scx:liar"]
    assert ("no program scx_gone" if LAST == "gone" else "it was not enabled in time") in why[f"scx:{LAST}"]
    assert len(why) == 5
    assert "only observes: arms have failed 5 times within an hour" in failing["lines"][-1]
    assert failing["status"] == 0
    # Each of them is ended as soon as it is known to be none that was asked for.
    assert all(stretch < 1 for name in ("crasher", "refuser") for stretch in stretches(agents, name))


def test_an_arm_that_stalls_is_ejected_by_the_kernel_in_time_and_is_in_quarantine(agents, report):
    """By the clock of the task that it left waiting."""
    stalling = agents["stalling"]
    began, ended = stalling["slept"]
    assert STALL_TIMEOUT_MS <= (ended - began) / 1e6 <= 1.6 * STALL_TIMEOUT_MS
    why = stalling["quarantine"]["scx:staller"]
    assert "staller was ejected: the kernel is back to EEVDF" in why
    assert f"runnable task stall: stalled[{stalling['pid']}] failed to run for" in why
    report.note(f"lab: an agent's arm stalls, ejected after {(ended - began) / 1e9:.2f} s")


def test_neither_a_full_disk_nor_a_step_of_the_clock_ends_an_agent_or_changes_what_it_does(agents):
    stalling = agents["stalling"]
    lines, logged = stalling["lines"], stalling["logged"]
    told = [line for line in lines if line.startswith("schedtel: ")]
    assert len(told) == 2
    assert "goes on without its log: " in told[0]
    assert "No space left" in told[0]
    assert told[1].endswith("the log is written again")
    decisions = [line for line in lines if line.startswith("window ")]
    assert [f"window {window}" for window, *_ in logged] == [line.partition(":")[0] for line in decisions]
    monotonic, wall = ([entry[place] for entry in logged] for place in (1, 2))
    assert monotonic == sorted(monotonic)
    steps = [
        round((b - a) / 3.6e12) for a, b in itertools.pairwise(w - m for w, m in zip(wall, monotonic, strict=True))
    ]
    assert [step for step in steps if step] == [1, -2], "in hours"
    left = [int(seconds) for line in decisions for seconds in re.findall(r"in quarantine for (\d+) s", line)]
    assert left == sorted(left, reverse=True)
    assert left[0] <= 30
    assert stalling["status"] == 0


def test_a_scheduler_of_somebody_else_in_the_place_of_an_arms_is_told_and_left_alone(agents):
    replaced = agents["replaced"]
    assert "vtime was attached in the place of fifo" in replaced["quarantine"]["scx:fifo"]
    assert replaced["meanwhile"] == ["vtime", 0], "it is there, and none was attached since"
    before = replaced["lines"][: replaced["until"]]
    assert "vtime was attached by someone else, so this agent leaves all as it is" in before[-2]


def test_an_arm_that_starves_everybody_does_not_stop_the_agent(agents, report):
    """A process that hogs keep from all CPUs tells that they did; the agent ends its arm, and not the kernel."""
    replaced = agents["replaced"]
    began, ended = replaced["starved"]
    longest_s = max(stretches(agents, "starver"))
    assert 0.5 < (ended - began) / 1e9 < STALL_TIMEOUT_MS / 1000
    assert longest_s < STALL_TIMEOUT_MS / 1000
    assert "scx:starver" not in replaced["quarantine"]
    assert replaced["status"] == 0
    report.note(f"lab: an arm that starves all, ended by the agent after {longest_s:.2f} s")


def test_killed_at_random_moments_eevdf_is_back_and_no_task_keeps_a_changed_attribute(agents, report):
    """By a process that looks at the kernel's files and at the task every 2 ms. Most kills hit an arm of sched_ext."""
    killed = agents["killed"]
    assert len(killed) == KILLS
    assert all(is_back for *_, is_back in killed)
    attached = [name for name, *_ in killed if name != "eevdf"]
    assert len(attached) >= KILLS * 2 // 3
    delays_ms = sorted(delay_ns / 1e6 for *_, delay_ns, _ in killed)
    report.note(
        f"lab: {KILLS} kills of an agent, {len(attached)} under {', '.join(sorted(set(attached)))}: all is back after "
        f"{', '.join(f'{ms:.0f}' for ms in delays_ms)} ms"
    )
    assert delays_ms[-1] < LONGEST_NS / 1e6
    assert agents["seen"][-1][0] == "eevdf"
