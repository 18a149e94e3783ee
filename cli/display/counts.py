"""A window's table ``counters`` in; the counts of a row of the page, as text, out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from schedtel.durations import format_duration
from schedtel.records.perf_events import event_named
from schedtel.windows.arrow import to_numpy, valid

if TYPE_CHECKING:
    import pyarrow as pa

    from schedtel.windows.window import Window

#: What a row of the page is → the column of ``counters`` that tells it.
_KEYS = {"process": "tgid", "comm": "comm", "cgroup": "cgroup"}
_IDENTITY = ("tid", "start_boottime_ns", "previous_tid")


class Counts:
    """Counts of perf events by row of the page. ``events``: their names, none where no events were counted."""

    def __init__(self, window: Window, by: str) -> None:
        self._counters, self._by = window.counters, by
        self.events: list[str] = self._counters["event"].dictionary.to_pylist() if self._counters.num_rows else []

    def of(self, batch: pa.RecordBatch, i: int) -> list[str]:
        """The count of each event in row ``i`` of ``tasks`` or of a group; "-" where it was on no CPU.

        A count that was scaled up, because events took turns, has ``~`` before it.
        """
        its, event = self._rows(batch, i), to_numpy(self._counters["event"].indices)
        return [self._text(name, np.flatnonzero(its & (event == place))) for place, name in enumerate(self.events)]

    def _rows(self, batch: pa.RecordBatch, i: int) -> np.ndarray:
        """Which rows of ``counters`` are those of a row of the page: booleans."""
        if self._by == "task":
            return np.logical_and.reduce([self._equal(name, batch[name][i].as_py()) for name in _IDENTITY])
        other = self._equal("tid", 0)
        if batch["tasks"][i].as_py() == 0:
            return other
        return ~other & self._equal(_KEYS[self._by], batch[self._by][i].as_py())

    def _equal(self, name: str, value: object) -> np.ndarray:
        column = self._counters[name]
        numbers = column.indices if hasattr(column, "indices") else column
        if value is None:
            return ~valid(numbers)
        if numbers is not column:
            labels = column.dictionary.to_pylist()
            value = labels.index(value) if value in labels else -1
        return valid(numbers) & (to_numpy(numbers) == value)

    def _text(self, name: str, rows: np.ndarray) -> str:
        counts = self._counters["count"]
        if not len(rows) or not valid(counts)[rows].all():
            return "-"
        count, event = int(to_numpy(counts)[rows].sum()), event_named(name)
        about = "~" if (to_numpy(self._counters["running_share"])[rows] < 1).any() else ""
        return about + (format_duration(count) if event and event.unit == "ns" else str(count))
