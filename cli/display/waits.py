"""Rows of tasks or groups in; the longest wait of each row, ended or not, out."""

import numpy as np
import pyarrow as pa

from schedtel.windows import tables
from schedtel.windows.arrow import valid


def longest(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """The longest wait of each row in ns, and whether it goes on past the window's end; both of shape (rows,).

    A wait that goes on counts with its age, so that a task that starves comes first. Where its start is not known, but
    the task did nothing else in the window, it counts with the window's part: it is no shorter than that.
    """
    ended, age, wait_ns, alive_ns, unfinished = (
        tables.column(batch, name)
        for name in ("max_wait_ns", "open_wait_ns", "wait_ns", "alive_ns", "waits_unfinished")
    )
    one_task = tables.column(batch, "tasks") == 1 if "tasks" in batch.schema.names else ~tables.is_other(batch)
    only_waited = ~valid(batch["open_wait_ns"]) & one_task & (unfinished > 0) & (wait_ns == alive_ns)
    age = np.where(only_waited, wait_ns, age)
    return np.maximum(ended, age), age > ended
