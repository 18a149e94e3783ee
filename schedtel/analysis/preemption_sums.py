"""Who preempted whom and who was throttled, of any number of windows: sums by name, bounded, exact in all."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from schedtel.windows import tables
from schedtel.windows.window import Window

#: Pairs, or cgroups, kept by name; the smaller ones are summed into one.
MOST_PAIRS = 64
#: What stands for those, and for a cgroup that had gone before its path was known. No comm is so long, and no path.
SMALLER, GONE = "(smaller ones, summed)", "(cgroup that has gone)"

_Key = TypeVar("_Key", bound=Hashable)


@dataclass
class Preempted:
    """``pairs``: (victim, preemptor) → count, wait_ns, max_wait_ns; ``throttled``: cgroup → nanoseconds."""

    pairs: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    throttled: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, window: Window) -> Preempted:
        """What one window says."""
        found = cls()
        batch = window.preemptions
        names = (batch[side].to_pylist() for side in ("victim", "preemptor"))
        figures = (tables.column(batch, name).tolist() for name in ("count", "wait_ns", "max_wait_ns"))
        for victim, preemptor, count, wait_ns, max_wait_ns in zip(*names, *figures, strict=True):
            found.add((victim or GONE, preemptor or GONE), count, wait_ns, max_wait_ns)
        throttled = tables.column(window.throttled, "throttled_ns").tolist()
        for cgroup, ns in zip(window.throttled["cgroup"].to_pylist(), throttled, strict=True):
            if ns:
                found.throttled[cgroup] = found.throttled.get(cgroup, 0) + ns
        found._bound()
        return found

    def absorb(self, later: Preempted) -> None:
        """Add what came later."""
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
    """What is to be summed into the rest, so that no more than MOST_PAIRS are kept beside it."""
    named = [key for key in sizes if key != rest]
    return sorted(named, key=lambda key: -sizes[key])[MOST_PAIRS:]
