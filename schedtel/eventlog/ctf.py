"""A recording of events in; a trace in the Common Trace Format 1.8, named and laid out as LTTng's of a kernel, out.

    DIR/kernel/metadata       what the others mean (TSDL)
    DIR/kernel/events_0       switches, wakeups and migrations of CPU 0
    DIR/kernel/lives_0        births, execs and exits there

babeltrace2 reads it, and what is made for traces of LTTng. A text is 16 bytes, as the kernel has a name. A loss is a
packet without events, at whose end the counter of discarded events is higher.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from schedtel.access.directories import open_directory
from schedtel.errors import UsageError
from schedtel.eventlog import ctf_metadata as metadata
from schedtel.eventlog.files import column, known, words
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.recording import EventRecording
from schedtel.eventlog.running import Columns, Pieces, Running
from schedtel.eventlog.schema import LIFE_KINDS
from schedtel.records.event_layout import STATE_BITS, STATES

_FOLDER = "kernel"
_FILE = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_MAGIC = 0xC1FC1FC1
_PACKET = np.dtype(
    [
        *[("magic", "<u4"), ("uuid", "V16"), ("stream_id", "<u4")],
        *[("timestamp_begin", "<u8"), ("timestamp_end", "<u8"), ("content_size", "<u8"), ("packet_size", "<u8")],
        *[("events_discarded", "<u8"), ("cpu_id", "<u4")],
    ]
)
_EVENTS, _LIVES = range(2)
_ALIVE = LIFE_KINDS.index("alive")


class CtfTrace:
    """A directory to write a trace to, new or empty, as a context manager.

    Raises :class:`UsageError` where it cannot be made or written, or is not empty.
    """

    def __init__(self, where: str) -> None:
        if where == "-" or "://" in where:
            raise UsageError(f"cannot write {where}: this format is a directory of files (name one on this machine)")
        self._where, self._uuid = where, uuid.uuid4()
        self._discarded: dict[int, int] = {}
        self._last_ns: dict[int, int] = {}
        try:
            root = open_directory(Path(where))
            try:
                if os.listdir(root):
                    raise UsageError(f"cannot write {where}: it is not empty (name another directory)")
                os.mkdir(_FOLDER, 0o700, dir_fd=root)
                self._folder = os.open(_FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
            finally:
                os.close(root)
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> UsageError:
        return UsageError(f"cannot write {self._where}: {error.strerror or error} (check the disk and the path)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._folder)

    def write(self, recording: EventRecording, tasks: Tasks) -> int:
        """Write the recording; returns the number of events.

        :param tasks: of the same recording.

        Raises :class:`UsageError` where it cannot be written.
        """
        self._append("metadata", metadata.text(self._uuid, recording).encode())
        events, running, pieces, lives = 0, Running(), Pieces(), []
        for batch in recording:
            events += batch.events.num_rows
            lives.append(batch.tasks)
            columns = Columns.of(batch.events, tasks, running)
            for piece in pieces.of(batch):
                self._discard(piece.cpu, piece.missing, piece.until_ns)
                self._add(piece.cpu, columns.of_rows("time_ns", piece.rows), _records(columns, piece.rows))
        for piece in pieces.rest():
            self._discard(piece.cpu, piece.missing, piece.until_ns)
        self._add_lives(pa.concat_tables(lives), tasks, recording)
        return events

    def _discard(self, cpu: int, missing: int, until_ns: int) -> None:
        if not missing:
            return
        self._discarded[cpu] = self._discarded.get(cpu, 0) + missing
        begin_ns = self._last_ns.get(cpu, until_ns)
        self._last_ns[cpu] = max(begin_ns, until_ns)
        self._packet(_EVENTS, cpu, (begin_ns, self._last_ns[cpu]), b"")

    def _add(self, cpu: int, times: np.ndarray, content: bytes) -> None:
        if len(times):
            self._last_ns[cpu] = int(times[-1])
            self._packet(_EVENTS, cpu, (int(times[0]), int(times[-1])), content)

    def _add_lives(self, table: pa.Table, tasks: Tasks, recording: EventRecording) -> None:
        """Births, execs and exits of each CPU; and on the first one who was there at the begin."""
        cpus, where = column(table, "cpu"), known(table, "cpu")
        first = min(recording.cpus)
        for cpu in sorted({first, *np.unique(cpus[where]).tolist()}):
            own = np.flatnonzero(where & (cpus == cpu))
            records = _life_records(own, column(table, "previous_tid"), tasks)
            records += _state_dump(tasks, recording.start_ns) if cpu == first else []
            times = np.concatenate([record["timestamp"] for record in records])
            order = np.argsort(times, kind="stable")
            places = np.empty(len(order), np.int64)
            places[order] = np.arange(len(order))
            if len(times):
                span = (int(times.min()), int(times.max()))
                self._packet(_LIVES, cpu, span, _merged(records, places))

    def _packet(self, stream: int, cpu: int, span: tuple[int, int], content: bytes) -> None:
        head = np.zeros(1, _PACKET)
        bits = 8 * (len(content) + _PACKET.itemsize)
        head["magic"], head["uuid"], head["stream_id"] = _MAGIC, np.void(self._uuid.bytes), stream
        head["timestamp_begin"], head["timestamp_end"] = span
        head["content_size"] = head["packet_size"] = bits
        head["events_discarded"] = self._discarded.get(cpu, 0) if stream == _EVENTS else 0
        head["cpu_id"] = cpu
        self._append(f"{'events' if stream == _EVENTS else 'lives'}_{cpu}", head.tobytes() + content)

    def _append(self, name: str, content: bytes) -> None:
        """Add to a file. It is opened each time: a machine may have more CPUs than a process may have files open."""
        try:
            with open(os.open(name, _FILE, 0o600, dir_fd=self._folder), "ab") as file:
                file.write(content)
        except OSError as error:
            raise self._cannot_write(error) from error


# ---- records ----


def _of_kind(kind: str, times: np.ndarray) -> np.ndarray:
    """Records of a kind, with id and time."""
    event = metadata.EVENTS[kind]
    found = np.zeros(len(times), event.record)
    found["id"], found["timestamp"] = event.number, times
    return found


def _records(columns: Columns, rows: np.ndarray) -> bytes:
    """The events of some rows, which are in the order of time."""
    kinds = {"switch": _switches, "wakeup": _wakeups, "wakeup_new": _wakeups, "migrate": _migrations}
    found, places = [], []
    for kind, fill in kinds.items():
        own = columns.of_kind(kind, rows)
        records = _of_kind(kind, columns.of_rows("time_ns", own))
        fill(columns, own, records)
        found.append(records)
        places.append(np.searchsorted(rows, own))
    return _merged(found, np.concatenate(places))


def _switches(columns: Columns, rows: np.ndarray, records: np.ndarray) -> None:
    records["prev_comm"], records["prev_tid"] = columns.names[columns.by[rows]], columns.current[rows]
    records["prev_prio"] = columns.before["prio"][rows]
    records["prev_state"] = STATE_BITS[words(columns.events, "prev_state", STATES)[rows]]
    records["next_comm"], records["next_tid"] = columns.names[columns.whose[rows]], columns.of_rows("tid", rows)
    records["next_prio"] = columns.of_rows("prio", rows)


def _whose(columns: Columns, rows: np.ndarray, records: np.ndarray) -> None:
    records["comm"], records["tid"] = columns.names[columns.whose[rows]], columns.of_rows("tid", rows)
    records["prio"] = columns.of_rows("prio", rows)


def _wakeups(columns: Columns, rows: np.ndarray, records: np.ndarray) -> None:
    _whose(columns, rows, records)
    records["target_cpu"] = columns.of_rows("target_cpu", rows)


def _migrations(columns: Columns, rows: np.ndarray, records: np.ndarray) -> None:
    _whose(columns, rows, records)
    records["orig_cpu"], records["dest_cpu"] = (columns.of_rows(f"{end}_cpu", rows) for end in ("source", "target"))


def _life_records(rows: np.ndarray, previous: np.ndarray, tasks: Tasks) -> list[np.ndarray]:
    """Births, execs and exits among rows of tasks. LTTng has no event for a new name; switches tell it."""
    found = []
    for kind, fill in (("newtask", _births), ("exec", _execs), ("exit", _exits)):
        own = rows[tasks.kind[rows] == LIFE_KINDS.index(kind)]
        records = _of_kind(kind, tasks.time_ns[own])
        fill(tasks, own, previous, records)
        found.append(records)
    return found


def _comms(tasks: Tasks, rows: np.ndarray) -> np.ndarray:
    return np.array([tasks.comm[row] for row in rows.tolist()], "S16")


def _births(tasks: Tasks, rows: np.ndarray, _previous: np.ndarray, records: np.ndarray) -> None:
    parents = tasks.at(tasks.parent[rows], tasks.time_ns[rows])
    records["parent_comm"], records["child_comm"] = _comms(tasks, parents), _comms(tasks, rows)
    records["parent_tid"], records["parent_pid"] = tasks.parent[rows], tasks.tgid[parents]
    records["child_tid"], records["child_pid"] = tasks.tid[rows], tasks.tgid[rows]


def _execs(tasks: Tasks, rows: np.ndarray, previous: np.ndarray, records: np.ndarray) -> None:
    records["filename"], records["tid"] = _comms(tasks, rows), tasks.tid[rows]
    records["old_tid"] = np.where(previous[rows] > 0, previous[rows], tasks.tid[rows])


def _exits(tasks: Tasks, rows: np.ndarray, _previous: np.ndarray, records: np.ndarray) -> None:
    records["comm"], records["tid"], records["prio"] = _comms(tasks, rows), tasks.tid[rows], tasks.prio[rows]


def _state_dump(tasks: Tasks, start_ns: int) -> list[np.ndarray]:
    """Who was there at the begin. Parents and states are not known: 0."""
    alive = np.flatnonzero(tasks.kind == _ALIVE)
    last_ns = int(tasks.time_ns[alive].max(initial=start_ns))
    states = _of_kind("alive", tasks.time_ns[alive])
    states["name"] = _comms(tasks, alive)
    for name, values in (("tid", tasks.tid), ("vtid", tasks.tid), ("pid", tasks.tgid), ("vpid", tasks.tgid)):
        states[name] = values[alive]
    first_ns = int(tasks.time_ns[alive].min(initial=last_ns))
    return [_of_kind("alive_begin", np.array([first_ns])), states, _of_kind("alive_end", np.array([last_ns]))]


def _merged(parts: list[np.ndarray], places: np.ndarray) -> bytes:
    """Records of several sizes, one after the other.

    :param places: where each record goes, in the order of the parts.
    """
    width = max(part.dtype.itemsize for part in parts)
    octets, used = np.zeros((len(places), width), np.uint8), np.zeros((len(places), width), bool)
    done = 0
    for part in parts:
        own, size = places[done : done + len(part)], part.dtype.itemsize
        octets[own, :size] = np.frombuffer(part.tobytes(), np.uint8).reshape(len(part), size)
        used[own, :size] = True
        done += len(part)
    return octets[used].tobytes()
