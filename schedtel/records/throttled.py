"""What a bandwidth limit did to a cgroup. Apart from the raw window, since reading it needs no numpy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Throttled:
    """One cgroup, by its path in the hierarchy that has the cpu controller, and what its limit did to it.

    ``throttled_ns`` is summed over its CPUs; ``periods`` are those in which it wanted a CPU, ``throttled_periods``
    those of them in which it used up its quota.
    """

    cgroup: str
    throttled_ns: int
    periods: int
    throttled_periods: int
