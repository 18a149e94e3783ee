"""This machine's events, as they happen, in; Arrow tables out."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pyarrow as pa

from schedtel.closing import Closing
from schedtel.durations import parse_duration
from schedtel.eventlog.batch import EventBatch, in_order
from schedtel.eventlog.decode import Gap, gap_batch
from schedtel.eventlog.lives import task_batch
from schedtel.eventlog.schema import empty
from schedtel.eventlog.tracing import Pieces, Tracing
from schedtel.kernel.filters import Filter
from schedtel.latch import Latch


class LiveEvents(Closing):
    """Events of this machine. Iterating yields an :class:`EventBatch` at a time; tracing begins with the construction.

    A batch has the events of ``every``, a duration, or more if the caller was busy. They are in the order of time; the
    newest tenth of a second comes with the next batch. ``duration`` ends the iteration; so does :meth:`stop`.

    Tracing ends with :meth:`close`, with the ``with`` block, with an iteration that ends by itself, when the object is
    collected, or with the process.

    Raises :class:`UsageError` for a wrong value, and :class:`CapabilityError` where the kernel, the machine or the
    user's privileges lack something.
    """

    def __init__(
        self,
        task_filter: Filter | None = None,
        duration: str | None = None,
        every: str = "100ms",
        ring_bytes: int | None = None,
        *,
        books: bool = False,
    ) -> None:
        self._every_ns = parse_duration(every)
        duration_ns = None if duration is None else parse_duration(duration)
        self._tracing, self._stopped = Tracing(task_filter or Filter(), ring_bytes, books=books), Latch()
        self._end_ns = None if duration_ns is None else self._tracing.start_ns + duration_ns
        self.metadata = self._tracing.facts()

    def __iter__(self) -> Iterator[EventBatch]:
        yield from in_order(self._batches())
        self.close()

    def _batches(self) -> Iterator[EventBatch]:
        is_over = False
        while not is_over:
            now = time.monotonic_ns()
            due_ns = now + self._every_ns if self._end_ns is None else min(now + self._every_ns, self._end_ns)
            stopped = self._stopped.wait((due_ns - now) / 1e9)
            if stopped or (self._end_ns is not None and time.monotonic_ns() >= self._end_ns):
                self._tracing.end()
            pieces = self._tracing.take()
            is_over = self._tracing.ended and pieces.is_last
            yield self._decoded(pieces, [] if self._tracing.ended and not is_over else self._tracing.gaps())

    def _decoded(self, pieces: Pieces, gaps: list[Gap]) -> EventBatch:
        decoded = [self._tracing.decoder.decode(cpu, events) for cpu, events in pieces.events.items()]
        books = [self._tracing.decoder.books.decode(cpu, own) for cpu, own in pieces.books.items()]
        gaps = [gap for _, own in decoded + books for gap in own] + gaps
        return EventBatch(
            _table("events", [events.batch(stored=False) for events, _ in decoded]),
            _table("tasks", [task_batch(pieces.lives)] if len(pieces.lives) else []),
            _table("gaps", [gap_batch(gaps)] if gaps else []),
            _table("books", [batch for batch, _ in books]),
        )

    def stop(self) -> None:
        """End the iteration with what has happened so far. Safe in a signal handler and from any thread."""
        self._stopped.set()

    def close(self) -> None:
        """End tracing: detach and unload the programs. Batches already taken stay valid; further calls do nothing."""
        self._tracing.close()


def _table(table: str, batches: list[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(batches or [empty(table)])
