"""Rows of figures in; one file of Parquet out, and the same rows back."""

from pathlib import Path
from typing import TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from schedtel.access.files import write_whole
from schedtel.errors import RecordingError

NAME = "metrics.parquet"
_SCHEMA = pa.schema(
    [
        pa.field("steps", pa.int64(), metadata={"meaning": "steps learned from, of all environments"}),
        pa.field("updates", pa.int64(), metadata={"meaning": "changes of the network"}),
        pa.field("seconds", pa.float64(), metadata={"meaning": "by the clock, while it ran"}),
        pa.field("cpu_seconds", pa.float64(), metadata={"meaning": "CPU time of all its processes"}),
        pa.field("reward", pa.float64(), metadata={"meaning": "mean of a step, since the row before, exploring"}),
        pa.field("loss", pa.float64(), metadata={"meaning": "of the last update"}),
        pa.field("workers", pa.int64(), metadata={"meaning": "processes that act; 0: all in one process"}),
        pa.field("age", pa.float64(), metadata={"meaning": "updates since the network that acted, on average"}),
        pa.field("discarded", pa.int64(), metadata={"meaning": "steps that were too old to be learned from"}),
        pa.field("replaced", pa.int64(), metadata={"meaning": "processes that ended, and were begun anew"}),
        pa.field(
            "gradient_age", pa.float64(), metadata={"meaning": "updates since the network of a gradient, on average"}
        ),
        pa.field("stale", pa.int64(), metadata={"meaning": "gradients that were too old to be followed"}),
    ]
)
#: Columns that earlier runs do not have; all is 0 there.
_ADDED_LATER = ("gradient_age", "stale")


class Row(TypedDict):
    """A row of the book."""

    steps: int
    updates: int
    seconds: float
    cpu_seconds: float
    reward: float
    loss: float
    workers: int
    age: float
    discarded: int
    replaced: int
    gradient_age: float
    stale: int


def write_rows(rows: list[Row], directory: Path) -> None:
    """Write all rows anew. Raises :class:`RecordingError` if they cannot be written."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(map(dict, rows)), _SCHEMA), sink)
    try:
        write_whole(directory / NAME, sink.getvalue().to_pybytes())
    except OSError as error:
        raise RecordingError(f"cannot write {directory / NAME}: {error.strerror} (free some space)") from error


def read_rows(directory: Path, steps: int) -> list[Row]:
    """The rows up to so many steps: what came after the checkpoint did not count.

    Raises :class:`RecordingError` for a file that has none.
    """
    path = directory / NAME
    try:
        found = pq.read_table(path)
        for name in _ADDED_LATER:
            if name not in found.column_names:
                found = found.append_column(_SCHEMA.field(name), pa.array([0] * len(found), _SCHEMA.field(name).type))
        if not found.schema.equals(_SCHEMA):
            raise RecordingError(f"cannot read {path}: it has other columns (was it written by `schedtel train`?)")
    except (OSError, pa.ArrowException) as error:
        raise RecordingError(f"cannot read {path}: it is missing or damaged (train again)") from error
    return [row for row in found.to_pylist() if row["steps"] <= steps]
