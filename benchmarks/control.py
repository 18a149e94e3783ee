"""A check of ``slowdown`` with a watcher of known cost: does division by the yardstick yield the true slowdown?

Runs only on request: ``python -m benchmarks control``. The watcher does arithmetic at every birth and exit. Its cost is
the run time that the kernel counts, and nothing else, so the load should take longer by that time. If the watcher also
slowed down the yardstick, the reported slowdown would be too small.
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
    """A load, and the number of arithmetic steps that the watcher does at each birth and exit."""

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


class Slowdown(NamedTuple):
    """The slowdown of a load: as ``slowdown`` measures it, and from the run time that the kernel counts."""

    measured: float
    counted: float


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    if not workloads.has_perf():
        return [], ["control: not measured, perf is missing (apt install linux-perf)"]
    sampled, notes = interleaved(_SUBJECTS, plan.rounds(_ROUNDS), _sample)
    return [line for name, samples in sampled.items() for line in _rows(name, samples)], notes


def _sample(controlled: Controlled) -> Slowdown:
    """The slowdown of a load under the watcher, measured and counted."""
    runs: list[tuple[float, float]] = []

    def timed() -> float:
        before = _counted_ns()
        took = workloads.cpu_ns(controlled.run)
        runs.append((took, _counted_ns() - before))
        return took

    watcher = Peer("control", partial(_watching, controlled), settle_s=0)
    sample = between(Load("ns", timed, by_yardstick=True), watcher)
    took, cost = (sum(column) for column in zip(*(each for each in runs if each[1]), strict=True))
    return Slowdown(sample.slowdown, took / (took - cost))


@contextmanager
def _watching(controlled: Controlled) -> Iterator[int]:
    """Attach the programs while the kernel counts their run time. Yields 0, since there is no collector."""
    compiled = builds.bpf_object("control", STEPS=controlled.steps)
    with kernel.counting(), attached_here(compiled, _PROGRAMS):
        yield 0


def _counted_ns() -> int:
    """Run time so far of all BPF programs that this process holds: those of the control while it watches, else none."""
    return sum(runs.run_time_ns for runs in kernel.program_runs(os.getpid()).values())


def _rows(name: str, samples: list[Slowdown]) -> list[Row]:
    """Rows: the measured slowdown, the counted slowdown, and the ratio of the times added."""
    measured, counted = ([getattr(sample, by) for sample in samples] for by in Slowdown._fields)
    return [
        row(f"{name}, slowdown", "as told", "ratio", measured),
        row(f"{name}, slowdown", "by the kernel's count", "ratio", counted),
        ratio(f"{name}, time added", [one - 1 for one in measured], [one - 1 for one in counted], "told / counted"),
    ]
