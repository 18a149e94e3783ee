"""Windows of a recording in; the moments at which tasks arrived, and how much CPU time each had, out."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schedtel.windows.window import Window
from schedtel.workloads.plan import Lives

_COLUMNS = ["tid", "start_boottime_ns", "arrival_ns", "total_cpu_ns"]


def lives_of(windows: Iterable[Window], comm: str) -> Lives:
    """The lives of tasks whose command name begins with ``comm`` and which arrived while it was recorded.

    Returns the moments of their arrival in ns after the first window's start, sorted, and the CPU time of each life so
    far as the recording has it: two arrays of int64 of shape (n,). A life that did not end counts with what it had.
    """
    start_ns, parts = None, []
    for window in windows:
        start_ns = window.start_ns if start_ns is None else start_ns
        parts.append(_rows(window.tasks, comm))
    rows = np.concatenate(parts) if parts else np.empty((0, len(_COLUMNS)), np.int64)
    rows = _newest(rows[rows[:, 2] >= (start_ns or 0)])
    rows = rows[np.argsort(rows[:, 2], kind="stable")]
    return rows[:, 2] - (start_ns or 0), np.maximum(rows[:, 3], 1)


def _rows(tasks: pa.Table | pa.RecordBatch, comm: str) -> np.ndarray:
    """The columns of one window's tasks that are of this name and not older than tracing, shape (n, 4)."""
    named = pc.starts_with(tasks["comm"].cast(pa.string()), comm)
    kept = pc.and_(named, pc.invert(pc.fill_null(tasks["left_censored"], fill_value=True)))
    chosen = [pc.filter(tasks[name], kept) for name in _COLUMNS]
    return np.stack([pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False) for column in chosen], 1)


def _newest(rows: np.ndarray) -> np.ndarray:
    """The last row of each life: tid and start tell lives apart, and total_cpu_ns only grows."""
    _, last = np.unique(rows[::-1, :2], axis=0, return_index=True)
    return rows[::-1][last]
