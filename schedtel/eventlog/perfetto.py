"""A recording of events in; a trace that Perfetto reads (protos/perfetto/trace in its source tree) out.

Switches and wakeups are in the columns of ``compact_sched``, some 7 bytes each. Perfetto draws runnable threads and who
woke them from ``sched_waking``, so a wakeup is written as one, though it is a little later: the moment at which the
thread is on a queue. What else happens is written as events of ftrace.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pyarrow as pa

from schedtel.eventlog.files import column, known, words
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.protobuf import Rows, beside, block, messages, number, numbers, packed, texts
from schedtel.eventlog.recording import EventRecording
from schedtel.eventlog.running import Columns, Piece, Pieces, Running
from schedtel.eventlog.schema import LIFE_KINDS
from schedtel.foreign_text import utf8
from schedtel.records.event_layout import STATE_BITS, STATES

#: Fields of Trace and TracePacket.
_PACKET = 1
_FTRACE_EVENTS, _PROCESS_TREE, _CLOCK_SNAPSHOT, _SEQUENCE, _SYSTEM_INFO = 1, 2, 6, 10, 45
#: Fields of FtraceEventBundle.
_CPU, _EVENT, _LOST_EVENTS, _COMPACT_SCHED = 1, 2, 3, 4
#: Fields of FtraceEvent: of all, and one for each kind of event.
_TIMESTAMP, _PID = 1, 2
_WAKEUP_NEW, _MIGRATE, _NEWTASK, _RENAME, _EXEC, _EXIT = 114, 491, 235, 236, 237, 238
#: BuiltinClock.
_REALTIME, _MONOTONIC, _BOOTTIME = 1, 3, 6
#: include/uapi/linux/sched.h
_CLONE_THREAD = 0x00010000
_ALIVE = LIFE_KINDS.index("alive")
#: A name's 16 bytes, if each of them has to be escaped.
_NAME = "S64"


class Sink(Protocol):
    """What a trace is written to."""

    def write(self, part: bytes) -> int: ...


def write_perfetto(recording: EventRecording, tasks: Tasks, sink: Sink) -> int:
    """Write the recording; returns the number of events. The first bundle behind a loss has ``lost_events``.

    :param tasks: of the same recording.
    """
    sink.write(_head(recording, tasks))
    events, lives, running, pieces = 0, 0, Running(), Pieces()
    offset_ns = recording.boottime_offset_ns
    for batch in recording:
        own = np.arange(lives, lives + batch.tasks.num_rows)
        events, lives = events + batch.events.num_rows, lives + batch.tasks.num_rows
        sink.write(_lives(batch.tasks, own, tasks, offset_ns))
        bundles = _Bundles(Columns.of(batch.events, tasks, running), tasks, offset_ns)
        for piece in pieces.of(batch):
            sink.write(bundles.of(piece))
    for piece in pieces.rest():
        sink.write(_bundle(piece.cpu, number(_LOST_EVENTS, 1)))
    return events


def _packet(field: int, content: bytes) -> bytes:
    return block(_PACKET, number(_SEQUENCE, 1) + block(field, content))


def _bundle(cpu: int, content: bytes) -> bytes:
    return _packet(_FTRACE_EVENTS, number(_CPU, cpu) + content)


def _names(tasks: Tasks) -> np.ndarray:
    return np.array([utf8(name).encode() for name in tasks.comm], _NAME)


# ---- what comes first ----


def _head(recording: EventRecording, tasks: Tasks) -> bytes:
    return _clocks(recording) + _system(recording) + _packet(_PROCESS_TREE, _processes(tasks))


def _clocks(recording: EventRecording) -> bytes:
    """Events of ftrace are on CLOCK_BOOTTIME, unless a bundle says otherwise, and it cannot say CLOCK_MONOTONIC."""
    offsets = {_BOOTTIME: recording.boottime_offset_ns, _MONOTONIC: 0, _REALTIME: recording.wall_offset_ns}
    clocks = b"".join(
        block(1, number(1, clock) + number(2, recording.start_ns + offset)) for clock, offset in offsets.items()
    )
    return _packet(_CLOCK_SNAPSHOT, clocks + number(2, _BOOTTIME))


def _system(recording: EventRecording) -> bytes:
    """The kernel's release, by which the bits of a state are understood."""
    release = recording.metadata.get("kernel", "").encode(errors="replace")
    return _packet(_SYSTEM_INFO, block(1, block(1, b"Linux") + block(3, release)))


def _processes(tasks: Tasks) -> bytes:
    """Who was there at the begin: processes (field 1) and threads (field 2)."""
    names, alive = _names(tasks), np.flatnonzero(tasks.kind == _ALIVE)
    leads = tasks.tid[alive] == tasks.tgid[alive]
    leaders, others = alive[leads], alive[~leads]
    is_comm = numbers(9, np.ones(len(leaders), np.int64))
    processes = beside(numbers(1, tasks.tid[leaders]), texts(3, names[leaders]), is_comm)
    threads = beside(numbers(1, tasks.tid[others]), texts(2, names[others]), numbers(3, tasks.tgid[others]))
    return messages(1, processes).tobytes() + messages(2, threads).tobytes()


# ---- events ----


class _Bundles:
    """Makes a bundle of each piece of a batch."""

    def __init__(self, columns: Columns, tasks: Tasks, offset_ns: int) -> None:
        self._columns, self._names, self._offset_ns = columns, _names(tasks), offset_ns

    def of(self, piece: Piece) -> bytes:
        lost = number(_LOST_EVENTS, 1) if piece.missing else b""
        plain = self._arrivals(piece.rows).tobytes() + self._migrations(piece.rows).tobytes()
        return _bundle(piece.cpu, plain + lost + block(_COMPACT_SCHED, self._compact(piece.rows)))

    def _compact(self, rows: np.ndarray) -> bytes:
        columns = self._columns
        switches, wakeups = columns.of_kind("switch", rows), columns.of_kind("wakeup", rows)
        used = np.concatenate([columns.whose[switches], columns.whose[wakeups]])
        distinct, places = np.unique(self._names[used], return_inverse=True)
        states = STATE_BITS[words(columns.events, "prev_state", STATES)[switches]]
        return b"".join(
            (
                *(block(5, name) for name in distinct.tolist()),
                packed(1, self._steps(switches)),
                packed(2, states),
                packed(3, columns.of_rows("tid", switches)),
                packed(4, columns.of_rows("prio", switches)),
                packed(6, places[: len(switches)]),
                packed(7, self._steps(wakeups)),
                packed(8, columns.of_rows("tid", wakeups)),
                packed(9, columns.of_rows("target_cpu", wakeups)),
                packed(10, columns.of_rows("prio", wakeups)),
                packed(11, places[len(switches) :]),
            )
        )

    def _steps(self, rows: np.ndarray) -> np.ndarray:
        """The first time, and the differences of the others to the one before."""
        return np.diff(self._columns.of_rows("time_ns", rows) + self._offset_ns, prepend=0)

    def _arrivals(self, rows: np.ndarray) -> Rows:
        columns, own = self._columns, self._columns.of_kind("wakeup_new", rows)
        targets = numbers(5, columns.of_rows("target_cpu", own))
        return self._events(_WAKEUP_NEW, own, numbers(4, np.ones(len(own), np.int64)), targets)

    def _migrations(self, rows: np.ndarray) -> Rows:
        columns, own = self._columns, self._columns.of_kind("migrate", rows)
        ways = (numbers(4, columns.of_rows("source_cpu", own)), numbers(5, columns.of_rows("target_cpu", own)))
        return self._events(_MIGRATE, own, *ways)

    def _events(self, kind: int, rows: np.ndarray, *own: Rows) -> Rows:
        """Events of ftrace of a thread that is not the one on the CPU."""
        columns = self._columns
        whose = beside(
            texts(1, self._names[columns.whose[rows]]),
            numbers(2, columns.of_rows("tid", rows)),
            numbers(3, columns.of_rows("prio", rows)),
        )
        times = columns.of_rows("time_ns", rows) + self._offset_ns
        return _ftrace(times, columns.current[rows], messages(kind, beside(whose, *own)))


def _ftrace(times: np.ndarray, by: np.ndarray, event: Rows) -> Rows:
    return messages(_EVENT, beside(numbers(_TIMESTAMP, times), numbers(_PID, by), event))


def _lives(table: pa.Table, rows: np.ndarray, tasks: Tasks, offset_ns: int) -> bytes:
    """Births, new names, execs and ends, a bundle for each CPU.

    :param rows: those of the table among all tasks.
    """
    cpus, where = column(table, "cpu"), known(table, "cpu")
    return b"".join(
        _bundle(cpu, _lives_of_a_cpu(table, np.flatnonzero(where & (cpus == cpu)), rows, tasks, offset_ns))
        for cpu in np.unique(cpus[where]).tolist()
    )


def _lives_of_a_cpu(table: pa.Table, own: np.ndarray, rows: np.ndarray, tasks: Tasks, offset_ns: int) -> bytes:
    names, previous, found = _names(tasks), column(table, "previous_tid"), b""
    for kind, field in (("newtask", _NEWTASK), ("rename", _RENAME), ("exec", _EXEC), ("exit", _EXIT)):
        at = own[tasks.kind[rows[own]] == LIFE_KINDS.index(kind)]
        of, tids = rows[at], tasks.tid[rows[at]]
        flags = np.where(tids != tasks.tgid[of], _CLONE_THREAD, 0)
        old = np.where(previous[at] > 0, previous[at], tids)
        told = {
            "newtask": (numbers(1, tids), texts(2, names[of]), numbers(3, flags)),
            "rename": (numbers(1, tids), texts(3, names[of])),
            "exec": (texts(1, names[of]), numbers(2, tids), numbers(3, old)),
            "exit": (texts(1, names[of]), numbers(2, tids), numbers(3, tasks.tgid[of]), numbers(4, tasks.prio[of])),
        }[kind]
        by = tasks.parent[of] if kind == "newtask" else tids
        found += _ftrace(tasks.time_ns[of] + offset_ns, by, messages(field, beside(*told))).tobytes()
    return found
