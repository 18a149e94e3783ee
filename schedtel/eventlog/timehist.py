"""A recording of events in; the lines of `perf sched timehist` out: for each switch, how long the thread that leaves
had been away, had waited for a CPU, and has run.

The rules are those of perf (tools/perf/builtin-sched.c, timehist_sched_change_event(), of Linux 6.1): the delay begins
with the first wakeup since the thread left its CPU, so a wait after a preemption is time away and no delay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from schedtel.eventlog.files import column, losses, words
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.schema import KINDS
from schedtel.foreign_text import Printable

_SWITCH, _MIGRATE = KINDS.index("switch"), KINDS.index("migrate")


@dataclass(frozen=True)
class Stretches:
    """A row for each switch, in the order of time: when, where, the thread's row in ``tasks`` (-1: idle), and times.

    ``wait_ns`` is the time since the thread last left a CPU, ``delay_ns`` since its wakeup, ``run_ns`` the time on the
    CPU; 0 where it is not known. ``thread`` is the same for all rows of a life; of the idle tasks it is negative.
    """

    time_ns: np.ndarray
    cpu: np.ndarray
    row: np.ndarray
    thread: np.ndarray
    wait_ns: np.ndarray
    delay_ns: np.ndarray
    run_ns: np.ndarray


def stretches(events: pa.Table, tasks: Tasks) -> Stretches:
    """What the switches of a table ``events`` end."""
    kinds = words(events, "event", KINDS)
    used = np.flatnonzero(kinds != _MIGRATE)
    is_out = kinds[used] == _SWITCH
    times, cpus = column(events, "time_ns")[used], column(events, "cpu")[used].astype(np.int64)
    tids = np.where(is_out, column(events, "prev_tid")[used], column(events, "tid")[used])
    rows = tasks.at(tids, times)
    threads = np.where(tids == 0, -1 - cpus, tasks.life[rows])
    out = np.flatnonzero(is_out)
    came_ns = _before(times[out], cpus[out])
    last_ns, ready_ns = _before_each_out(times, threads, is_out)
    is_known = came_ns >= 0
    return Stretches(
        times[out],
        cpus[out],
        np.where(tids[out] == 0, -1, rows[out]),
        threads[out],
        _since(last_ns[out], came_ns, is_known),
        _since(ready_ns[out], came_ns, is_known),
        np.where(is_known, times[out] - came_ns, 0),
    )


def _since(begin_ns: np.ndarray, end_ns: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    return np.where(is_known & (begin_ns >= 0) & (begin_ns <= end_ns), end_ns - begin_ns, 0)


def _before(times: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The time of the row before in the same group; -1 for the first."""
    order = np.argsort(groups, kind="stable")
    same = np.diff(groups[order], prepend=groups[order[:1]] - 1) == 0
    found = np.empty_like(times)
    found[order] = np.where(same, np.concatenate([[-1], times[order[:-1]]])[: len(times)], -1)
    return found


def _before_each_out(times: np.ndarray, threads: np.ndarray, is_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row: when its thread last left a CPU; and when it was first woken since; -1 where it did not happen."""
    order = np.argsort(threads, kind="stable")
    sorted_times, outs = times[order], is_out[order]
    places = np.arange(len(order))
    begins = np.diff(threads[order], prepend=threads[order[:1]] - 1) != 0
    begin = np.maximum.accumulate(np.where(begins, places, 0))
    after_out = np.concatenate([[True], outs[:-1]])[: len(outs)]
    last_out = _last(outs, begin)
    first_wakeup = _last(~outs & (begins | after_out), begin)
    last_ns, ready_ns = np.empty_like(times), np.empty_like(times)
    last_ns[order] = np.where(last_out >= 0, sorted_times[last_out], -1)
    ready_ns[order] = np.where(first_wakeup > last_out, sorted_times[first_wakeup], -1)
    return last_ns, ready_ns


def _last(marked: np.ndarray, begin: np.ndarray) -> np.ndarray:
    """The place of the last marked row before each row, not before its group's begin; -1 if there is none."""
    places = np.maximum.accumulate(np.where(marked, np.arange(len(marked)), -1))
    before = np.concatenate([[-1], places[:-1]])[: len(marked)]
    return np.where(before >= begin, before, -1)


# ---- text ----

_LEAST_WIDTH = 30
_HEAD = (
    f"{'time':>15} {'cpu':>6}  {'task name':<30}  {'wait time':>9}  {'sch delay':>9}  {'run time':>9}\n"
    f"{'':>15} {'':<6}  {'[tid/pid]':<30}  {'(msec)':>9}  {'(msec)':>9}  {'(msec)':>9}\n"
    f"{'-' * 15} {'-' * 6}  {'-' * 30}  {'-' * 9}  {'-' * 9}  {'-' * 9}\n"
)
_AT_ONCE = 1 << 16
#: Times in milliseconds with as many digits as the columns have room for.
_MOST_NS = 999_999_999_999
_TIME_WIDTH, _CPU_WIDTH, _MS_WIDTH = 15, 4, 10


def name_of(tasks: Tasks, row: int) -> str:
    """A thread as perf names it; of a process's first thread without the process."""
    if row < 0:
        return "<idle>"
    comm, tid, tgid = Printable(tasks.comm[row].decode(errors="surrogateescape")), tasks.tid[row], tasks.tgid[row]
    return f"{comm}[{tid}]" if tid == tgid else f"{comm}[{tid}/{tgid}]"


def lines(ended: Stretches, tasks: Tasks, gaps: pa.Table) -> Iterator[bytes]:
    """The text, some ten thousand lines at a time, with a line for each gap that has a CPU."""
    yield _HEAD.encode()
    distinct, places = np.unique(ended.row, return_inverse=True)
    names = [name_of(tasks, int(row)).encode() for row in distinct]
    lengths = np.array([len(name) for name in names], np.int64)[places]
    # As perf's, the column grows with the longest name so far.
    widths = np.maximum.accumulate(np.maximum(lengths, _LEAST_WIDTH))
    lost = _lost(ended, gaps)
    edges = sorted({*np.flatnonzero(np.diff(widths, prepend=-1)).tolist(), *lost, len(widths)})
    for begin, end in pairwise([*edges, len(widths)]):
        yield lost.get(begin, b"")
        if begin == end:
            return
        padded = np.array([name.ljust(int(widths[begin])) for name in names], f"S{widths[begin]}")
        for at in range(begin, end, _AT_ONCE):
            some = slice(at, min(at + _AT_ONCE, end))
            yield _block(ended, some, padded[places[some]])


def _lost(ended: Stretches, gaps: pa.Table) -> dict[int, bytes]:
    """Number of lines before → the lines of gaps that come then."""
    columns = [column(gaps, name)[losses(gaps)].tolist() for name in ("to_ns", "events", "cpu")]
    found: dict[int, bytes] = {}
    for to_ns, events, cpu in sorted(zip(*columns, strict=True)):
        at = int(np.searchsorted(ended.time_ns, to_ns, side="right"))
        time = f"{to_ns // 10**9}.{to_ns % 10**9 // 1000:06}"
        found[at] = found.get(at, b"") + f"{time:>15} lost {events} events on cpu {cpu}\n".encode()
    return found


def _block(ended: Stretches, some: slice, names: np.ndarray) -> bytes:
    spans = [column[some] for column in (ended.wait_ns, ended.delay_ns, ended.run_ns)]
    count, width = len(names), names.dtype.itemsize
    parts = [
        _number(ended.time_ns[some] // 1000, _TIME_WIDTH, 6),
        _text(" [", count),
        _digits(ended.cpu[some], _CPU_WIDTH),
        _text("]  ", count),
        np.frombuffer(names.tobytes(), np.uint8).reshape(count, width),
        _text(" ", count),
    ]
    for span in spans:
        parts += [_number(span // 1000, _MS_WIDTH, 3), _text(" ", count)]
    return np.concatenate([*parts, _text("\n", count)], axis=1).tobytes()


def _text(text: str, count: int) -> np.ndarray:
    return np.broadcast_to(np.frombuffer(text.encode(), np.uint8), (count, len(text)))


def _digits(values: np.ndarray, width: int) -> np.ndarray:
    """Numbers with leading zeros, as characters of shape (n, width)."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (values[:, None] // powers % 10 + ord("0")).astype(np.uint8)


def _number(values: np.ndarray, width: int, decimals: int) -> np.ndarray:
    """Numbers in units of the last decimal, right-aligned, as characters of shape (n, width)."""
    whole = width - decimals - 1
    units = 10**decimals
    found = np.full((len(values), width), ord("."), np.uint8)
    found[:, :whole] = _digits(values // units, whole)
    leading = values[:, None] // units < 10 ** np.arange(whole - 1, 0, -1, dtype=np.int64)
    found[:, : whole - 1][leading] = ord(" ")
    found[:, whole + 1 :] = _digits(values % units, decimals)
    return found
