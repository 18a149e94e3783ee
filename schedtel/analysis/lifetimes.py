"""Windows in; a table with a row for each life of a task out, and which rows break what must hold of any life.

A task has a row in each window in which it was active. Here, all its rows become one: the last value of each column
that is not null, because what is known of a life stays as it is, and its CPU time is told as a total. A life is named
by the tid that it had first together with its arrival, which an exec by a thread does not change (docs/meaning.md).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from schedtel.windows.tables import is_other
from schedtel.windows.window import Window

#: The whole life is in the windows, or what of it is outside.
WHOLE, BEFORE, AFTER, BOTH = "whole", "began before", "goes on", "began before, goes on"
#: The columns of the table of lives. Moments are CLOCK_MONOTONIC; what is not known is null.
SCHEMA = pa.schema(
    [
        pa.field("host", pa.string()),
        pa.field("tid", pa.int32()),
        pa.field("tgid", pa.int32()),
        pa.field("comm", pa.string()),
        pa.field("arrival_ns", pa.int64()),
        pa.field("first_cpu_ns", pa.int64()),
        pa.field("completion_ns", pa.int64()),
        pa.field("tat_ns", pa.int64()),
        pa.field("rt_ns", pa.int64()),
        pa.field("total_cpu_ns", pa.int64()),
        pa.field("life", pa.string()),
        pa.field("broken", pa.string()),
    ]
)
#: What is kept of a row: its columns, its host, the tid that it had first, and the end of its window.
_ROWS = pa.schema(
    [
        *(field for field in SCHEMA if field.name not in ("life", "broken")),
        pa.field("left_censored", pa.bool_()),
        pa.field("first_tid", pa.int32()),
        pa.field("until_ns", pa.int64()),
    ]
)
_KEY = ["host", "first_tid", "arrival_ns"]
_LAST = [name for name in _ROWS.names if name not in _KEY]
#: Rows are joined when there are so many more than lives: seldom enough that it costs little, and memory stays bounded.
_ROWS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Lifetimes:
    """The lives in some windows.

    :param table: a row for each life, with the columns of :data:`SCHEMA`, by arrival.
    :param starts_ns: host → start of its first window, CLOCK_MONOTONIC.
    """

    table: pa.Table
    starts_ns: Mapping[str | None, int]

    @property
    def broken(self) -> pa.Table:
        """The rows that break a rule; ``broken`` says which."""
        return self.table.filter(pc.is_valid(self.table["broken"]))


def lifetimes(windows: Iterable[Window]) -> Lifetimes:
    """The lives of all tasks with a row in the windows. A task that slept through all of them has none."""
    starts_ns: dict[str | None, int] = {}
    joined, waiting, rows = _joined([]), [], 0
    for window in windows:
        taken = _taken(window)
        starts_ns.setdefault(window.summary["host"][0].as_py(), window.start_ns)
        waiting.append(taken)
        rows += taken.num_rows
        if rows > _ROWS_AT_ONCE + joined.num_rows:
            joined, waiting, rows = _joined([joined, *waiting]), [], 0
    return Lifetimes(_described(_joined([joined, *waiting]), starts_ns), starts_ns)


def _taken(window: Window) -> pa.Table:
    """What is needed of a window's rows, but for the row ``other``."""
    tasks = window.tasks.filter(pa.array(~is_other(window.tasks)))
    columns = {name: tasks[name] for name in _ROWS.names if name in tasks.schema.names} | {
        "comm": tasks["comm"].dictionary_decode(),
        "host": pa.repeat(window.summary["host"][0], tasks.num_rows),
        "first_tid": pc.coalesce(tasks["previous_tid"], tasks["tid"]),
        "until_ns": pa.repeat(pa.scalar(window.end_ns), tasks.num_rows),
    }
    return pa.table([columns[name] for name in _ROWS.names], schema=_ROWS)


def _joined(tables: list[pa.Table]) -> pa.Table:
    """One row for each life, with the last value of each column that is not null."""
    if not tables:
        return _ROWS.empty_table()
    # In one thread, rows stay in their order, which "last" needs.
    grouped = pa.concat_tables(tables).group_by(_KEY, use_threads=False)
    lives = grouped.aggregate([(name, "last") for name in _LAST])
    return pa.table([lives[f"{name}_last" if name in _LAST else name] for name in _ROWS.names], schema=_ROWS)


def _described(joined: pa.Table, starts_ns: Mapping[str | None, int]) -> pa.Table:
    """The lives with the columns that say what is outside of the windows, and what is broken."""
    lives = {name: joined[name].combine_chunks() for name in joined.schema.names}
    begins = pa.array([starts_ns[host] for host in lives["host"].to_pylist()], pa.int64())
    later = pc.fill_null(pc.less_equal(begins, lives["arrival_ns"]), False)
    before = pc.or_(pc.fill_null(lives["left_censored"], True), pc.invert(later))
    after = pc.is_null(lives["completion_ns"])
    lives["life"] = pc.if_else(before, pc.if_else(after, BOTH, BEFORE), pc.if_else(after, AFTER, WHOLE))
    lives["broken"] = _broken(lives)
    return pa.table([lives[name] for name in SCHEMA.names], schema=SCHEMA).sort_by("arrival_ns")


def _broken(lives: Mapping[str, pa.Array]) -> pa.Array:
    """For each life the rules that it breaks, or null. What is not known breaks no rule."""
    arrival, first, end = (lives[name] for name in ("arrival_ns", "first_cpu_ns", "completion_ns"))
    tat, rt, cpu = (lives[name] for name in ("tat_ns", "rt_ns", "total_cpu_ns"))
    age = pc.subtract(pc.coalesce(end, lives["until_ns"]), arrival)
    rules = {
        "arrival <= first CPU": pc.less_equal(arrival, first),
        "first CPU <= completion": pc.less_equal(first, end),
        "arrival <= completion": pc.less_equal(arrival, end),
        "TAT = completion - arrival": _is(tat, pc.subtract(end, arrival)),
        "RT = first CPU - arrival": _is(rt, pc.subtract(first, arrival)),
        "0 <= CPU": pc.less_equal(0, cpu),
        "CPU <= TAT": pc.less_equal(cpu, age),
    }
    texts = [pc.if_else(pc.fill_null(holds, True), "", f"not {rule}; ") for rule, holds in rules.items()]
    said = pc.utf8_rtrim(pc.binary_join_element_wise(*texts, ""), "; ")
    return pc.if_else(pc.equal(said, ""), pa.scalar(None, pa.string()), said)


def _is(told: pa.Array, computed: pa.Array) -> pa.Array:
    """Whether two columns are equal, both known or both not."""
    return pc.and_(pc.equal(pc.is_valid(told), pc.is_valid(computed)), pc.fill_null(pc.equal(told, computed), True))
