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
COLD = ((64 << 10, 700), (256 << 10, 16_000), (512 << 10, 35_000), (1 << 20, 56_000), (4 << 20, 2_200_000))
#: Duration of a machine → its range in ns, 0 of each kind included where it may be nothing.
_LIMITS = {
    **dict.fromkeys(
        ("switch_ns", "migration_ns", "late_ns", "dispatch_ns", "fork_ns", "ready_ns", "others_ns"), (0, 10**9)
    ),
    **dict.fromkeys(("tick_ns", "warm_ns"), (1, 10**9)),
    **dict.fromkeys(("disk_ns", "others_gap_ns"), (0, 10**11)),
    "slice_ns": (0, 10**10),
}


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
    :param slower_millionths: by so many millionths, work takes longer than planned.
    :param late_ns: from a job's planned moment to its release.
    :param dispatch_ns: CPU time of a release; its task comes before all others.
    :param fork_ns: the same of a life's fork.
    :param ready_ns: CPU time in which a worker of a pool gets ready when the run begins; 0: it was ready before.
    :param steal_thousandths: of 1,000 times at which a CPU of the fair class runs out of tasks, so many it looks at
        once for one that waits elsewhere; else an idle CPU looks at the next tick.
    :param others_gap_ns: mean time between two tasks of others that take a CPU; 0 for none.
    :param others_ns: mean CPU time of one.
    :param cold: bytes that a task touches, and what a migration then costs it in ns; both rise.
    :param is_shared: CPUs share one speed, as those of a guest of the lab: where n of them are busy, each does 1 / n of
        the work of all.

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
    slower_millionths: int = 0
    late_ns: int = 0
    dispatch_ns: int = 0
    fork_ns: int = 0
    ready_ns: int = 0
    steal_thousandths: int = 1000
    others_gap_ns: int = 0
    others_ns: int = 0
    cold: tuple[tuple[int, int], ...] = COLD
    is_shared: bool = False

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise UsageError(
                f"cannot simulate scheduler {self.scheduler[:40]!r}: it is unknown "
                f"({did_you_mean(self.scheduler, SCHEDULERS)})"
            )
        limits = _LIMITS | {"cpus": (1, MOST_CPUS), "slower_millionths": (-500_000, 10**6)}
        limits |= {"steal_thousandths": (0, 1000)}
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
        if not self.migration_ns:
            return 0
        sizes, times = zip((0, 0), *self.cold, strict=True)
        beyond = size_bytes * times[-1] / sizes[-1] if size_bytes > sizes[-1] else 0
        return max(self.migration_ns, int(beyond or np.interp(size_bytes, sizes, times)))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"slice_ns": self.own_slice_ns}
