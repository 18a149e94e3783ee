"""A window from elsewhere in; nothing out, or an error that says what no window has.

A window that another host, user or file gave is not trusted. What passes here can be shown, summed and written: its
names fit into a file name, its moments into a calendar, its sums into 64 bits.
"""

from __future__ import annotations

from urllib.parse import quote

import numpy as np
import pyarrow as pa

from schedtel.windows.arrow import to_numpy, valid
from schedtel.windows.metrics import columns as statistics_of
from schedtel.windows.schema import ARROW, DISTRIBUTIONS, LOSSES, TABLES
from schedtel.windows.window import Window

#: Most rows, over all tables, and most bytes of one window. 100,000 tasks have 73 MB.
MOST_ROWS, MOST_BYTES = 250_000, 256 << 20
#: CPU numbers are lower: Linux has at most 8,192 CPUs on x86 and 4,096 elsewhere.
_MOST_CPUS = 16_384
#: Most bytes of a label. A path has at most 4,096 (PATH_MAX), of which each may be written as an escape of four.
_LONGEST_LABEL = 16_384
#: Most bytes of a file's name (NAME_MAX), which holds the host's, quoted.
_LONGEST_NAME = 255 - len("host=")
#: Two numbers within this range have a sum and a difference in 64 bits.
_RANGE = 1 << 62
#: For so few rows, Python's numbers take less time than an array.
_FEW = 8
#: Columns that no window lacks, besides the counters of the distributions and of losses.
_NEEDED = {
    "summary": (
        *("window_id", "window_start_ns", "window_ns", "windows_spanned", *LOSSES),
        *("runqueue_length_avg", "running_avg", "blocked_avg"),
        *(statistics_of(prefix)[0] for prefix in DISTRIBUTIONS),
    ),
    "tasks": ("tid", "comm"),
    "cpus": ("cpu",),
    "throttled": ("cgroup",),
}
#: Columns that tell windows of different hosts and days apart.
_IDENTITY = ("host", "wall_start")
#: Columns that may be negative: values of a task that are no counts, and moments.
_SIGNED = {"nice", "policy", "exit_code", "start_boottime_ns", "tat_ns", "rt_ns"} | {
    f"{moment}_ns" for moment in ("fork", "arrival", "first_cpu", "completion")
}
_POSITIONS = {table: {name: at for at, name in enumerate(schema.names)} for table, schema in ARROW.items()}
_LABELS, _AVERAGES = (
    {table: [f.name for f in schema if is_kind(f.type)] for table, schema in ARROW.items()}
    for is_kind in (pa.types.is_dictionary, pa.types.is_floating)
)
_NUMBERS = {
    table: {f.name: np.dtype(f.type.to_pandas_dtype()) for f in schema if pa.types.is_integer(f.type)}
    for table, schema in ARROW.items()
}


def check_window(window: Window, *, identified: bool = True) -> None:
    """Raise :class:`ValueError` if a window has what no window has.

    :param identified: the window must have a host and a wall clock. Those of an imported trace may lack them.
    """
    check_size(window)
    if window.summary.num_rows != 1:
        raise ValueError(f"it has {window.summary.num_rows} summaries")
    for table in TABLES:
        batch = getattr(window, table)
        if not batch.schema.equals(ARROW[table]):
            raise ValueError(f"the columns of {table} are not those of this schedtel")
        needed = _NEEDED.get(table, ()) + (_IDENTITY if identified and table == "summary" else ())
        _check_table(table, batch, needed)
    _check_summary(window)
    if to_numpy(window.cpus["cpu"]).max(initial=0) >= _MOST_CPUS:
        raise ValueError(f"cpu is {_MOST_CPUS} or more, which no CPU is")


def check_size(window: Window) -> None:
    """Raise :class:`ValueError` if a window has more than :data:`MOST_ROWS` or :data:`MOST_BYTES`."""
    batches = [getattr(window, table) for table in TABLES]
    rows, size = sum(batch.num_rows for batch in batches), sum(batch.nbytes for batch in batches)
    if rows > MOST_ROWS or size > MOST_BYTES:
        raise ValueError(f"it has {rows} rows of {size} bytes (at most {MOST_ROWS} of {MOST_BYTES} are taken)")


def _check_table(table: str, batch: pa.RecordBatch, needed: tuple[str, ...]) -> None:
    columns, positions = batch.columns, _POSITIONS[table]
    for name in needed:
        if columns[positions[name]].null_count:
            raise ValueError(f"{name} of {table} is missing")
    if batch.num_rows:
        for name in _LABELS[table]:
            _check_labels(name, columns[positions[name]].dictionary)
        for name in _AVERAGES[table]:
            _check_average(name, columns[positions[name]])
        for name, kind in _NUMBERS[table].items():
            _check_range(name, columns[positions[name]], kind)


def _check_range(name: str, column: pa.Array, kind: np.dtype) -> None:
    least, largest = _extremes(column, kind)
    if not (-_RANGE if name in _SIGNED else 0) <= least <= largest <= _RANGE:
        raise ValueError(f"{name} is {least} … {largest}, which no window has")


def _extremes(column: pa.Array, kind: np.dtype) -> tuple[int, int]:
    if len(column) <= _FEW:
        numbers = [number for number in column.to_pylist() if number is not None]
        return min(numbers, default=0), max(numbers, default=0)
    values = to_numpy(column) if column.null_count else _plain(column, kind)
    return int(values.min()), int(values.max())


def _plain(column: pa.Array, kind: np.dtype) -> np.ndarray:
    """A column without nulls as numpy; :func:`to_numpy` looks up its type, which takes longer than all else here."""
    return np.frombuffer(column.buffers()[1], kind, len(column), column.offset * kind.itemsize)


def _check_average(name: str, column: pa.Array) -> None:
    """NaN stands for null in streams and files."""
    values = to_numpy(column)[valid(column)]
    if (values < 0).any() or np.isinf(values).any():
        raise ValueError(f"{name} is negative or infinite, which no window has")


def _check_labels(name: str, labels: pa.Array) -> None:
    if labels.null_count:
        raise ValueError(f"{name} has a label that is null")
    if not len(labels):
        return
    offsets = np.frombuffer(labels.buffers()[1], np.int32, len(labels) + 1, labels.offset * 4)
    longest = int(np.diff(offsets).max())
    if longest > _LONGEST_LABEL:
        raise ValueError(f"{name} has a label of {longest} bytes (at most {_LONGEST_LABEL} are taken)")


def _check_summary(window: Window) -> None:
    length_ns, wall = window.end_ns - window.start_ns, window.summary["wall_start"].view(pa.int64())[0].as_py()
    if length_ns < 1 or window.window_id < 1:
        raise ValueError(f"window {window.window_id} is {length_ns} ns long, which no window is")
    if wall is not None and not 0 <= wall <= (2 * _RANGE - 1 - length_ns) // 1000:
        raise ValueError(f"wall_start is {wall} µs since 1970, before 1970 or after 2262")
    for name in ("host", "kernel", "scheduler"):
        check_name(name, window.summary[name][0].as_py())


def check_name(what: str, name: str | None) -> None:
    """Raise :class:`ValueError` if a name, which others gave, is empty, not printable, or too long for a file name."""
    if name is not None and not (name.isprintable() and 0 < len(quote(name, safe="")) <= _LONGEST_NAME):
        raise ValueError(f"{what} is empty, not printable, or longer than {_LONGEST_NAME} bytes")
