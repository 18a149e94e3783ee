"""Rows of tasks in, sums for each cgroup out: the first so many have their own, the rest are summed in ``other``.

What is counted stays where it was counted: a series never goes back, and nothing is counted twice. When there is no
room, a newcomer gets the place of a cgroup that has not run or waited for five minutes, after which Prometheus has
forgotten it; its series ends, and should it come back, begins again from 0. Until then the newcomer is in ``other``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schedtel import tables
from schedtel.arrow import to_numpy, valid
from schedtel.export.definitions import CGROUP_COUNTERS
from schedtel.layout import TASK_BUCKETS

#: No path: those begin with a slash.
OTHER = "other"
#: Prometheus's look-back: a series is stale when its last sample is so old.
IDLE_NS = 300 * 1_000_000_000
DEFAULT_MAX_CGROUPS = 100

_COLUMNS = (*(metric.column for metric in CGROUP_COUNTERS), "wait_ns", "burst_tat_sum_ns")
_HISTOGRAMS = ("wait_histogram", "burst_tat_histogram")


@dataclass
class CgroupSums:
    """Sums of one cgroup since ``start_ns`` (wall clock). ``columns``: name → sum; histograms: shape (buckets,)."""

    path: str
    start_ns: int
    columns: dict[str, int]
    histograms: dict[str, np.ndarray]


class CgroupTotals:
    """At most ``most`` cgroups and ``other``. ``folded``: cgroups of the last window that had no room."""

    def __init__(self, most: int = DEFAULT_MAX_CGROUPS) -> None:
        self._slots = {OTHER: 0}
        self._free = list(range(most, 0, -1))
        self._sums = np.zeros((most + 1, len(_COLUMNS)), np.int64)
        self._histograms = np.zeros((len(_HISTOGRAMS), most + 1, TASK_BUCKETS), np.int64)
        self._start_ns, self._active_ns = np.zeros((2, most + 1), np.int64)
        self.folded = 0

    def __len__(self) -> int:
        """How many have series of their own."""
        return len(self._slots) - 1

    def add(self, tasks: pa.RecordBatch, wall_start_ns: int, end_ns: int) -> None:
        """Add one window's rows; ``end_ns`` is its end on CLOCK_MONOTONIC."""
        if not self._start_ns[0]:
            self._start_ns[0] = wall_start_ns
        if tasks.num_rows:
            self._sum_up(tasks, self._slots_of(tasks, wall_start_ns, end_ns))

    def _slots_of(self, tasks: pa.RecordBatch, wall_start_ns: int, end_ns: int) -> np.ndarray:
        """Each row's slot, shape (rows,). Where there is no room for all newcomers, the busiest come first."""
        labels = tasks["cgroup"]
        known = valid(labels.indices) & ~tables.is_other(tasks)
        codes, paths = to_numpy(labels.indices), labels.dictionary.to_pylist()
        demand = tables.column(tasks, "cpu_ns") + tables.column(tasks, "wait_ns")
        asked = np.bincount(codes[known], demand[known], len(paths))
        self.folded = 0
        slots = np.zeros(len(paths) + 1, np.int64)  # one more, for rows of no path where there are none
        # First those that have a place: one that is active now must not be taken for idle.
        for at in sorted(range(len(paths)), key=lambda at: (paths[at] not in self._slots, -asked[at])):
            slots[at] = self._slot(paths[at], bool(asked[at] > 0), wall_start_ns, end_ns)
        return np.where(known, slots[codes], 0)

    def _slot(self, path: str, active: bool, wall_start_ns: int, end_ns: int) -> int:
        """The slot of a path: its own, a free one, or that of ``other``; one that only sleeps gets none."""
        slot = self._slots.get(path) or (self._take(path, wall_start_ns, end_ns) if active else 0)
        if active:
            self._active_ns[slot] = end_ns
            self.folded += slot == 0
        return slot

    def _take(self, path: str, wall_start_ns: int, end_ns: int) -> int:
        if not self._free and not self._evict(end_ns):
            return 0
        slot = self._slots[path] = self._free.pop()
        self._start_ns[slot] = wall_start_ns
        return slot

    def _evict(self, end_ns: int) -> bool:
        """Free the slot of whoever has been idle the longest, if long enough."""
        path = min((p for p in self._slots if p != OTHER), key=lambda p: self._active_ns[self._slots[p]], default=None)
        if path is None or self._active_ns[self._slots[path]] > end_ns - IDLE_NS:
            return False
        slot = self._slots.pop(path)
        self._sums[slot], self._histograms[:, slot] = 0, 0
        self._free.append(slot)
        return True

    def _sum_up(self, tasks: pa.RecordBatch, slots: np.ndarray) -> None:
        order = np.argsort(slots, kind="stable")
        used, starts = np.unique(slots[order], return_index=True)
        columns = np.stack([tables.column(tasks, name) for name in _COLUMNS], axis=1)
        self._sums[used] += np.add.reduceat(columns[order], starts, axis=0)
        for kind, name in enumerate(_HISTOGRAMS):
            counts = tables.histograms(tasks, name)[order]
            self._histograms[kind, used] += np.add.reduceat(counts, starts, axis=0, dtype=np.int64)

    def __iter__(self) -> Iterator[CgroupSums]:
        for path, slot in self._slots.items():
            columns = dict(zip(_COLUMNS, self._sums[slot].tolist(), strict=True))
            histograms = {name: self._histograms[kind, slot].copy() for kind, name in enumerate(_HISTOGRAMS)}
            yield CgroupSums(path, int(self._start_ns[slot]), columns, histograms)
