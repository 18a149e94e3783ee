"""What perf events counted in one window, and its table ``tasks``, in; its table ``counters`` out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from schedtel.records import layout
from schedtel.windows.arrow import bits, from_list, from_numpy, to_numpy, valid
from schedtel.windows.columns import OTHER_COMM, OTHER_TID, batch_of, empty, is_other

if TYPE_CHECKING:
    from schedtel.records.counted import Counted


def counters_batch(window_id: int, tasks: pa.RecordBatch, counted: Counted | None) -> pa.RecordBatch:
    """The ``counters`` table of one window: rows for the tasks that have a row in ``tasks``, then the rows ``other``.

    A task has a row for each event, one behind the other, if it was on a CPU. What the filter leaves out is in the rows
    ``other``, with what a task counted after its completion. There is a row ``other`` for each event, even with 0.

    :param tasks: the ``tasks`` table.
    :param counted: None where no events were asked for: no rows.
    """
    if counted is None:
        return empty("counters")
    place = _rows_of(tasks, counted.tasks)
    own = np.unique(place[place >= 0])
    sums = np.zeros((len(own) + 1, len(counted.events)), layout.READING)
    index = np.where(place >= 0, np.searchsorted(own, place), len(own))
    for name in layout.READING.names or ():
        np.add.at(sums[name], index, counted.readings[name])
        sums[name][-1] += counted.other[name]
    columns = _numbers_of(sums.reshape(-1)) | _whose(tasks, np.repeat(own, len(counted.events)), counted.events)
    return batch_of({"window_id": np.full(sums.size, window_id), **columns}, "counters")


def totals(counters: pa.RecordBatch) -> dict[str, int | None]:
    """Event → its count in all rows of a ``counters`` table; None where a row has none."""
    events, counts, known = counters["event"], to_numpy(counters["count"]), valid(counters["count"])
    places = to_numpy(events.indices)
    return {
        name: int(counts[places == place].sum()) if known[places == place].all() else None
        for place, name in enumerate(events.dictionary.to_pylist())
    }


def _rows_of(tasks: pa.RecordBatch, keys: np.ndarray) -> np.ndarray:
    """The row of ``tasks`` of each of n keys, shape (n,); -1 where a task has none.

    A thread that takes its leader's tid by an exec has a key for each of the two tids. The first is that of
    ``previous_tid``. The second may have been the leader's too, in this window: the row with ``previous_tid`` has both.
    """
    tids, starts, previous = (to_numpy(tasks[name]) for name in ("tid", "start_boottime_ns", "previous_tid"))
    real = np.flatnonzero(~is_other(tasks))
    real = real[np.argsort(previous[real] != 0, kind="stable")]
    known = np.concatenate([_pairs(tids[real], starts[real]), _pairs(keys["tid"], keys["start_boottime_ns"])])
    distinct, number = np.unique(known, return_inverse=True)
    row = np.full(len(distinct), -1)
    row[number[: len(real)]] = real  # of equal ones, the last stays
    found = row[number[len(real) :]]
    renamed = {int(previous[at]): at for at in real[previous[real] != 0].tolist()}
    for at in np.flatnonzero((found < 0) & np.isin(keys["tid"], list(renamed))).tolist():
        found[at] = renamed[int(keys["tid"][at])]
    return found


def _pairs(tids: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Identities as one array that can be sorted: shape (n,)."""
    pairs = np.zeros(len(tids), [("start", "<i8"), ("tid", "<i8")])
    pairs["start"], pairs["tid"] = starts, tids
    return pairs


def _numbers_of(readings: np.ndarray) -> dict[str, object]:
    """The columns of numbers, from readings of shape (rows,)."""
    running, enabled = readings["running_ns"], readings["enabled_ns"]
    share = np.where(enabled > 0, np.minimum(running / np.maximum(enabled, 1), 1.0), 1.0)
    scaled = np.rint(readings["count"] / np.where(share > 0, share, 1.0)).astype(np.int64)
    # Through a float, a count beyond 2^53 would lose its last bits.
    count = np.where(share < 1, scaled, readings["count"].astype(np.int64))
    return {"count": from_numpy(count, bits(share > 0)), "running_share": share}


def _whose(tasks: pa.RecordBatch, rows: np.ndarray, events: tuple[str, ...]) -> dict[str, object]:
    """The columns that say of which task and event a row is: rows of ``tasks``, and then the rows ``other``."""
    number = len(events)
    places = np.tile(np.arange(number, dtype=np.int32), len(rows) // number + 1)
    return {
        **{name: _and_other(to_numpy(tasks[name])[rows], number, OTHER_TID) for name in ("tid", "tgid")},
        **{name: _numbers(tasks[name], rows, number) for name in ("start_boottime_ns", "previous_tid")},
        "comm": _labels(tasks["comm"], rows, number, OTHER_COMM),
        "cgroup": _labels(tasks["cgroup"], rows, number, None),
        "event": pa.DictionaryArray.from_arrays(from_numpy(places), from_list(events, pa.string())),
    }


def _and_other(values: np.ndarray, count: int, value: float) -> np.ndarray:
    """Values, and behind them so many times the one of the rows ``other``."""
    return np.concatenate([values, np.full(count, value, values.dtype)])


def _numbers(column: pa.Array, rows: np.ndarray, count: int) -> pa.Array:
    """A column of numbers in these rows, and null in the rows ``other``."""
    known = _and_other(valid(column)[rows], count, False)
    return from_numpy(_and_other(to_numpy(column)[rows], count, 0), known)


def _labels(column: pa.DictionaryArray, rows: np.ndarray, count: int, other: str | None) -> pa.DictionaryArray:
    """A column of labels in these rows, and one label, or null, in the rows ``other``."""
    names = column.dictionary.to_pylist()
    if other not in (None, *names):
        names.append(other)
    index = _and_other(to_numpy(column.indices)[rows], count, 0 if other is None else names.index(other))
    known = _and_other(valid(column.indices)[rows], count, other is not None)
    return pa.DictionaryArray.from_arrays(from_numpy(index, known), from_list(names, pa.string()))
