"""Any number of windows in; waits by pair of victim and preemptor, and throttled time by cgroup, out.

The number of names is bounded; the total over all names is exact.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from schedtel.windows import tables
from schedtel.windows.window import Window

#: The number of pairs, and of cgroups, that are kept by name; the smaller ones are summed into one.
MOST_PAIRS = 64
#: The name of that sum, and of a cgroup that was gone before its path was known. Neither can be taken for a comm, which
#: is shorter, or for a path.
SMALLER, GONE = "(smaller ones, summed)", "(cgroup that has gone)"

_Key = TypeVar("_Key", bound=Hashable)


@dataclass
class Preempted:
    """Sums by name. ``pairs``: (victim, preemptor) → count, wait_ns, max_wait_ns; ``throttled``: cgroup → ns."""

    pairs: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    throttled: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, window: Window) -> Preempted:
        """The sums of one window."""
        sums = cls()
        batch = window.preemptions
        names = (batch[side].to_pylist() for side in ("victim", "preemptor"))
        figures = (tables.column(batch, name).tolist() for name in ("count", "wait_ns", "max_wait_ns"))
        for victim, preemptor, count, wait_ns, max_wait_ns in zip(*names, *figures, strict=True):
            sums.add((victim or GONE, preemptor or GONE), count, wait_ns, max_wait_ns)
        throttled = tables.column(window.throttled, "throttled_ns").tolist()
        for cgroup, ns in zip(window.throttled["cgroup"].to_pylist(), throttled, strict=True):
            if ns:
                sums.throttled[cgroup] = sums.throttled.get(cgroup, 0) + ns
        sums._bound()
        return sums

    def absorb(self, later: Preempted) -> None:
        """Add the sums of later windows."""
        for pair, figures in later.pairs.items():
            self.add(pair, *figures)
        for cgroup, ns in later.throttled.items():
            self.throttled[cgroup] = self.throttled.get(cgroup, 0) + ns
        self._bound()

    def add(self, pair: tuple[str, str], count: int, wait_ns: int, max_wait_ns: int) -> None:
        counts, waits, longest = self.pairs.get(pair, (0, 0, 0))
        self.pairs[pair] = (counts + count, waits + wait_ns, max(longest, max_wait_ns))

    def _bound(self) -> None:
        for pair in _smallest({pair: wait for pair, (_, wait, _) in self.pairs.items()}, (SMALLER, SMALLER)):
            self.add((SMALLER, SMALLER), *self.pairs.pop(pair))
        for cgroup in _smallest(self.throttled, SMALLER):
            self.throttled[SMALLER] = self.throttled.get(SMALLER, 0) + self.throttled.pop(cgroup)


def _smallest(sizes: dict[_Key, int], rest: _Key) -> list[_Key]:
    """The keys to sum into ``rest``, so that at most MOST_PAIRS others are kept."""
    named = [key for key in sizes if key != rest]
    return sorted(named, key=lambda key: -sizes[key])[MOST_PAIRS:]
