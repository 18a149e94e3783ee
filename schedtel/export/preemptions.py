"""Rows of who preempted whom in, sums for each pair out: so many have their own, the rest are summed as one pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schedtel.export.definitions import PREEMPTION_COUNTERS
from schedtel.export.series_slots import OTHER, SeriesSlots
from schedtel.windows import tables

_COLUMNS = tuple(metric.column for metric in PREEMPTION_COUNTERS)
_SIDES = ("victim", "preemptor")
_REST = (OTHER, OTHER)


@dataclass
class PairSums:
    """Sums of one pair since ``start_ns`` (wall clock). ``names``: victim and preemptor; ``columns``: name → sum."""

    names: tuple[str, str]
    start_ns: int
    columns: dict[str, int]


class PairTotals:
    """At most ``most`` pairs, and that of ``other`` and ``other``. A cgroup that was gone has no name: ``other``."""

    def __init__(self, most: int) -> None:
        self._places = SeriesSlots(most, _REST, self._clear)
        self._sums = np.zeros((most + 1, len(_COLUMNS)), np.int64)

    def add(self, preemptions: pa.RecordBatch, wall_start_ns: int, end_ns: int) -> None:
        """Add one window's rows; ``end_ns`` is its end on CLOCK_MONOTONIC."""
        names = [[name or OTHER for name in preemptions[side].to_pylist()] for side in _SIDES]
        pairs = list(zip(*names, strict=True))
        places = self._places.of(pairs, tables.column(preemptions, "wait_ns"), wall_start_ns, end_ns)
        columns = np.stack([tables.column(preemptions, name) for name in _COLUMNS], axis=1)
        np.add.at(self._sums, places, columns)

    def _clear(self, place: int) -> None:
        self._sums[place] = 0

    def __iter__(self) -> Iterator[PairSums]:
        for names, place, start_ns in self._places:
            yield PairSums(names, start_ns, dict(zip(_COLUMNS, self._sums[place].tolist(), strict=True)))
