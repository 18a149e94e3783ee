"""Files of /proc, /sys and cgroupfs in; columns of the summary out: names, scheduler, steal, throttling, own cost."""

import os
import resource
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from schedtel.access.descriptors import EXHAUSTED
from schedtel.foreign_text import text_of, text_of_path
from schedtel.host.throttling import Throttling
from schedtel.records.throttled import Throttled

_SCHED_EXT = Path("/sys/kernel/sched_ext")
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def running_scheduler(is_eevdf: bool) -> str:
    """Name of the running scheduler: the sched_ext scheduler's when one is enabled, else ``eevdf`` or ``cfs``."""
    try:
        if (_SCHED_EXT / "state").read_bytes().strip() == b"enabled":
            return text_of((_SCHED_EXT / "root" / "ops").read_bytes().strip())
    except OSError as error:  # no sched_ext in this kernel, or it was disabled between the two reads
        if error.errno in EXHAUSTED:
            raise
    return "eevdf" if is_eevdf else "cfs"


def steal_ns() -> int:
    """Time stolen by the hypervisor since boot, all CPUs (the eighth figure of /proc/stat's first line)."""
    with open("/proc/stat", encoding="ascii") as file:
        figures = file.readline().split()
    return int(figures[8]) * _TICK_NS if len(figures) > 8 else 0


def resident_bytes() -> int:
    """Resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@dataclass
class HostCounters:
    """The summary's counters of this machine and of this process, as differences from one window to the next."""

    is_eevdf: bool
    host: str = field(default_factory=lambda: text_of_path(socket.gethostname()))
    kernel: str = field(default_factory=lambda: os.uname().release)

    def __post_init__(self) -> None:
        self._throttling = Throttling()
        #: The cgroups that had a period of their bandwidth limit, as of the last :meth:`since_last`.
        self.throttled: list[Throttled] = []
        self._last = self._read()
        self._now = self._state()

    def _read(self) -> dict[str, int]:
        return {"steal_ns": steal_ns(), "collector_cpu_ns": time.process_time_ns()}

    def _state(self) -> dict[str, object]:
        return {"scheduler": running_scheduler(self.is_eevdf), "collector_rss_bytes": resident_bytes()}

    def _read_again(self) -> None:
        """Read all anew. If no descriptor is left, the last values stand, and the next window has the difference."""
        try:
            self._last, self._now = self._read(), self._state()
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise

    def since_last(self) -> dict[str, object]:
        """Columns of the summary: counts since the last call, and the names, scheduler and memory as they are now."""
        before = self._last
        self._read_again()
        self.throttled = self._throttling.since_last()
        counted = {name: max(0, value - before[name]) for name, value in self._last.items()}
        counted["throttled_ns"] = sum(throttled.throttled_ns for throttled in self.throttled)
        return {**counted, "host": self.host, "kernel": self.kernel, **self._now}
