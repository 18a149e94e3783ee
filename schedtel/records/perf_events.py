"""The perf events that can be counted for each task: a name in; what perf_event_open(2) takes, and the unit, out.

The numbers are those of ``include/uapi/linux/perf_event.h``.
"""

import re
from dataclasses import dataclass

HARDWARE, SOFTWARE, RAW = 0, 1, 4


@dataclass(frozen=True)
class PerfEvent:
    """An event: ``kind`` and ``config`` as perf_event_open(2) takes them, and what a count of it is, in its unit."""

    name: str
    kind: int
    config: int
    meaning: str
    unit: str = "1"

    @property
    def word(self) -> str:
        """The name as an identifier, for names that are made of it."""
        return self.name.replace("-", "_")


#: Every event that has a name, in the order in which they are counted and told.
EVENTS = (
    PerfEvent("cycles", HARDWARE, 0, "cycles of the CPU"),
    PerfEvent("instructions", HARDWARE, 1, "instructions retired"),
    PerfEvent("cache-references", HARDWARE, 2, "accesses to the last-level cache"),
    PerfEvent("cache-misses", HARDWARE, 3, "accesses that missed the last-level cache"),
    PerfEvent("branch-instructions", HARDWARE, 4, "branches retired"),
    PerfEvent("branch-misses", HARDWARE, 5, "branches that were predicted wrongly"),
    PerfEvent("page-faults", SOFTWARE, 2, "page faults, minor and major"),
    PerfEvent("minor-faults", SOFTWARE, 5, "page faults that needed no I/O"),
    PerfEvent("major-faults", SOFTWARE, 6, "page faults that waited for I/O"),
    PerfEvent("context-switches", SOFTWARE, 3, "context switches that brought a task in"),
    PerfEvent("cpu-migrations", SOFTWARE, 4, "arrivals on another CPU"),
    PerfEvent("task-clock", SOFTWARE, 1, "time on a CPU, by the clock of perf's task-clock", "ns"),
    PerfEvent("cpu-clock", SOFTWARE, 0, "time on a CPU, by the clock of perf's cpu-clock", "ns"),
    PerfEvent("alignment-faults", SOFTWARE, 7, "accesses to unaligned addresses that the kernel made good"),
    PerfEvent("emulation-faults", SOFTWARE, 8, "instructions that the kernel emulated"),
)
_RAW_NAME = re.compile(r"r([0-9a-f]{1,16})")


def event_named(name: str) -> PerfEvent | None:
    """The event of that name, or, for ``r`` and a number in hexadecimal, the raw event of that number; else None."""
    raw = _RAW_NAME.fullmatch(name)
    if raw:
        return PerfEvent(name, RAW, int(raw[1], 16), "as the CPU's manual says")
    return next((event for event in EVENTS if event.name == name), None)
