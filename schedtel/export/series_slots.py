"""Keys in, one of so many places for each out: the first have their own, the rest share the place of ``other``.

What is counted stays where it was counted: a series never goes back, and nothing is counted twice. When there is no
room, a newcomer gets the place of one that has not been active for five minutes, after which Prometheus has forgotten
it; its series ends, and should it come back, begins again from 0. Until then the newcomer is in ``other``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

#: What the rest is called. It is no cgroup's path: those begin with a slash.
OTHER = "other"
#: Prometheus's look-back: a series is stale when its last sample is so old.
IDLE_NS = 300 * 1_000_000_000

Key = TypeVar("Key")


class SeriesSlots(Generic[Key]):
    """At most ``most`` keys and ``other``, whose place is 0. ``folded``: keys of the last window that had no room.

    :param clear: called with a place that changes hands.
    """

    def __init__(self, most: int, other: Key, clear: Callable[[int], None]) -> None:
        self._other, self._clear = other, clear
        self._taken = {other: 0}
        self._free = list(range(most, 0, -1))
        self._start_ns, self._active_ns = np.zeros((2, most + 1), np.int64)
        self.folded = 0

    def __len__(self) -> int:
        """How many have a place of their own."""
        return len(self._taken) - 1

    def __iter__(self) -> Iterator[tuple[Key, int, int]]:
        """Key, place, and since when (wall clock) what is there is its own."""
        for key, place in self._taken.items():
            yield key, place, int(self._start_ns[place])

    def of(self, keys: Sequence[Key], asked: np.ndarray, wall_start_ns: int, end_ns: int) -> np.ndarray:
        """Each key's place in a window, shape (keys,). If there is no room for all, the busiest come first.

        :param asked: how much each was active, shape (keys,); one that was not gets no place.
        :param end_ns: the window's end on CLOCK_MONOTONIC.
        """
        self._start_ns[0] = self._start_ns[0] or wall_start_ns
        self.folded = 0
        places = np.zeros(len(keys), np.int64)
        # First those that have a place: one that is active now must not be taken for idle.
        for at in sorted(range(len(keys)), key=lambda at: (keys[at] not in self._taken, -asked[at])):
            if asked[at] > 0:
                places[at] = self._active(keys[at], wall_start_ns, end_ns)
            else:
                places[at] = self._taken.get(keys[at], 0)
        return places

    def _active(self, key: Key, wall_start_ns: int, end_ns: int) -> int:
        """The place of a key: its own, a free one, or that of ``other``."""
        if key not in self._taken and not self._take(key, wall_start_ns, end_ns):
            self.folded += 1
            return 0
        place = self._taken[key]
        self._active_ns[place] = end_ns
        return place

    def _take(self, key: Key, wall_start_ns: int, end_ns: int) -> bool:
        if not self._free and not self._evict(end_ns):
            return False
        place = self._taken[key] = self._free.pop()
        self._start_ns[place] = wall_start_ns
        return True

    def _evict(self, end_ns: int) -> bool:
        """Free the place of whoever has been idle the longest, if long enough."""
        others = (key for key in self._taken if key != self._other)
        key = min(others, key=lambda key: self._active_ns[self._taken[key]], default=None)
        if key is None or self._active_ns[self._taken[key]] > end_ns - IDLE_NS:
            return False
        place = self._taken.pop(key)
        self._clear(place)
        self._free.append(place)
        return True
