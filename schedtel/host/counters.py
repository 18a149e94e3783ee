"""Files of /proc, /sys and cgroupfs in; columns of the summary out: names, scheduler, steal, throttling, own cost."""

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from schedtel.access.descriptors import EXHAUSTED
from schedtel.foreign_text import text_of_path
from schedtel.host.sched_ext import SchedulerLabels
from schedtel.host.throttling import Throttling
from schedtel.records.throttled import Throttled

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def steal_ns() -> int:
    """Time stolen by the hypervisor since boot, all CPUs (the eighth figure of /proc/stat's first line)."""
    with open("/proc/stat", encoding="ascii") as file:
        figures = file.readline().split()
    return int(figures[8]) * _TICK_NS if len(figures) > 8 else 0


def resident_bytes() -> int:
    """Resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@contextmanager
def _as_before() -> Iterator[None]:
    """Leave what is read inside as it was before, if no descriptor is left to read it."""
    try:
        yield
    except OSError as error:
        if error.errno not in EXHAUSTED:
            raise


@dataclass
class HostCounters:
    """The summary's counters of this machine and of this process, as differences from one window to the next."""

    is_eevdf: bool
    host: str = field(default_factory=lambda: text_of_path(socket.gethostname()))
    kernel: str = field(default_factory=lambda: os.uname().release)

    def __post_init__(self) -> None:
        self._throttling = Throttling()
        self._schedulers = SchedulerLabels("eevdf" if self.is_eevdf else "cfs")
        #: The cgroups that had a period of their bandwidth limit, as of the last :meth:`since_last`.
        self.throttled: list[Throttled] = []
        self._last = self._read()
        self._now = self._state(0)

    def before_edge(self) -> None:
        """See which scheduler runs. To be called before each edge; :meth:`since_last` sees it again behind the edge."""
        with _as_before():
            self._schedulers.see()

    def _read(self) -> dict[str, int]:
        return {"steal_ns": steal_ns(), "collector_cpu_ns": time.process_time_ns()}

    def _state(self, edge_ns: int) -> dict[str, object]:
        return {"scheduler": self._schedulers.until(edge_ns), "collector_rss_bytes": resident_bytes()}

    def since_last(self, edge_ns: int) -> dict[str, object]:
        """Columns of the summary: counts since the last call, schedulers, and the names and memory as they are now.

        :param edge_ns: the end of the window that they are of, CLOCK_MONOTONIC.

        If no descriptor is left, the last values stand, and the next window has the difference.
        """
        before = self._last
        with _as_before():
            self._last, self._now = self._read(), self._state(edge_ns)
        self.throttled = self._throttling.since_last()
        counted = {name: max(0, value - before[name]) for name, value in self._last.items()}
        counted["throttled_ns"] = sum(throttled.throttled_ns for throttled in self.throttled)
        return {**counted, "host": self.host, "kernel": self.kernel, **self._now}
