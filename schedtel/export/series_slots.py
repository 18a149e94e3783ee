"""Keys in; one of a fixed number of slots for each out. The first keys have their own, the rest share ``other``.

A count stays in the slot it was added to, so no series decreases and no sample is counted twice. If no slot is free, a
new key takes the slot of a key that has not been active for five minutes, which is how far Prometheus looks back for a
sample. The series of that key ends, and starts again from 0 if the key returns. Until then the new key is in ``other``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

#: Key of the slot that the rest share. It cannot be the path of a cgroup: those begin with a slash.
OTHER = "other"
#: Prometheus's default look-back: a series is stale when its last sample is older than this.
IDLE_NS = 300 * 1_000_000_000

Key = TypeVar("Key")


class SeriesSlots(Generic[Key]):
    """Slots of at most ``most`` keys, and slot 0 of ``other``.

    ``folded``: number of keys of the last window that had no slot. Iterating yields (key, slot, start of its sums).

    :param clear: called with a slot before another key gets it.
    """

    def __init__(self, most: int, other: Key, clear: Callable[[int], None]) -> None:
        self._other, self._clear = other, clear
        self._slot_of = {other: 0}
        self._free = list(range(most, 0, -1))
        self._start_ns, self._active_ns = np.zeros((2, most + 1), np.int64)
        self.folded = 0

    def __len__(self) -> int:
        """Number of keys that have a slot of their own."""
        return len(self._slot_of) - 1

    def __iter__(self) -> Iterator[tuple[Key, int, int]]:
        """Yield each key, its slot, and the wall clock in nanoseconds since which the slot has been the key's."""
        for key, slot in self._slot_of.items():
            yield key, slot, int(self._start_ns[slot])

    def of(self, keys: Sequence[Key], activity: np.ndarray, wall_start_ns: int, end_ns: int) -> np.ndarray:
        """Each key's slot in a window, shape (keys,). If slots are short, the most active keys get them.

        :param activity: how active each key was, shape (keys,); a key with 0 gets no new slot.
        :param wall_start_ns: the window's start on the wall clock.
        :param end_ns: the window's end on CLOCK_MONOTONIC.
        """
        self._start_ns[0] = self._start_ns[0] or wall_start_ns
        self.folded = 0
        slots = np.zeros(len(keys), np.int64)
        # Keys that have a slot come first, so that a new key cannot evict one that is active in this window.
        for at in sorted(range(len(keys)), key=lambda at: (keys[at] not in self._slot_of, -activity[at])):
            if activity[at] > 0:
                slots[at] = self._active(keys[at], wall_start_ns, end_ns)
            else:
                slots[at] = self._slot_of.get(keys[at], 0)
        return slots

    def _active(self, key: Key, wall_start_ns: int, end_ns: int) -> int:
        """The slot of an active key: its own, a free one, or that of ``other``."""
        if key not in self._slot_of and not self._assign(key, wall_start_ns, end_ns):
            self.folded += 1
            return 0
        slot = self._slot_of[key]
        self._active_ns[slot] = end_ns
        return slot

    def _assign(self, key: Key, wall_start_ns: int, end_ns: int) -> bool:
        if not self._free and not self._evict(end_ns):
            return False
        slot = self._slot_of[key] = self._free.pop()
        self._start_ns[slot] = wall_start_ns
        return True

    def _evict(self, end_ns: int) -> bool:
        """Free the slot of the key that has been idle the longest, if that is :data:`IDLE_NS`; return whether."""
        others = (key for key in self._slot_of if key != self._other)
        key = min(others, key=lambda key: self._active_ns[self._slot_of[key]], default=None)
        if key is None or self._active_ns[self._slot_of[key]] > end_ns - IDLE_NS:
            return False
        slot = self._slot_of.pop(key)
        self._clear(slot)
        self._free.append(slot)
        return True
