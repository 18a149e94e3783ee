"""A recording of events in; the table of `perf sched latency` out: by command name, how long threads waited for a CPU.

The rules are those of perf (tools/perf/builtin-sched.c, latency_switch_event() and latency_wakeup_event(), of Linux
6.1): a wait begins with the first wakeup since the thread left its CPU, or when it left while it could run on (a yield,
but no preemption), and ends when it comes to a CPU. A thread whose first event is that it comes has waited 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schedtel.eventlog.files import column, words
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.schema import KINDS
from schedtel.eventlog.timehist import Stretches
from schedtel.foreign_text import Printable
from schedtel.records.event_layout import STATES

_SWITCH, _MIGRATE, _YIELDS = KINDS.index("switch"), KINDS.index("migrate"), STATES.index("R")
_IDLE = b"swapper"


@dataclass(frozen=True)
class Waits:
    """A row for each wait that has ended: whose, by a row of ``tasks`` that begins a life, and from when to when.

    ``seen``: the threads that have any event.
    """

    seen: np.ndarray
    thread: np.ndarray
    begin_ns: np.ndarray
    end_ns: np.ndarray


def waits(events: pa.Table, tasks: Tasks) -> Waits:
    """The waits of a table ``events``."""
    kinds, times = words(events, "event", KINDS), column(events, "time_ns")
    switch, wakeup = np.flatnonzero(kinds == _SWITCH), np.flatnonzero((kinds != _SWITCH) & (kinds != _MIGRATE))
    tids = column(events, "tid")
    # A switch is two steps: of the thread that leaves, and of the one that comes. A wakeup is one.
    at = np.concatenate([switch, switch, wakeup])
    whose = np.concatenate([column(events, "prev_tid")[switch], tids[switch], tids[wakeup]])
    is_out = np.arange(len(at)) < len(switch)
    is_in = ~is_out & (np.arange(len(at)) < 2 * len(switch))
    yields = np.concatenate(
        [words(events, "prev_state", STATES)[switch] == _YIELDS, np.zeros(len(at) - len(switch), bool)]
    )
    rows = tasks.at(whose, times[at])
    threads = tasks.life[rows]
    order = np.lexsort((at, threads))
    order = order[whose[order] != 0]
    return _ended(threads[order], times[at][order], is_out[order], is_in[order], yields[order])


def _ended(threads: np.ndarray, times: np.ndarray, is_out: np.ndarray, is_in: np.ndarray, yields: np.ndarray) -> Waits:
    """The waits among the steps of each thread, in order. When it leaves a CPU, a part begins, with one at most."""
    if not len(threads):
        return Waits(threads, threads, times, times)
    places, none = np.arange(len(threads)), len(threads)
    begins = np.flatnonzero(is_out | (np.diff(threads, prepend=threads[:1] - 1) != 0))
    parts = np.cumsum(np.bincount(begins, minlength=none)) - 1
    woken = np.minimum.reduceat(np.where(~is_out & ~is_in, places, none), begins)
    since = np.where(yields[begins] | is_in[begins], begins, woken)
    comes = np.minimum.reduceat(np.where(is_in & (places >= since[parts]), places, none), begins)
    ended = comes < none
    return Waits(np.unique(threads), threads[comes[ended]], times[since[ended]], times[comes[ended]])


@dataclass
class _Sum:
    """What is told of the threads of one name."""

    threads: list[int]
    runtime_ns: int
    count: int
    total_ns: int
    longest: tuple[int, int, int]


def lines(found: Waits, ended: Stretches, tasks: Tasks) -> Iterator[str]:
    """The text, line by line; names with the longest average wait first."""
    line = " " + "-" * 139
    yield from ("", line, _HEAD, line)
    every = _by_name(found, ended, tasks).items()
    sums = sorted(((name, one) for name, one in every if one.count), key=lambda pair: pair[0], reverse=True)
    sums.sort(key=lambda pair: _order(pair[1]), reverse=True)
    for name, of_name in sums:
        yield _line(Printable(name.decode(errors="surrogateescape")), of_name, tasks)
    runtime, count = sum(one.runtime_ns for _, one in sums), sum(one.count for _, one in sums)
    yield " " + "-" * 113
    yield f"  TOTAL:                |{runtime / 1e6:11.3f} ms |{count:9} |"
    yield " " + "-" * 51
    yield ""


_HEAD = (
    "  Task                  |   Runtime ms  | Switches | Avg delay ms    | Max delay ms    "
    "| Max delay start           | Max delay end          |"
)


def _order(one: _Sum) -> tuple[int, int, int, int]:
    return (one.total_ns // one.count, one.longest[0], one.count, one.runtime_ns)


def _by_name(found: Waits, ended: Stretches, tasks: Tasks) -> dict[bytes, _Sum]:
    last = {int(life): row for row, life in enumerate(tasks.life)}  # the last of a life's rows has its last name
    runs = {thread: int(ended.run_ns[own].sum()) for thread, own in _rows_of(ended.thread)}
    waited = {thread: _of_one(found, own) for thread, own in _rows_of(found.thread)}
    sums: dict[bytes, _Sum] = {}
    for thread in found.seen.tolist():
        one = _Sum([thread], runs.get(thread, 0), *waited.get(thread, (0, 0, (0, 0, 0))))
        name = tasks.comm[last[thread]]
        if name != _IDLE:
            sums[name] = _merged(sums[name], one) if name in sums else one
    return sums


def _of_one(found: Waits, own: np.ndarray) -> tuple[int, int, tuple[int, int, int]]:
    """How often a thread waited, how long in all, and the longest wait: its length, begin and end."""
    lengths = found.end_ns[own] - found.begin_ns[own]
    at = own[int(np.argmax(lengths))]
    longest = (int(lengths.max()), int(found.begin_ns[at]), int(found.end_ns[at]))
    return len(own), int(lengths.sum()), longest if longest[0] else (0, 0, 0)


def _rows_of(threads: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    order = np.argsort(threads, kind="stable")
    begins = np.flatnonzero(np.diff(threads[order], prepend=threads[order[:1]] - 1))
    for own in np.split(order, begins[1:]) if len(order) else ():
        yield int(threads[own[0]]), own


def _merged(one: _Sum, other: _Sum) -> _Sum:
    return _Sum(
        one.threads + other.threads,
        one.runtime_ns + other.runtime_ns,
        one.count + other.count,
        one.total_ns + other.total_ns,
        max(one.longest, other.longest, key=lambda longest: longest[0]),
    )


def _line(name: str, one: _Sum, tasks: Tasks) -> str:
    who = f"({len(one.threads)})" if len(one.threads) > 1 else str(tasks.tid[one.threads[0]])
    longest, begin, end = one.longest
    average = one.total_ns // one.count
    return (
        f"{f'  {name}:{who} ':<24}|{one.runtime_ns / 1e6:11.3f} ms |{one.count:9} | avg:{average / 1e6:8.3f} ms | "
        f"max:{longest / 1e6:8.3f} ms | max start: {_seconds(begin):>12} s | max end: {_seconds(end):>12} s"
    )


def _seconds(moment_ns: int) -> str:
    return f"{moment_ns // 10**9}.{moment_ns % 10**9 // 1000:06}"
