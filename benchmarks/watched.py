"""schedtel's own backend and tables inside this process, with a timer on each step at a window's end."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import kernel, peers
from schedtel.host.cgroups import CgroupPaths
from schedtel.kernel.core import programs
from schedtel.kernel.core.backend import CoreBackend
from schedtel.kernel.filters import Filter
from schedtel.kernel.settings import DEFAULT_RING_BYTES
from schedtel.records.raw_window import RawWindow
from schedtel.windows import tables
from schedtel.windows.memory import Memory

FOREVER_NS = 2**62
#: The last worker reports that it ran before it sleeps again; this is time for it to go to sleep.
_SETTLE_S = 0.02


class _TimedBackend(CoreBackend):
    """The library's backend, with a timer on its flush."""

    flush_ns = 0

    def _flush(self) -> None:
        self.flush_ns = duration_ns(super()._flush)


def duration_ns(action: Callable[[], object]) -> int:
    """Nanoseconds of wall time that an action takes."""
    begin = time.perf_counter_ns()
    action()
    return time.perf_counter_ns() - begin


@dataclass(frozen=True)
class WindowCost:
    """The cost of one window's end: wall time of the flush and of the batch to Arrow, and the number of rows."""

    flush_ns: int
    arrow_ns: int
    rows: int
    folded: int
    losses: dict[str, int]


class Watched:
    """Windows that end on demand, each with its cost."""

    def __init__(self, ring_bytes: int = DEFAULT_RING_BYTES) -> None:
        self._backend = _TimedBackend(programs.load(Filter(), ring_bytes))
        self._backend.open_first(lambda _: FOREVER_NS)
        self._paths = CgroupPaths()
        self._memory = Memory()
        self._paths.path_of(0)  # reads the cgroup tree, which a run does once, not in every window

    def raw(self, work: Callable[[], object] = lambda: None) -> RawWindow:
        """Do the work, and return the raw window that contains it."""
        work()
        time.sleep(_SETTLE_S)
        self._backend.end_now()
        return self._backend.collect(lambda _: FOREVER_NS)

    def window(self, work: Callable[[], object] = lambda: None) -> WindowCost:
        """Do the work, end the window that contains it, make its batch of tasks, and return the cost."""
        raw = self.raw(work)
        batch = duration_ns(
            lambda: tables.tasks_batch(1, raw.tasks, raw.folded, self._paths.path_of, memory=self._memory)
        )
        return WindowCost(self._backend.flush_ns, batch, len(raw.tasks), int(raw.folded["tasks"].sum()), raw.losses)

    def program_ns(self, work: Callable[[], object] = lambda: None) -> tuple[int, int]:
        """Nanoseconds that the kernel counts for the flush program in one window, and the window's number of rows."""
        before = self._backend.run_counts()["flush"][1]
        raw = self.raw(work)
        return self._backend.run_counts()["flush"][1] - before, len(raw.tasks)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Runs and nanoseconds of each program since load."""
        return self._backend.run_counts()

    def close(self) -> None:
        self._backend.close()


@contextmanager
def watched(ring_bytes: int = DEFAULT_RING_BYTES) -> Iterator[Watched]:
    """The backend, tracing in this process; the kernel has freed its programs when the context ends."""
    subject = Watched(ring_bytes)
    own = kernel.program_ids(os.getpid())
    peers.observers.own |= own
    try:
        subject.window()  # the first window contains the page faults of the mappings
        yield subject
    finally:
        subject.close()
        kernel.wait_until_gone(own)
