"""What a person may choose of a simulated machine in; the same checked, with its defaults, out."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from schedtel.durations import format_duration
from schedtel.errors import UsageError
from schedtel.simulator.state import SCHEDULERS
from schedtel.suggestions import did_you_mean

MOST_CPUS = 1024
#: Scheduler → what it is, for a person.
DESCRIPTIONS = {
    "eevdf": "the kernel's: a queue for each CPU, lag, eligibility, deadlines, wake-up preemption, new-idle stealing",
    "vtime": "one queue by weighted CPU time, as the lab's vtime",
    "fifo": "one queue, first come first served, as the lab's fifo",
    "interactive": "one queue, bursts below 5 ms first, as the lab's interactive",
}
#: Slice of bpf/sched_ext/ops.h; a short burst's, and its patience, of bpf/sched_ext/interactive.bpf.c.
_SHARED_SLICE_NS, SHORT_NS, PATIENCE = 20_000_000, 5_000_000, 16
#: The kernel's slice on one CPU; on more, times 1 + log2 of them, of 8 at most (kernel/sched/fair.c).
_FAIR_SLICE_NS = 700_000
#: What it costs to warm another cache with so many bytes, measured on a virtual machine with 1 MiB of L2 for each core.
_COLD_BYTES = (0, 64 << 10, 256 << 10, 512 << 10, 1 << 20, 4 << 20, 1 << 34)
_COLD_NS = (0, 700, 16_000, 35_000, 56_000, 2_200_000, 2_200_000 * 4096)


@dataclass(frozen=True)
class Machine:
    """A machine and its scheduler.

    :param scheduler: one of ``SCHEDULERS``.
    :param slice_ns: how long a task keeps its CPU while others wait; 0 is the scheduler's own default.
    :param tick_ns: slices end at multiples of it; 1 is a kernel that ends them exactly.
    :param switch_ns: CPU time of a switch.
    :param migration_ns: CPU time that a task loses by a migration while its last CPU's cache is warm.
    :param warm_ns: after so long off its CPU, a task has nothing in the cache there.
    :param disk_ns: time for which a write blocks that waits for the disk.

    Raises :class:`UsageError` for a scheduler that is unknown, and for values out of range.
    """

    cpus: int = 2
    scheduler: str = "eevdf"
    slice_ns: int = 0
    tick_ns: int = 4_000_000
    switch_ns: int = 1_500
    migration_ns: int = 16_000
    warm_ns: int = 5_000_000
    disk_ns: int = 1_000_000

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise UsageError(
                f"cannot simulate scheduler {self.scheduler[:40]!r}: it is unknown "
                f"({did_you_mean(self.scheduler, SCHEDULERS)})"
            )
        limits = {"cpus": (1, MOST_CPUS), "slice_ns": (0, 10**10), "tick_ns": (1, 10**9), "warm_ns": (1, 10**9)}
        limits |= dict.fromkeys(("switch_ns", "migration_ns"), (0, 10**9)) | {"disk_ns": (0, 10**11)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                what, show = name.removesuffix("_ns"), format_duration if name.endswith("_ns") else str
                raise UsageError(
                    f"cannot simulate a machine with {what} {show(getattr(self, name))}: it must be from {show(low)} "
                    f"to {show(high)}"
                )

    @property
    def own_slice_ns(self) -> int:
        """The slice that is in effect."""
        if self.slice_ns:
            return self.slice_ns
        if self.scheduler != "eevdf":
            return _SHARED_SLICE_NS
        return _FAIR_SLICE_NS * (1 + math.floor(math.log2(min(self.cpus, 8))))

    @property
    def balance_ns(self) -> int:
        """Between two times at which a busy CPU of the fair class looks for a task that waits elsewhere.

        The kernel tries so every 16 ms for each CPU of the domain, and takes a task at about every second attempt.
        """
        return 32_000_000 * min(self.cpus, 8)

    def warming_ns(self, size_bytes: int) -> int:
        """What a migration costs a task that touches so many bytes: at least what it costs any task."""
        return max(self.migration_ns, int(np.interp(size_bytes, _COLD_BYTES, _COLD_NS)) if self.migration_ns else 0)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"slice_ns": self.own_slice_ns}
