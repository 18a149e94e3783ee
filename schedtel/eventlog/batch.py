"""Events of all CPUs, brought into the order of time: rows of tables that belong together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from schedtel.eventlog.files import column
from schedtel.eventlog.schema import no_rows
from schedtel.windows.arrow import from_numpy

#: Events of one CPU may be copied a little later than those of another one, and a virtual CPU may stand still between
#: the reading of the clock and the writing of the event. So the newest events are held back for so long.
SLACK_NS = 100_000_000


@dataclass(frozen=True)
class EventBatch:
    """What happened in a stretch of time: tables ``events``, in the order of time, ``tasks`` and ``gaps``; and
    ``books``, in the order of time on each CPU, without rows where they were not asked for.
    """

    events: pa.Table
    tasks: pa.Table
    gaps: pa.Table
    books: pa.Table


def sorted_by_time(events: pa.Table) -> pa.Table:
    """The rows in the order of time; those of the same time as they came."""
    times = column(events, "time_ns")
    if (np.diff(times) >= 0).all():
        return events
    return events.take(from_numpy(np.argsort(times, kind="stable")))


def in_order(batches: Iterable[EventBatch], slack_ns: int = SLACK_NS) -> Iterator[EventBatch]:
    """The same rows, with the events in the order of time across batches as well, as far as the slack allows. Books
    come with their events.
    """
    held, held_books = no_rows("events"), no_rows("books")
    for batch in batches:
        events = sorted_by_time(pa.concat_tables([held, batch.events]))
        times = column(events, "time_ns")
        ready = int(np.searchsorted(times, times[-1] - slack_ns)) if len(times) else 0
        held = events.slice(ready)
        books, held_books = _cut(pa.concat_tables([held_books, batch.books]), int(times[ready]) if len(times) else 0)
        yield replace(batch, events=events.slice(0, ready), books=books)
    if held.num_rows or held_books.num_rows:
        yield EventBatch(held, no_rows("tasks"), no_rows("gaps"), held_books)


def _cut(books: pa.Table, end_ns: int) -> tuple[pa.Table, pa.Table]:
    """The rows before a time, and the others."""
    if not books.num_rows:
        return books, books
    is_early = column(books, "time_ns") < end_ns
    return books.filter(from_numpy(is_early)), books.filter(from_numpy(~is_early))
