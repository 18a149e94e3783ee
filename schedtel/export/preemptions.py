"""Rows of ``preemptions`` in; sums for each victim and preemptor out. Pairs beyond a maximum are summed as one pair."""

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
    """Sums of one pair since ``start_ns`` (wall clock). ``names``: victim, preemptor. ``columns``: column → sum."""

    names: tuple[str, str]
    start_ns: int
    columns: dict[str, int]


class PairTotals:
    """Sums of at most ``most`` pairs, and of the pair (``other``, ``other``). Iterating yields a :class:`PairSums`.

    A cgroup that no longer existed when the window was built has no name; its side of the pair is ``other``.
    """

    def __init__(self, most: int) -> None:
        self._slots = SeriesSlots(most, _REST, self._clear)
        self._sums = np.zeros((most + 1, len(_COLUMNS)), np.int64)

    def add(self, preemptions: pa.RecordBatch, wall_start_ns: int, end_ns: int) -> None:
        """Add the rows of one window.

        :param wall_start_ns: the window's start on the wall clock.
        :param end_ns: its end on CLOCK_MONOTONIC.
        """
        names = [[name or OTHER for name in preemptions[side].to_pylist()] for side in _SIDES]
        pairs = list(zip(*names, strict=True))
        row_slots = self._slots.of(pairs, tables.column(preemptions, "wait_ns"), wall_start_ns, end_ns)
        columns = np.stack([tables.column(preemptions, name) for name in _COLUMNS], axis=1)
        np.add.at(self._sums, row_slots, columns)

    def _clear(self, slot: int) -> None:
        self._sums[slot] = 0

    def __iter__(self) -> Iterator[PairSums]:
        for names, slot, start_ns in self._slots:
            yield PairSums(names, start_ns, dict(zip(_COLUMNS, self._sums[slot].tolist(), strict=True)))
