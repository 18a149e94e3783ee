"""Rows of tasks in, sums for each cgroup out: so many have their own, the rest are summed in ``other``."""

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
    """Sums of one cgroup since ``start_ns`` (wall clock). ``columns``: name → sum; histograms: shape (buckets,)."""

    path: str
    start_ns: int
    columns: dict[str, int]
    histograms: dict[str, np.ndarray]


class CgroupTotals:
    """At most ``most`` cgroups and ``other``."""

    def __init__(self, most: int = DEFAULT_MAX_CGROUPS) -> None:
        self._places = SeriesSlots(most, OTHER, self._clear)
        self._sums = np.zeros((most + 1, len(_COLUMNS)), np.int64)
        self._histograms = np.zeros((len(_HISTOGRAMS), most + 1, TASK_BUCKETS), np.int64)

    def __len__(self) -> int:
        """How many have series of their own."""
        return len(self._places)

    @property
    def folded(self) -> int:
        """Cgroups of the last window that had no room."""
        return self._places.folded

    def add(self, tasks: pa.RecordBatch, wall_start_ns: int, end_ns: int) -> None:
        """Add one window's rows; ``end_ns`` is its end on CLOCK_MONOTONIC."""
        places = self._places_of(tasks, wall_start_ns, end_ns)
        if tasks.num_rows:
            self._sum_up(tasks, places)

    def _places_of(self, tasks: pa.RecordBatch, wall_start_ns: int, end_ns: int) -> np.ndarray:
        """Each row's place, shape (rows,)."""
        labels = tasks["cgroup"]
        known = valid(labels.indices) & ~tables.is_other(tasks)
        codes, paths = to_numpy(labels.indices), labels.dictionary.to_pylist()
        demand = tables.column(tasks, "cpu_ns") + tables.column(tasks, "wait_ns")
        asked = np.bincount(codes[known], demand[known], len(paths))
        places = np.append(self._places.of(paths, asked, wall_start_ns, end_ns), 0)  # rows of no path may have no paths
        return np.where(known, places[codes], 0)

    def _clear(self, place: int) -> None:
        self._sums[place], self._histograms[:, place] = 0, 0

    def _sum_up(self, tasks: pa.RecordBatch, places: np.ndarray) -> None:
        order = np.argsort(places, kind="stable")
        used, starts = np.unique(places[order], return_index=True)
        columns = np.stack([tables.column(tasks, name) for name in _COLUMNS], axis=1)
        self._sums[used] += np.add.reduceat(columns[order], starts, axis=0)
        for kind, name in enumerate(_HISTOGRAMS):
            counts = tables.histograms(tasks, name)[order]
            self._histograms[kind, used] += np.add.reduceat(counts, starts, axis=0, dtype=np.int64)

    def __iter__(self) -> Iterator[CgroupSums]:
        for path, place, start_ns in self._places:
            columns = dict(zip(_COLUMNS, self._sums[place].tolist(), strict=True))
            histograms = {name: self._histograms[kind, place].copy() for kind, name in enumerate(_HISTOGRAMS)}
            yield CgroupSums(path, start_ns, columns, histograms)
