"""A recording in; its events in the order of time, each with the books that belong to it, out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from schedtel.errors import RecordingError
from schedtel.eventlog.files import column, known, words
from schedtel.eventlog.recording import EventRecording
from schedtel.eventlog.schema import BOOK_ROLES, KINDS
from schedtel.records.event_layout import STATES

SWITCH, WAKEUP, WAKEUP_NEW, MIGRATE = range(4)
LEAVES, COMES, WAKES, MIGRATES, QUEUED = range(5)
#: States in which a thread that leaves still wants to run.
RUNNABLE = (STATES.index("R"), STATES.index("R+"))
PREEMPTED = STATES.index("R+")


class Book(NamedTuple):
    """A row of books, with the weight as EEVDF's sums have it."""

    tid: int
    role: int
    level: int
    entity: int
    parent: int | None
    queue: int
    vruntime: int
    deadline: int
    weight: int
    is_protected: bool
    on_rq: bool
    is_delayed: bool
    is_buddy: bool


class Step(NamedTuple):
    """An event and its books. ``cpu``: where it happened; ``target``: of a wakeup and a migration, on which CPU's queue
    the thread is put; ``source``: of a migration, where it was.
    """

    time_ns: int
    cpu: int
    kind: int
    tid: int
    prio: int
    prev_tid: int
    prev_state: int
    target: int
    source: int
    books: list[Book]


def steps(recording: EventRecording, most_switches: int) -> Iterator[Step]:
    """The events in the order of time, until there were so many switches.

    Raises :class:`RecordingError` for a recording with a filter, in which the scheduler's choice cannot be followed.
    """
    if recording.metadata.get("filter", ""):
        raise RecordingError(
            "cannot follow the scheduler's choices: the recording has a filter, and others waited, too (record without)"
        )
    left = most_switches
    for batch in recording:
        if left <= 0:
            return
        kinds = words(batch.events, "event", KINDS)
        switches = np.flatnonzero(kinds == SWITCH)
        events = batch.events if len(switches) <= left else batch.events.slice(0, int(switches[left]))
        left -= len(switches)
        yield from _joined(events, batch.books)


def _joined(events: pa.Table, books: pa.Table) -> Iterator[Step]:
    """The steps of events and of the books of the same time."""
    cpus, times = column(events, "cpu"), column(events, "time_ns")
    rows, first, last = _places(cpus, times, books)
    own = _books(books, rows)
    columns = [times, cpus, words(events, "event", KINDS)]
    columns += [column(events, name) for name in ("tid", "prio", "prev_tid")]
    columns += [words(events, "prev_state", STATES), column(events, "target_cpu"), column(events, "source_cpu")]
    spans = zip(first.tolist(), last.tolist(), strict=True)
    for fields, (begin, end) in zip(zip(*(each.tolist() for each in columns), strict=True), spans, strict=True):
        yield Step._make((*fields, own[begin:end]))


def _places(cpus: np.ndarray, times: np.ndarray, books: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of books by CPU and time; and of each event, the begin and the end of its own among them."""
    book_cpus, book_times = column(books, "cpu"), column(books, "time_ns")
    rows = np.lexsort((book_times, book_cpus))
    first, last = np.zeros(len(times), np.int64), np.zeros(len(times), np.int64)
    for cpu in np.unique(cpus).tolist():
        here, begin = cpus == cpu, int(np.searchsorted(book_cpus[rows], cpu))
        own = book_times[rows[begin : int(np.searchsorted(book_cpus[rows], cpu, side="right"))]]
        first[here] = begin + np.searchsorted(own, times[here])
        last[here] = begin + np.searchsorted(own, times[here], side="right")
    return rows, first, last


def _books(books: pa.Table, rows: np.ndarray) -> list[Book]:
    vruntime, deadline, vprot = (column(books, name) for name in ("vruntime_ns", "deadline_ns", "vprot_ns"))
    # Kernels without vprot keep the deadline in vlag for as long as an entity is protected (RUN_TO_PARITY).
    parity = known(books, "vlag_ns") & (column(books, "vlag_ns") == deadline)
    protected = np.where(known(books, "vprot_ns"), vprot > vruntime, parity)
    parents = column(books, "parent").astype(object)
    parents[~known(books, "parent")] = None
    columns = [column(books, "tid"), words(books, "role", BOOK_ROLES), column(books, "level"), column(books, "entity")]
    columns += [parents, column(books, "queue"), vruntime, deadline]
    columns += [np.maximum(2, column(books, "weight") >> 10), protected]
    columns += [column(books, name) for name in ("on_rq", "sched_delayed", "is_buddy")]
    return list(map(Book._make, zip(*(each[rows].tolist() for each in columns), strict=True)))
