"""Windows that a file or a peer has made in; what is wrong with them, in words or as an error, out.

A window of this machine needs no check. Every other window is checked once, where it enters: code behind that point may
rely on the types of :mod:`schedtel.windows.schema`, on values where it allows no null, and on figures that can be
added without an overflow.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from schedtel.windows.arrow import to_numpy, valid
from schedtel.windows.machine_schema import MACHINE_FLOWS, MACHINE_LEVELS, MACHINE_TIMES
from schedtel.windows.schema import ARROW, DISTRIBUTIONS, STATISTICS, TABLES, TASK_SUMS
from schedtel.windows.window import Window

#: Figures and moments are below this: two of them can be added in 64 bits. It is 146 years in nanoseconds.
_LIMIT = 1 << 62
#: What a sum over the rows of a window must stay below.
_SUM_LIMIT = float(1 << 63)
#: 2262-04-07 in microseconds since 1970: four days later, nanoseconds since 1970 have more than 64 bits.
_LATEST_US = 9_223_000_000_000_000
#: The longest text in bytes. The longest of ours is a cgroup's path: PATH_MAX (4096) with every byte escaped.
_LONGEST_TEXT = 4 * 4096
#: Linux has 8,192 CPUs at most.
_MOST_CPUS = 1 << 14
#: Most rows, over all tables, and most bytes of one window that a peer may send. 100,000 tasks have 73 MB.
MOST_ROWS, MOST_BYTES = 250_000, 256 << 20
#: Most bytes of a file's name (NAME_MAX), which holds the host's, quoted.
_LONGEST_NAME = 255 - len("host=")

#: Columns of the summary that tell its window from all others; a recording of an imported trace may lack them.
IDENTITY = ("wall_start", "host")
_STATISTICS = {f"{prefix}_{s}_ns" for prefix in DISTRIBUTIONS for s in STATISTICS if s != "count"}
_FAIRNESS = {f"{weighted}fairness_{index}" for weighted in ("", "weighted_") for index in ("cv", "jain")}
#: Table → columns that may be null: not known to every backend, not known of every task, or not happened.
NULLABLE = {
    "summary": {
        *IDENTITY,
        *_STATISTICS,
        *_FAIRNESS,
        "kernel",
        "scheduler",
        "iowait_avg",
        "steal_ns",
        "throttled_ns",
        "bpf_ns",
        "offline_ns",
        "collector_cpu_ns",
        "collector_rss_bytes",
    },
    "tasks": {c.name for c in TABLES["tasks"]}
    - {"window_id", "tid", "comm", "max_wait_ns", "wait_histogram", "burst_tat_histogram"}
    - (set(TASK_SUMS) - {"iowait_ns"}),
    "cpus": {"offline_ns"},
    "preemptions": {"victim", "victim_cgroup_id", "preemptor", "preemptor_cgroup_id"},
    "throttled": set(),
    "waits": {"tgid", "start_boottime_ns", "cpu", "wait_start_ns", "behind_tid", "behind_comm"},
    "counters": {"tgid", "start_boottime_ns", "previous_tid", "cgroup", "count"},
    "machine": {c.name for c in TABLES["machine"]} - {"window_id", "machine_ns", "machine_samples"},
}
#: Columns whose values may be below 0, because nothing is added to them.
_SIGNED = {"nice", "policy", "exit_code", "uid", "cgroup_id", "victim_cgroup_id", "preemptor_cgroup_id"}
#: Differences, which may be below 0.
_DIFFERENCES = {f"{name}_total_delta_bytes" for name in MACHINE_LEVELS}
_DIFFERENCES |= {f"{name}_percent_change" for name in (*MACHINE_TIMES, *MACHINE_LEVELS, *MACHINE_FLOWS)}
#: Moments of a life and differences of two of them: below 0 for a task that is older than the clock.
_MOMENTS = {"start_boottime_ns", "fork_ns", "arrival_ns", "first_cpu_ns", "completion_ns", "tat_ns", "rt_ns"}
_MOMENTS |= {"wait_start_ns"}
#: Columns → the lowest and the highest value, where it is another than 0 and ``_LIMIT``.
_RANGES = {
    "window_id": (1, _LIMIT),
    "window_ns": (1, _LIMIT),
    "windows_spanned": (1, _LIMIT),
    "wall_start": (0, _LATEST_US),
    "cpu": (0, _MOST_CPUS),
    **dict.fromkeys(_MOMENTS | _DIFFERENCES, (-_LIMIT, _LIMIT)),
}


class Flaw(NamedTuple):
    """What is wrong with some rows of a table: booleans of shape (rows,), and a cause like ``tasks.tid is null``."""

    rows: np.ndarray
    cause: str


def flaw_of(window: Window, *, identified: bool = True) -> str:
    """What is wrong with a window whose columns have the types of the schema; ``""`` if it is whole.

    :param identified: it must have a host and a wall clock.
    """
    for name in TABLES:
        batch = getattr(window, name)
        cause = _inconsistency(batch) or next((flaw.cause for flaw in flaws(name, batch)), "")
        if cause:
            return cause
    return flaw_of_one(window.summary, identified=identified) or _flaw_of_numbers(window)


def _flaw_of_numbers(window: Window) -> str:
    others = [name for name in TABLES if (to_numpy(getattr(window, name)["window_id"]) != window.window_id).any()]
    return f"{others[0]} has rows of another window" if others else ""


def _inconsistency(batch: pa.RecordBatch) -> str:
    """Offsets, indices of dictionaries and UTF-8 that Arrow finds wrong."""
    try:
        batch.validate(full=True)
    except pa.ArrowException as error:
        return str(error).splitlines()[0]
    return ""


def flaw_of_one(summary: pa.RecordBatch, *, identified: bool = True) -> str:
    """What is wrong with the summary of one window, which has no :func:`flaws`; ``""`` if nothing is.

    :param identified: it must have a host and a wall clock.
    """
    if summary.num_rows != 1:
        return f"summary has {summary.num_rows} rows for a window"
    missing = [name for name in IDENTITY if identified and summary[name].null_count]
    if missing:
        return f"summary.{missing[0]} is null"
    start_ns, length_ns = (int(summary[name][0].as_py()) for name in ("window_start_ns", "window_ns"))
    return "" if start_ns + length_ns < _LIMIT else "its end is out of range"


class Order:
    """Checks that the windows of one run come in the order of their numbers and of their time."""

    def __init__(self) -> None:
        self._last_id, self._last_end_ns = 0, 0
        self._ids, self._starts_ns = array("q"), array("q")  # 16 bytes a window

    def repeats(self, window: Window) -> bool:
        """Whether this window has come before: a collector that was started again wrote the server's history again."""
        place = bisect_left(self._ids, window.window_id)
        known = place < len(self._ids) and self._ids[place] == window.window_id
        return known and self._starts_ns[place] == window.start_ns

    def flaw_of(self, window: Window) -> str:
        """What is wrong with the place of the next window; ``""`` if nothing is, and then it is the last one."""
        number, start_ns = window.window_id, window.start_ns
        if number <= self._last_id:
            return f"window {number} comes after window {self._last_id}"
        if start_ns < self._last_end_ns:
            return f"window {number} starts before window {self._last_id} has ended"
        self._last_id, self._last_end_ns = number, window.end_ns
        self._ids.append(number)
        self._starts_ns.append(start_ns)
        return ""


def flaws(table: str, batch: pa.RecordBatch) -> Iterator[Flaw]:
    """The flaws of the rows of a table, which may be those of any number of windows in the order of their numbers.

    The batch must be consistent (``validate(full=True)``) and have the columns of the schema.
    """
    for column in TABLES[table]:
        values = batch[column.name]
        if values.null_count and column.name not in NULLABLE[table]:
            yield Flaw(~valid(values), f"{table}.{column.name} is null")
        yield from _named(f"{table}.{column.name}", _flaws_of_values(column.name, values))
    if table == "summary":
        yield from _uneven_statistics(batch)
    if table == "machine":
        again = np.diff(to_numpy(batch["window_id"]), prepend=0) == 0
        yield from _named("machine", iter([Flaw(again, "has two rows for a window")]))
    yield from _large_sums(table, batch)


def _named(name: str, found: Iterator[Flaw]) -> Iterator[Flaw]:
    return (Flaw(rows, f"{name} {cause}") for rows, cause in found if rows.any())


def _flaws_of_values(name: str, values: pa.Array) -> Iterator[Flaw]:
    kind = values.type
    if pa.types.is_fixed_size_list(kind):
        yield Flaw(_lists_with_null(values), "has a null in a list")
    elif pa.types.is_dictionary(kind):
        if values.dictionary.null_count:
            yield Flaw(np.ones(len(values), bool), "has a label that is null")
        too_long = _too_long(values.dictionary)
        if too_long.any():
            yield Flaw(too_long[to_numpy(values.indices)] & valid(values), "is too long")
    elif pa.types.is_string(kind):
        yield Flaw(_too_long(values) & valid(values), "is too long")
    elif pa.types.is_floating(kind):
        low, high = map(float, _RANGES.get(name, (0, _LIMIT)))
        yield Flaw(_not_within(to_numpy(values), low, high), f"is no number from {'0' if low == 0 else '-2^62'} on")
    elif not pa.types.is_boolean(kind) and name not in _SIGNED:
        numbers = to_numpy(values.view(pa.int64()) if pa.types.is_timestamp(kind) else values)
        low, high = _RANGES.get(name, (0, _LIMIT))
        yield Flaw(_not_within(numbers, low, high) & valid(values), "is out of range")


def _not_within(numbers: np.ndarray, low: float, high: float) -> np.ndarray:
    """Which numbers of shape (n,) are not from ``low`` to below ``high``; NaN is not."""
    return ~((numbers >= low) & (numbers < high))


def _lists_with_null(values: pa.Array) -> np.ndarray:
    """Which lists of fixed size, none of them null, contain a null."""
    if not values.values.null_count:
        return np.zeros(len(values), bool)
    size = values.type.list_size
    known = valid(values.values.slice(values.offset * size, len(values) * size))
    return np.logical_or.reduce(~known.reshape(-1, size), axis=1)


def _too_long(texts: pa.StringArray) -> np.ndarray:
    """Which texts of shape (n,) are longer than any of ours."""
    if not len(texts):
        return np.zeros(0, bool)
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset)
    return np.diff(offsets) > _LONGEST_TEXT


def _uneven_statistics(summary: pa.RecordBatch) -> Iterator[Flaw]:
    """Distributions that have samples and no mean or no percentile."""
    for prefix in DISTRIBUTIONS:
        some = to_numpy(summary[f"{prefix}_count"]) > 0
        for statistic in (f"{prefix}_{s}_ns" for s in STATISTICS if s != "count"):
            yield from _named(f"summary.{statistic}", iter([Flaw(some & ~valid(summary[statistic]), "is null")]))


def _large_sums(table: str, batch: pa.RecordBatch) -> Iterator[Flaw]:
    """Windows whose rows have a sum beyond 64 bits in a column."""
    for name in _summed(table):
        numbers = to_numpy(batch[name])
        if not len(numbers) or float(numbers.max()) * len(numbers) < _SUM_LIMIT:
            continue
        begins = np.diff(to_numpy(batch["window_id"]), prepend=0) != 0
        begins[0] = True
        sums = np.add.reduceat(numbers.astype(np.float64), np.flatnonzero(begins))
        yield from _named(f"{table}.{name}", iter([Flaw((sums >= _SUM_LIMIT)[begins.cumsum() - 1], "is out of range")]))


@cache
def _summed(table: str) -> tuple[str, ...]:
    """The columns of a table, other than the summary, whose values are added over the rows of a window."""
    if table == "summary":
        return ()
    kept = _SIGNED | _MOMENTS | _DIFFERENCES | {"window_id", "tid", "tgid", "cpu", "previous_tid", "behind_tid"}
    return tuple(f.name for f in ARROW[table] if pa.types.is_integer(f.type) and f.name not in kept)


def check_window(window: Window, *, identified: bool = True) -> None:
    """Raise :class:`ValueError` if a peer's window is too large, or has what no window has.

    :param identified: it must have a host and a wall clock.
    """
    check_size(window)
    for table, schema in ARROW.items():
        if not getattr(window, table).schema.equals(schema):
            raise ValueError(f"the columns of {table} are not those of this schedtel")
    cause = flaw_of(window, identified=identified)
    if cause:
        raise ValueError(cause)
    for name in ("host", "kernel", "scheduler"):
        check_name(name, window.summary[name][0].as_py())


def check_size(window: Window) -> None:
    """Raise :class:`ValueError` if a window has more than :data:`MOST_ROWS` or :data:`MOST_BYTES`."""
    batches = [getattr(window, table) for table in TABLES]
    rows, size = sum(batch.num_rows for batch in batches), sum(batch.nbytes for batch in batches)
    if rows > MOST_ROWS or size > MOST_BYTES:
        raise ValueError(f"it has {rows} rows of {size} bytes (at most {MOST_ROWS} of {MOST_BYTES} are taken)")


def check_name(what: str, name: str | None) -> None:
    """Raise :class:`ValueError` if a peer's name is empty, not printable, or too long for the name of a file."""
    if name is not None and not (name.isprintable() and 0 < len(quote(name, safe="")) <= _LONGEST_NAME):
        raise ValueError(f"{what} is empty, not printable, or longer than {_LONGEST_NAME} bytes")
