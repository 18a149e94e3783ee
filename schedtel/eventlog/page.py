"""An interval of a recording of events in; the figures of its page out, as plain lists and numbers for JSON.

:mod:`schedtel.report` draws it. Times are nanoseconds since the begin of the interval. A *run* is a stretch of a thread
on a CPU, with the wait for the CPU right before it, where that is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from schedtel._version import __version__
from schedtel.errors import RecordingError
from schedtel.eventlog.files import column, known, words
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.recording import EventRecording
from schedtel.eventlog.running import Columns, Running
from schedtel.eventlog.schema import KINDS
from schedtel.eventlog.timehist import name_of, stretches
from schedtel.foreign_text import utf8
from schedtel.records.event_layout import STATES
from schedtel.report.page import page_of

#: The most runs on a page: some 2 MB, which a browser draws at once.
MOST_RUNS = 20_000
_PREEMPTED = (STATES.index("R"), STATES.index("R+"))
_NOBODY = -1


@dataclass(frozen=True)
class _Runs:
    """Runs in the order of their ends; columns of shape (n,). ``state``: a place in STATES, -1 for one that goes on.

    ``wait_ns``: the wait right before, 0 if there was none or it is not known. ``waker``: the row in tasks of the
    thread that ended a sleep and ``waker_cpu`` where it was, -1 where it was no thread or is not known.
    """

    cpu: np.ndarray
    row: np.ndarray
    begin_ns: np.ndarray
    end_ns: np.ndarray
    state: np.ndarray
    wait_ns: np.ndarray
    waker: np.ndarray
    waker_cpu: np.ndarray

    def among(self, rows: np.ndarray) -> _Runs:
        return _Runs(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def render(document: dict[str, Any]) -> str:
    """The HTML of a page.

    :param document: the figures, from :func:`document_of`.
    """
    return page_of(document, f"schedtel: {document['recordings'][0]['name']}", "events")


def document_of(
    recording: EventRecording, tasks: Tasks, name: str, after_ns: int, length_ns: int | None
) -> dict[str, Any]:
    """The figures of the page.

    :param tasks: of the same recording.
    :param name: of the recording.
    :param after_ns: from the begin of the recording to that of the interval.
    :param length_ns: of the interval; None: to the end of the recording. Where it has more than ``MOST_RUNS`` runs it
        ends earlier, and the page says so.

    Raises :class:`RecordingError` where the recording has no event, or ends before the interval.
    """
    events = recording.events()
    if not events.num_rows:
        raise RecordingError("cannot draw the recording: it has no event (record for longer)")
    times = column(events, "time_ns")
    origin = recording.start_ns or int(times[0])
    gaps = recording.gaps()
    last = max(int(times[-1]), int(column(gaps, "to_ns").max(initial=0)))
    begin, asked_end = _interval(origin, last, after_ns, length_ns)
    runs, end = _fitting(_within(_all_runs(events, tasks, origin), begin, asked_end), begin, asked_end)
    rows, threads = np.unique(np.concatenate([runs.row, runs.waker[runs.waker >= 0]]), return_inverse=True)
    return {
        "version": __version__,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "recordings": [{"name": name, "duration": end - begin}],
        "facts": _facts(recording, begin, begin - origin),
        "asked_ns": asked_end - begin,
        "begin_ns": begin,
        "events": int(np.searchsorted(times, end) - np.searchsorted(times, begin)),
        "states": list(STATES),
        "threads": [utf8(name_of(tasks, int(row)).encode(errors="surrogateescape")) for row in rows],
        "runs": _as_lists(runs, begin, threads),
        "gaps": _gaps(gaps, begin, end),
    }


def _interval(origin: int, last: int, after_ns: int, length_ns: int | None) -> tuple[int, int]:
    begin = origin + after_ns
    end = last if length_ns is None else min(last, begin + length_ns)
    if begin >= end:
        lasts = (last - origin) / 1e9
        raise RecordingError(f"cannot draw the interval: the recording lasts {lasts:.6f} s (choose an earlier begin)")
    return begin, end


def _fitting(runs: _Runs, begin: int, end: int) -> tuple[_Runs, int]:
    """The runs that a page has room for, and where the interval ends then."""
    if len(runs.cpu) <= MOST_RUNS:
        return runs, end
    end = max(begin + 1, int(runs.begin_ns[MOST_RUNS]))
    return _within(runs, begin, end), end


def _within(runs: _Runs, begin: int, end: int) -> _Runs:
    """The runs of which a part is in the interval, by their begins."""
    rows = np.flatnonzero((runs.end_ns > begin) & (runs.begin_ns < end))
    return runs.among(rows[np.argsort(runs.begin_ns[rows], kind="stable")])


def _all_runs(events: pa.Table, tasks: Tasks, origin: int) -> _Runs:
    """All runs. Who is on a CPU before its first switch is taken to have been there at the begin."""
    ended = stretches(events, tasks)
    _, first = np.unique(ended.cpu, return_index=True)
    state = words(events, "prev_state", STATES)
    state = state[words(events, "event", KINDS) == KINDS.index("switch")]
    begin_ns = ended.time_ns - ended.run_ns
    begin_ns[first] = np.minimum(origin, begin_ns[first])
    wait_ns = _waits(ended.thread, state, ended.wait_ns, ended.delay_ns)
    waker, waker_cpu = _wakers(events, tasks, ended.row, begin_ns - ended.delay_ns, ended.delay_ns > 0)
    own = np.flatnonzero((ended.row >= 0) & (ended.time_ns > begin_ns))
    done = _Runs(ended.cpu, ended.row, begin_ns, ended.time_ns, state, wait_ns, waker, waker_cpu).among(own)
    return _joined(done, _unfinished(events, tasks))


def _waits(thread: np.ndarray, state: np.ndarray, away_ns: np.ndarray, delay_ns: np.ndarray) -> np.ndarray:
    """The wait before each run: since the thread was preempted or gave way, or else since it was woken."""
    order = np.argsort(thread, kind="stable")
    before = np.full(len(order), -1, state.dtype)
    same = np.diff(thread[order], prepend=thread[order[:1]] - 1) == 0
    before[order] = np.where(same, np.concatenate([[-1], state[order[:-1]]])[: len(order)], -1)
    return np.where(np.isin(before, _PREEMPTED), away_ns, delay_ns)


def _wakers(
    events: pa.Table, tasks: Tasks, rows: np.ndarray, woken_ns: np.ndarray, is_woken: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of wakeups of threads at a time: the row in tasks of the thread on the CPU where it happened, and the CPU."""
    columns = Columns.of(events, tasks, Running())
    wakeups = np.sort(np.concatenate([columns.of_kind("wakeup"), columns.of_kind("wakeup_new")]))
    if not len(wakeups):
        return np.full(len(rows), _NOBODY), np.full(len(rows), _NOBODY)
    at = np.searchsorted(columns.of_rows("time_ns", wakeups), woken_ns).clip(max=len(wakeups) - 1)
    found = wakeups[at]
    is_it = is_woken & (columns.of_rows("time_ns", found) == woken_ns)
    is_it &= tasks.tid[rows] == columns.of_rows("tid", found)
    by_thread = is_it & (columns.current[found] != 0)
    return (
        np.where(by_thread, columns.by[found], _NOBODY),
        np.where(is_it, columns.of_rows("cpu", found).astype(np.int64), _NOBODY),
    )


def _unfinished(events: pa.Table, tasks: Tasks) -> _Runs:
    """The threads on the CPUs at the end of the recording; their waits before are not told."""
    switches = np.flatnonzero(words(events, "event", KINDS) == KINDS.index("switch"))
    cpus, tids, times = (column(events, name)[switches].astype(np.int64) for name in ("cpu", "tid", "time_ns"))
    _, last = np.unique(cpus[::-1], return_index=True)
    last = len(cpus) - 1 - last
    last = last[tids[last] != 0]
    nobody = np.full(len(last), _NOBODY)
    end_ns = np.full(len(last), column(events, "time_ns")[-1])
    rows = tasks.at(tids[last], times[last])
    none = np.zeros(len(last), np.int64)
    return _Runs(cpus[last], rows, times[last], end_ns, nobody, none, nobody, nobody)


def _joined(a: _Runs, b: _Runs) -> _Runs:
    return _Runs(*(np.concatenate([getattr(a, name), getattr(b, name)]) for name in a.__dataclass_fields__))


def _as_lists(runs: _Runs, begin: int, threads: np.ndarray) -> dict[str, list[int]]:
    """Columns for JSON. ``thread`` and ``waker`` are places in the page's list of threads."""
    waker = np.full(len(runs.row), _NOBODY)
    waker[runs.waker >= 0] = threads[len(runs.row) :]
    columns = {
        "cpu": runs.cpu,
        "thread": threads[: len(runs.row)],
        "begin": runs.begin_ns - begin,
        "length": runs.end_ns - runs.begin_ns,
        "state": runs.state,
        "wait": runs.wait_ns,
        "waker": waker,
        "waker_cpu": runs.waker_cpu,
    }
    return {name: values.tolist() for name, values in columns.items()}


def _gaps(gaps: pa.Table, begin: int, end: int) -> list[dict[str, Any]]:
    """The losses that reach into the interval."""
    own = np.flatnonzero((column(gaps, "to_ns") > begin) & (column(gaps, "from_ns") < end))
    has_cpu, causes = known(gaps, "cpu"), gaps["cause"].to_pylist()
    from_ns, to_ns, events, cpus = (column(gaps, name) for name in ("from_ns", "to_ns", "events", "cpu"))
    return [
        {
            "cpu": int(cpus[at]) if has_cpu[at] else None,
            "from": int(from_ns[at]) - begin,
            "to": int(to_ns[at]) - begin,
            "events": int(events[at]),
            "cause": causes[at],
        }
        for at in own.tolist()
    ]


def _facts(recording: EventRecording, begin: int, after_ns: int) -> dict[str, str]:
    facts = recording.metadata
    wall = datetime.fromtimestamp((begin + recording.wall_offset_ns) / 1e9, UTC)
    return {
        "host": facts.get("host", ""),
        "kernel": facts.get("kernel", ""),
        "filter": facts.get("filter") or "all tasks",
        "begins": f"{wall:%Y-%m-%d %H:%M:%S.%f} UTC",
        "after the recording's begin": f"{after_ns / 1e9:.6f} s",
        "written because": facts.get("reason", ""),
    }
