"""A recording of events in; a perf.data file out, which `perf script`, `perf sched timehist` and `latency` read."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import pyarrow as pa

from schedtel.eventlog import perf_head
from schedtel.eventlog.batch import EventBatch
from schedtel.eventlog.files import column, losses, words
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.recording import EventRecording
from schedtel.eventlog.running import Columns, Running
from schedtel.eventlog.schema import LIFE_KINDS
from schedtel.records.event_layout import STATE_BITS, STATES

#: Types of records (include/uapi/linux/perf_event.h; the last is perf's own).
_LOST, _COMM, _FORK, _SAMPLE, _FINISHED_ROUND = 2, 3, 7, 9, 68
_KERNEL, _COMM_EXEC = 1, 1 << 13
_EVENT = [("common_type", "<u2"), ("common_flags", "u1"), ("common_preempt_count", "u1"), ("common_pid", "<i4")]
_SAMPLED = [("type", "<u4"), ("misc", "<u2"), ("size", "<u2"), ("id", "<u8"), ("pid", "<u4"), ("tid", "<u4")]
_SAMPLED += [("time", "<u8"), ("cpu", "<u4"), ("reserved", "<u4"), ("raw_bytes", "<u4"), *_EVENT]
#: What stands at the end of a record that is no sample.
_IDENTITY = [("id_pid", "<u4"), ("id_tid", "<u4"), ("id_time", "<u8")]
_IDENTITY += [("id_cpu", "<u4"), ("id_reserved", "<u4"), ("id", "<u8")]
_HEADER = [("type", "<u4"), ("misc", "<u2"), ("size", "<u2")]
_WAKEUP_FIELDS = [("comm", "S16"), ("task", "<i4"), ("prio", "<i4"), ("target_cpu", "<i4")]


def _padded(fields: list[tuple[str, str]]) -> np.dtype:
    """The dtype, up to whole words of 8 bytes."""
    rest = -np.dtype(fields).itemsize % 8
    return np.dtype([*fields, ("padding", f"V{rest}")] if rest else fields)


_SWITCHES = _padded(
    [
        *_SAMPLED,
        *[("prev_comm", "S16"), ("prev_pid", "<i4"), ("prev_prio", "<i4"), ("prev_state", "<i8")],
        *[("next_comm", "S16"), ("next_pid", "<i4"), ("next_prio", "<i4")],
    ]
)
_WAKEUPS = _padded([*_SAMPLED, *_WAKEUP_FIELDS])
_MIGRATIONS = _padded([*_SAMPLED, *_WAKEUP_FIELDS[:3], ("orig_cpu", "<i4"), ("dest_cpu", "<i4")])
_RUNTIMES = _padded([*_SAMPLED, ("comm", "S16"), ("task", "<i4"), ("reserved2", "<i4"), ("runtime", "<u8")])
_COMMS = _padded([*_HEADER, ("pid", "<u4"), ("tid", "<u4"), ("comm", "S16"), *_IDENTITY])
_FORKS = _padded(
    [*_HEADER, ("pid", "<u4"), ("ppid", "<u4"), ("tid", "<u4"), ("ptid", "<u4"), ("time", "<u8"), *_IDENTITY]
)
_LOSSES = _padded([*_HEADER, ("event", "<u8"), ("lost", "<u8"), *_IDENTITY])
#: Where each kind of record has its time.
_TIME_OF = dict.fromkeys((_SWITCHES, _WAKEUPS, _MIGRATIONS, _RUNTIMES), "time") | dict.fromkeys(
    (_COMMS, _FORKS, _LOSSES), "id_time"
)
_ALIVE = LIFE_KINDS.index("alive")


def write_perf_data(recording: EventRecording, tasks: Tasks, file: BinaryIO) -> int:
    """Write the recording to a file that can be sought in; returns the number of events.

    Births and names are FORK and COMM records, gaps that have a CPU are LOST records.

    :param tasks: of the same recording.
    """
    head_bytes = len(perf_head.head(0))
    file.seek(head_bytes)
    data_bytes = file.write(_descriptions(tasks))
    events, lives, running = 0, 0, Running()
    for batch in recording:
        own = np.arange(lives, lives + batch.tasks.num_rows)
        events, lives = events + batch.events.num_rows, lives + batch.tasks.num_rows
        data_bytes += file.write(_records(batch, tasks, own, running))
        data_bytes += file.write(np.array([(_FINISHED_ROUND, 0, 8)], np.dtype(_HEADER)).tobytes())
    facts = recording.metadata
    at, names = head_bytes + data_bytes, (facts.get("host", ""), facts.get("kernel", ""))
    file.write(perf_head.features(at, *names, len(recording.cpus)))
    file.seek(0)
    file.write(perf_head.head(data_bytes))
    return events


def _descriptions(tasks: Tasks) -> bytes:
    """Names of the threads that were there at the begin, at time 0."""
    rows = np.flatnonzero(tasks.kind == _ALIVE)
    return _comms(tasks, rows, np.zeros(len(rows), np.int64)).tobytes()


def _comms(tasks: Tasks, rows: np.ndarray, times: np.ndarray) -> np.ndarray:
    records = np.zeros(len(rows), _COMMS)
    records["type"], records["size"] = _COMM, _COMMS.itemsize
    records["misc"] = np.where(tasks.kind[rows] == LIFE_KINDS.index("exec"), _COMM_EXEC, 0)
    records["comm"] = [tasks.comm[row] for row in rows.tolist()]
    for name in ("pid", "id_pid"):
        records[name] = tasks.tgid[rows]
    for name in ("tid", "id_tid"):
        records[name] = tasks.tid[rows]
    records["id_time"], records["id"] = times, perf_head.SWITCH.number
    return records


def _forks(tasks: Tasks, rows: np.ndarray) -> np.ndarray:
    records = np.zeros(len(rows), _FORKS)
    parents = tasks.at(tasks.parent[rows], tasks.time_ns[rows])
    records["type"], records["size"], records["id"] = _FORK, _FORKS.itemsize, perf_head.SWITCH.number
    records["pid"], records["tid"], records["ptid"] = tasks.tgid[rows], tasks.tid[rows], tasks.parent[rows]
    records["ppid"] = tasks.tgid[parents]
    records["id_pid"], records["id_tid"] = tasks.tgid[parents], tasks.parent[rows]
    records["time"] = records["id_time"] = tasks.time_ns[rows]
    return records


def _losses(gaps: pa.Table) -> np.ndarray:
    rows = losses(gaps)
    records = np.zeros(len(rows), _LOSSES)
    records["type"], records["size"], records["id"] = _LOST, _LOSSES.itemsize, perf_head.SWITCH.number
    records["event"], records["lost"] = perf_head.SWITCH.number, column(gaps, "events")[rows]
    records["id_time"], records["id_cpu"] = column(gaps, "to_ns")[rows], column(gaps, "cpu")[rows]
    return records


class _Columns(Columns):
    """Columns of a batch's events, and samples of perf of them."""

    def samples(self, kind: str, point: perf_head.Tracepoint, record: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """Samples of one kind, without the fields of their own; and which rows they are of."""
        rows = self.of_kind(kind)
        found = np.zeros(len(rows), record)
        found["type"], found["misc"], found["size"], found["id"] = _SAMPLE, _KERNEL, record.itemsize, point.number
        found["pid"], found["tid"] = self.tgid[self.by[rows]], self.current[rows]
        found["time"], found["cpu"] = self.of_rows("time_ns", rows), self.of_rows("cpu", rows)
        found["common_type"], found["common_pid"] = point.number, self.current[rows]
        found["raw_bytes"] = record.itemsize - record.fields["common_type"][1]  # type: ignore[index]
        if kind != "switch":  # the event's own thread
            found["comm"], found["task"] = self.names[self.whose[rows]], self.of_rows("tid", rows)
            found["prio"] = self.of_rows("prio", rows)
        return found, rows

    def switches(self) -> np.ndarray:
        found, rows = self.samples("switch", perf_head.SWITCH, _SWITCHES)
        found["prev_comm"], found["prev_pid"] = self.names[self.by[rows]], self.current[rows]
        found["prev_prio"] = self.before["prio"][rows]
        found["prev_state"] = STATE_BITS[words(self.events, "prev_state", STATES)[rows]]
        found["next_comm"], found["next_pid"] = self.names[self.whose[rows]], self.of_rows("tid", rows)
        found["next_prio"] = self.of_rows("prio", rows)
        return found

    def runtimes(self) -> np.ndarray:
        """How long the threads that leave have run, if they are known to have come in, and are not idle."""
        found, rows = self.samples("switch", perf_head.RUNTIME, _RUNTIMES)
        since = self.before["since_ns"][rows]
        found["comm"], found["task"] = self.names[self.by[rows]], self.current[rows]
        found["runtime"] = self.of_rows("time_ns", rows) - since
        return found[(since >= 0) & (self.current[rows] != 0)]

    def wakeups(self, kind: str, point: perf_head.Tracepoint) -> np.ndarray:
        found, rows = self.samples(kind, point, _WAKEUPS)
        found["target_cpu"] = self.of_rows("target_cpu", rows)
        return found

    def migrations(self) -> np.ndarray:
        found, rows = self.samples("migrate", perf_head.MIGRATE, _MIGRATIONS)
        found["orig_cpu"], found["dest_cpu"] = self.of_rows("source_cpu", rows), self.of_rows("target_cpu", rows)
        return found


def _records(batch: EventBatch, tasks: Tasks, lives: np.ndarray, running: Running) -> bytes:
    """The records of a batch, in the order of time.

    :param lives: the rows of ``tasks`` that are the batch's.
    """
    lives = lives[tasks.kind[lives] != _ALIVE]
    columns = _Columns.of(batch.events, tasks, running)
    parts = [
        _forks(tasks, lives[tasks.kind[lives] == LIFE_KINDS.index("newtask")]),
        _comms(tasks, lives, tasks.time_ns[lives]),
        columns.runtimes(),
        columns.switches(),
        columns.wakeups("wakeup", perf_head.WAKEUP),
        columns.wakeups("wakeup_new", perf_head.WAKEUP_NEW),
        columns.migrations(),
        _losses(batch.gaps),
    ]
    return _merged([part for part in parts if len(part)])


def _merged(parts: list[np.ndarray]) -> bytes:
    """Records of several sizes, all of whole words of 8 bytes, in the order of time; those of a moment as given."""
    if not parts:
        return b""
    times = np.concatenate([part[_TIME_OF[part.dtype]] for part in parts])
    order = np.argsort(times.astype(np.int64), kind="stable")
    sizes = np.concatenate([np.full(len(part), part.dtype.itemsize // 8) for part in parts])
    begins = np.empty(len(order), np.int64)
    begins[order] = np.cumsum(sizes[order]) - sizes[order]
    merged, done = np.zeros(int(sizes.sum()), "<u8"), 0
    for part in parts:
        own = begins[done : done + len(part)]
        done += len(part)
        block = np.ascontiguousarray(part).view("<u8").reshape(len(part), -1)
        for word in range(block.shape[1]):
            merged[own + word] = block[:, word]
    return merged.tobytes()
