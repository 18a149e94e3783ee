"""What ``slowdown`` says of a watcher whose cost is known: is what it tells, told in terms of a yardstick, true?

Only on request: ``python -m benchmarks control``. The watcher does arithmetic at every birth and exit, which costs
what the kernel counts as its run time, and nothing else; so a load should take as much longer. A yardstick that were
slowed down too would take away from that.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from benchmarks import builds, kernel, workloads
from benchmarks.loads import Load, between
from benchmarks.measures import Plan, Row, ratio, row
from benchmarks.peers import Peer
from benchmarks.rounds import interleaved
from benchmarks.rungs import attached_here
from benchmarks.slowdown import storm

PART = "control"
_ROUNDS = 5
_PROGRAMS = ("control_fork", "control_exit")


class Controlled(NamedTuple):
    """A load, and how many steps of arithmetic the watcher does at each birth and exit."""

    run: Callable[[], object]
    steps: int


_SUBJECTS = {
    f"{load}, {steps:,} steps": Controlled(run, steps)
    for load, run, each in (
        ("messaging", workloads.messaging, (30_000, 120_000)),
        ("fork storm", storm, (8_000, 32_000)),
    )
    for steps in each
}


class Told(NamedTuple):
    """How many times as long a load takes: as ``slowdown`` tells it, and by the kernel's books."""

    told: float
    counted: float


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """Rows, and notes on what could not be measured."""
    if not workloads.has_perf():
        return [], ["control: not measured, perf is missing (apt install linux-perf)"]
    taken, notes = interleaved(_SUBJECTS, plan.rounds(_ROUNDS), _sample)
    return [line for name, samples in taken.items() for line in _rows(name, samples)], notes


def _sample(controlled: Controlled) -> Told:
    """A load under the watcher of known cost, beside the load alone; each run of it by both books."""
    runs: list[tuple[float, float]] = []

    def timed() -> float:
        before = _counted_ns()
        took = workloads.cpu_ns(controlled.run)
        runs.append((took, _counted_ns() - before))
        return took

    watcher = Peer("control", partial(_watching, controlled), settle_s=0)
    sample = between(Load("ns", timed, by_yardstick=True), watcher)
    took, cost = (sum(column) for column in zip(*(each for each in runs if each[1]), strict=True))
    return Told(sample.slowdown, took / (took - cost))


@contextmanager
def _watching(controlled: Controlled) -> Iterator[int]:
    """The programs, attached, while the kernel counts what they take; 0, since nobody collects."""
    compiled = builds.bpf_object("control", STEPS=controlled.steps)
    with kernel.counting(), attached_here(compiled, _PROGRAMS):
        yield 0


def _counted_ns() -> int:
    """Run time so far of the BPF programs that this process holds: none but those, while they are there."""
    return sum(runs.run_time_ns for runs in kernel.program_runs(os.getpid()).values())


def _rows(name: str, samples: list[Told]) -> list[Row]:
    """What was told of the load and what was counted; and the part of the time counted that was told."""
    told, counted = ([getattr(sample, by) for sample in samples] for by in Told._fields)
    return [
        row(f"{name}, slowdown", "as told", "ratio", told),
        row(f"{name}, slowdown", "by the kernel's count", "ratio", counted),
        ratio(f"{name}, time added", [one - 1 for one in told], [one - 1 for one in counted], "told / counted"),
    ]
