"""Arms of sched_ext in a guest of the lab: how long a swap takes, a stall, an arm that is held, watched and ended."""

import itertools
import json
from pathlib import Path

import pytest
from kernels import UnavailableError

from schedtel.lab import jobs, packages, schedulers
from schedtel.lab.frames import STDERR, STDOUT
from schedtel.lab.machine import Boot
from schedtel.lab.snapshot import snapshot

PATIENCE_S = 600
STALL_TIMEOUT_MS = 2000
#: What a look at the kernel's files may be late by.
LOOK_NS = 5_000_000


def answer_of(script, argument, files, kernel=packages.DEFAULT_KERNEL):
    """What a script says in a guest that has our schedulers, whose snapshot other tests take as well."""
    try:
        start = snapshot(jobs.machine(kernel, 2), schedulers.guest_files(schedulers.own_names()))
        files = files()
    except UnavailableError as reason:
        pytest.skip(str(reason))
    said = {STDOUT: b"", STDERR: b""}
    with packages.scratch() as directory:
        answer = Boot(start, directory).run(
            jobs.job_file(["python3", "-P", f"/{script}", argument])
            | files
            | {f"/{script}": Path(__file__).with_name(script).read_bytes()},
            lambda kind, text: said.update({kind: said[kind] + text}),
            PATIENCE_S,
        )
    assert answer.status == 0, said[STDERR].decode()[-3000:]
    return json.loads(said[STDOUT])


@pytest.fixture(scope="module")
def arms():
    """What a guest says of arms that were brought into effect, ejected and put back; one boot for all that is asked."""
    staller = Path(__file__).with_name("staller.bpf.c")
    return answer_of("guest_arms.py", str(STALL_TIMEOUT_MS), lambda: schedulers.object_file(staller))


def objects_for_a_cgroup():
    """A job has no room for more than them, and the libraries are in the snapshot."""
    files = schedulers.guest_files(["vtime@"])
    return {path: content for path, content in files.items() if path.endswith(".sub.o")}


def test_a_swap_says_how_long_neither_scheduler_ran(arms, report):
    """By the moments at which the kernel's files have changed, which another thread noted."""
    for swap, (name, next_name) in zip(
        arms["swaps"], itertools.pairwise(["eevdf", "fifo", "vtime", "eevdf"]), strict=True
    ):
        assert swap["scheduler"] == next_name
        if "eevdf" in (name, next_name):
            continue
        (lost, lost_ns), (found, found_ns) = [(what, ns) for what, ns in arms["seen"] if ns >= swap["began"]][:2]
        assert (lost, found) == ("eevdf", next_name)
        assert found_ns <= swap["ended"] + LOOK_NS
        gap_ns = swap["detach"] + swap["attach"]
        assert found_ns - lost_ns <= gap_ns + LOOK_NS
        assert gap_ns <= found_ns - lost_ns + 50_000_000, "what is loaded before is not in it"
        report.note(
            f"lab: {name} to {next_name} in {(swap['ended'] - swap['began']) / 1e6:.0f} ms, detach "
            f"{swap['detach'] / 1e6:.0f}, attach {swap['attach'] / 1e6:.0f}, {(found_ns - lost_ns) / 1e6:.0f} of eevdf"
        )


def test_a_scheduler_that_stalls_is_ejected_in_time_and_the_kernel_says_why(arms, report):
    """By the clock of the task that it left waiting."""
    stalled = arms["stalled"]
    began, ended = stalled["slept"]
    assert stalled["swap"]["scheduler"] == "staller"
    assert STALL_TIMEOUT_MS <= (ended - began) / 1e6 <= 1.6 * STALL_TIMEOUT_MS
    assert "staller was ejected" in stalled["problem"]
    assert f"runnable task stall: stalled[{stalled['pid']}] failed to run for" in stalled["problem"]
    report.note(f"lab: a stall, ejected after {(ended - began) / 1e9:.2f} s of {STALL_TIMEOUT_MS / 1e3:g}")


def test_a_held_arm_ends_when_it_is_asked_to_and_when_it_is_killed(arms):
    held = arms["held"]
    assert held["said"].startswith("scx:fifo: in effect after ")
    assert (held["held"], held["after"], held["killed"]) == ("fifo", "eevdf", "vtime")
    says = f"ended process {held['pid']} (schedtel): put back 1 sched_ext scheduler\n"
    assert (held["restored"], held["holder"]) == ([0, says, ""], 0)


def test_watch_shows_what_the_kernel_ran_and_why_it_went(arms):
    changes = arms["watched"]
    assert (arms["watch"], changes[0]["scheduler"], changes[0]["unseen"]) == (0, "eevdf", 0)
    ran = [change for change in changes if change["state"] == "enabled"]
    # In a slow guest, one may come and go between two looks: then the next change says so.
    attached = dict(enumerate(["fifo", "vtime", "staller", "fifo", "vtime"], 1))
    seen_ran = {change["enable_seq"]: change["scheduler"] for change in ran}
    assert seen_ran.items() <= attached.items()
    assert seen_ran[3] == "staller"
    looked_at = {change["enable_seq"] for change in changes if change["state"] in ("enabled", "disabling")}
    assert sum(change["unseen"] for change in changes) == len(attached) - len(looked_at)
    (ejected,) = [change for change in changes if change["reason"] and "runnable task stall" in change["reason"]]
    assert ejected["state"] == "disabled"
    if 1 in seen_ran:
        seen = dict(arms["seen"][:4])
        assert abs(ran[0]["monotonic_ns"] - seen["fifo"]) < 100_000_000


def test_a_cgroup_has_a_scheduler_of_its_own_until_its_holder_is_killed(report):
    """By the kernel's files, its books and its log. Its kernel is the one of the lab's that has sub-schedulers."""
    said = answer_of("guest_cgroup_arm.py", "vtime", objects_for_a_cgroup, "7.2")
    assert said["arms"]["scx:vtime@/x"] is None
    wrong = ["cgroup of all (write scx:vtime)", "no such cgroup", "did you mean 'vtime'?"]
    assert all(part in line for part, line in zip(wrong, said["refused"], strict=True))
    held, (killed, problem) = said["held"], said["killed"]
    assert held["shown"] == {"root": "lender", f"root/sub/sub-{said['id']}": "vtime"}
    assert (held["current"], held["problem"]) == (["lender/vtime", {"/x": "vtime"}], None)
    inside, outside = sum(held["ran_ns"][:2]), sum(held["ran_ns"][2:])
    assert min(inside, outside) > 0.2 * (inside + outside)
    assert (killed, problem.startswith("lender was ejected: the kernel is back to EEVDF")) == ({}, True)
    assert said["label"] == "eevdf+lender/vtime+eevdf"
    before, during, after = said["seen"]
    assert (before[:3], after[:3]) == (["eevdf", {}, 0], ["eevdf", {}, 1])
    assert during[:3] == ["lender/vtime", {"/x": "vtime"}, 1]
    assert "vtime: unregistered from user space" in after[3]
    report.note(f"lab: vtime for a cgroup, hogs in it had {100 * inside / (inside + outside):.0f} % of two CPUs")
