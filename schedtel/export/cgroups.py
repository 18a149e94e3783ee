"""Rows of ``tasks`` in; sums for each cgroup out. Cgroups beyond a maximum are summed in ``other``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schedtel.export.definitions import CGROUP_COUNTERS
from schedtel.export.series_slots import OTHER, SeriesSlots
from schedtel.records.layout import TASK_BUCKETS
from schedtel.windows import tables
from schedtel.windows.arrow import to_numpy, valid

DEFAULT_MAX_CGROUPS = 100

_COLUMNS = (*(metric.column for metric in CGROUP_COUNTERS), "wait_ns", "burst_tat_sum_ns")
_HISTOGRAMS = ("wait_histogram", "burst_tat_histogram")


@dataclass
class CgroupSums:
    """Sums of one cgroup since ``start_ns`` (wall clock).

    ``columns``: column → sum. ``histograms``: column → counts of shape (TASK_BUCKETS,).
    """

    path: str
    start_ns: int
    columns: dict[str, int]
    histograms: dict[str, np.ndarray]


class CgroupTotals:
    """Sums of at most ``most`` cgroups and of ``other``. Iterating yields a :class:`CgroupSums` for each."""

    def __init__(self, most: int = DEFAULT_MAX_CGROUPS) -> None:
        self._slots = SeriesSlots(most, OTHER, self._clear)
        self._sums = np.zeros((most + 1, len(_COLUMNS)), np.int64)
        self._histograms = np.zeros((len(_HISTOGRAMS), most + 1, TASK_BUCKETS), np.int64)

    def __len__(self) -> int:
        """Number of cgroups that have series of their own."""
        return len(self._slots)

    @property
    def folded(self) -> int:
        """Number of cgroups of the last window that had no slot and were summed in ``other``."""
        return self._slots.folded

    def add(self, tasks: pa.RecordBatch, wall_start_ns: int, end_ns: int) -> None:
        """Add the rows of one window.

        :param wall_start_ns: the window's start on the wall clock.
        :param end_ns: its end on CLOCK_MONOTONIC.
        """
        row_slots = self._row_slots(tasks, wall_start_ns, end_ns)
        if tasks.num_rows:
            self._sum_up(tasks, row_slots)

    def _row_slots(self, tasks: pa.RecordBatch, wall_start_ns: int, end_ns: int) -> np.ndarray:
        """The slot of each row's cgroup, shape (rows,)."""
        labels = tasks["cgroup"]
        known = valid(labels.indices) & ~tables.is_other(tasks)
        codes, paths = to_numpy(labels.indices), labels.dictionary.to_pylist()
        demand_ns = tables.column(tasks, "cpu_ns") + tables.column(tasks, "wait_ns")
        cgroup_demand_ns = np.bincount(codes[known], demand_ns[known], len(paths))
        # Without any path the array would be empty, and codes[i] of an unknown row would have nothing to index.
        slots = np.append(self._slots.of(paths, cgroup_demand_ns, wall_start_ns, end_ns), 0)
        return np.where(known, slots[codes], 0)

    def _clear(self, slot: int) -> None:
        self._sums[slot], self._histograms[:, slot] = 0, 0

    def _sum_up(self, tasks: pa.RecordBatch, row_slots: np.ndarray) -> None:
        order = np.argsort(row_slots, kind="stable")
        used, starts = np.unique(row_slots[order], return_index=True)
        columns = np.stack([tables.column(tasks, name) for name in _COLUMNS], axis=1)
        self._sums[used] += np.add.reduceat(columns[order], starts, axis=0)
        for kind, name in enumerate(_HISTOGRAMS):
            counts = tables.histograms(tasks, name)[order]
            self._histograms[kind, used] += np.add.reduceat(counts, starts, axis=0, dtype=np.int64)

    def __iter__(self) -> Iterator[CgroupSums]:
        for path, slot, start_ns in self._slots:
            columns = dict(zip(_COLUMNS, self._sums[slot].tolist(), strict=True))
            histograms = {name: self._histograms[kind, slot].copy() for kind, name in enumerate(_HISTOGRAMS)}
            yield CgroupSums(path, start_ns, columns, histograms)
