"""How much a bandwidth limit throttled a cgroup. Not in the module of the raw window, which imports numpy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Throttled:
    """How much one cgroup was throttled; ``cgroup`` is its path in the hierarchy that has the cpu controller.

    ``throttled_ns`` is summed over the cgroup's CPUs; ``periods`` are those in which it wanted a CPU,
    ``throttled_periods`` those of them in which it used up its quota.
    """

    cgroup: str
    throttled_ns: int
    periods: int
    throttled_periods: int
