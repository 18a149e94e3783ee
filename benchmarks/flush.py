"""Wall time for each active task of the library's own flush (iterator and drain) and of its batch to Arrow.

The share of the BPF program inside the flush is what the kernel counts, in windows of their own, since counting costs.
"""

import sys
import time
from collections.abc import Callable

from benchmarks import kernel, workloads
from benchmarks.measures import Row, Target, row
from schedtel import tables
from schedtel.core import CoreLoader
from schedtel.filters import Filter
from schedtel.host import CgroupPaths
from schedtel.loader import RawWindow

PART = "flush"
REPEATS = 15
_ACTIVE = (2000, 5000)
_FLUSH_TARGET, _ARROW_TARGET = Target(600), Target(300)
_FOREVER_NS = 2**62
#: The last thread to run has told so before it sleeps again.
_SETTLE_S = 0.02


class _TimedLoader(CoreLoader):
    """The library's loader, with a watch on its flush."""

    flush_ns = 0

    def _flush(self) -> None:
        self.flush_ns = _duration_ns(super()._flush)


def _duration_ns(action: Callable[[], object]) -> int:
    """Nanoseconds of wall time that an action takes."""
    begin = time.perf_counter_ns()
    action()
    return time.perf_counter_ns() - begin


def measure() -> tuple[list[Row], list[str]]:
    """Rows, and notes on what could not be measured."""
    rows = []
    for active in _ACTIVE:
        with workloads.threads(active) as load:
            rows += _rows(active, load)
    return rows, []


def _rows(active: int, load: workloads.Threads) -> list[Row]:
    loader = _TimedLoader(Filter())
    try:
        loader.open_first(lambda _: _FOREVER_NS)
        _sample(loader, load, active)  # the first one pays for page faults of the ring's mapping
        flush, arrow = zip(*(_sample(loader, load, active) for _ in range(REPEATS)), strict=True)
        with kernel.counting():
            program = [_program_sample(loader, load) for _ in range(REPEATS // 3)]
    finally:
        loader.close()
    name = f"{active:,} active tasks"
    return [
        row(f"flush, {name}", "schedtel", "ns/task", list(flush), _FLUSH_TARGET),
        row(f"of it the BPF iterator, {name}", "schedtel", "ns/task", program),
        row(f"batch to Arrow, {name}", "schedtel", "ns/task", list(arrow), _ARROW_TARGET),
    ]


def _window(loader: _TimedLoader, load: workloads.Threads) -> RawWindow:
    """A window in which every thread woke up once."""
    load.pulse()
    time.sleep(_SETTLE_S)
    loader.end_now()
    return loader.collect(lambda _: _FOREVER_NS)


def _sample(loader: _TimedLoader, load: workloads.Threads, active: int) -> tuple[float, float]:
    """Nanoseconds a task of one window: the flush, and the batch to Arrow."""
    raw = _window(loader, load)
    if len(raw.tasks) < active:
        sys.exit(f"flush: only {len(raw.tasks)} of {active} threads were active")
    paths = CgroupPaths()
    paths.path_of(0)  # reading the cgroup tree is done once a run, not once a window
    arrow_ns = _duration_ns(lambda: tables.tasks_batch(1, raw.tasks, raw.folded, paths.path_of))
    return loader.flush_ns / len(raw.tasks), arrow_ns / len(raw.tasks)


def _program_sample(loader: _TimedLoader, load: workloads.Threads) -> float:
    """Nanoseconds a task that the kernel counts for the flush program itself, calls for sleeping tasks included."""
    before = loader.run_counts()["flush"]
    raw = _window(loader, load)
    return (loader.run_counts()["flush"][1] - before[1]) / len(raw.tasks)
