"""Batches of the stream ``windows`` in; events out. What a server sends is not trusted until it has been checked here.

A large window comes in parts, and is put together again. Memory is bounded by the limits of
:mod:`schedtel.windows.validation` for one window. A larger one is left out and counts as missed, and the rest come.
"""

from __future__ import annotations

import logging

import pyarrow as pa

from schedtel.errors import StreamError
from schedtel.flight.wire import KINDS, PART, WINDOW, Event
from schedtel.windows.columns import concatenate
from schedtel.windows.schema import ARROW
from schedtel.windows.validation import MOST_BYTES, MOST_ROWS, check_window
from schedtel.windows.window import Window

_log = logging.getLogger(__name__)
#: Numbers of windows are lower: at a hundred windows a second, this is 350 years.
_MOST_WINDOWS = 1 << 40
#: Parts have about a megabyte each. More and smaller ones would cost more memory than their bytes.
_MOST_PARTS = 1024


class UntrustedError(StreamError):
    """A server sent what no schedtel sends. Trying again does not help."""


class Assembly:
    """The windows of one stream, as their parts come."""

    def __init__(self) -> None:
        self._last = self._left_out = 0
        self._begin()

    def _begin(self) -> None:
        self._too_large = False
        self._parts: dict[str, list[pa.RecordBatch]] = {name: [] for name in ARROW}
        self._sequence = self._taken = self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> list[Event]:
        """The events that a batch completes. Raises :class:`UntrustedError` for a batch that is no schedtel's."""
        try:
            self._count(batch)
            batch.validate(full=True)
            heads = zip(*(batch.column(i).to_pylist() for i in range(3)), strict=True)
            events = [self._event(batch, row, *head) for row, head in enumerate(heads)]
        except (pa.ArrowException, ValueError, TypeError, LookupError, OverflowError) as error:
            cause = "inconsistent buffers" if isinstance(error, pa.ArrowException) else error
            raise UntrustedError(f"what came is no window: {cause} (is it schedtel that serves there?)") from error
        return [event for event in events if event is not None]

    def _count(self, batch: pa.RecordBatch) -> None:
        """Before anything else is done with them: rows by their number in the tables, bytes by the memory held."""
        rows = batch.num_rows + sum(len(batch.column(name).values) for name in ARROW)
        held = batch.get_total_buffer_size()
        if rows > MOST_ROWS or held > MOST_BYTES:
            raise ValueError(f"a batch has {rows} rows of {held} bytes (at most {MOST_ROWS} of {MOST_BYTES} are taken)")
        self._rows, self._bytes = self._rows + rows, self._bytes + held
        if self._rows > MOST_ROWS or self._bytes > MOST_BYTES:
            self._too_large = True
            for parts in self._parts.values():
                parts.clear()

    def _event(self, batch: pa.RecordBatch, row: int, kind: str, sequence: int, missed: int) -> Event | None:
        if kind not in KINDS or None in (sequence, missed):
            raise ValueError(f"an event {str(kind)[:20]!r}")
        if not (0 <= sequence < _MOST_WINDOWS and 0 <= missed < _MOST_WINDOWS):
            raise ValueError(f"window {sequence} after {missed} missed ones")
        if kind not in (PART, WINDOW):
            self._begin()
            return Event(kind, sequence, missed)
        self._take(batch, row, sequence)
        return self._complete(sequence, missed) if kind == WINDOW else None

    def _take(self, batch: pa.RecordBatch, row: int, sequence: int) -> None:
        if sequence <= self._last or self._sequence not in (0, sequence):
            raise ValueError(f"window {sequence} after window {self._sequence or self._last}")
        self._sequence, self._taken = sequence, self._taken + 1
        if self._taken > _MOST_PARTS:
            raise ValueError(f"it has more than {_MOST_PARTS} parts")
        for name, schema in ARROW.items():
            rows = batch.column(name)[row].values
            if rows is None:
                raise ValueError(f"the table {name} is null")
            if len(rows) and not self._too_large:
                self._parts[name].append(pa.RecordBatch.from_arrays(rows.flatten(), schema=schema))

    def _complete(self, sequence: int, missed: int) -> Event | None:
        if self._too_large:
            self._leave_out(sequence, missed)
            return None
        tables = {name: _joined(parts, ARROW[name]) for name, parts in self._parts.items()}
        self._last = sequence
        self._begin()
        window = Window(**tables)
        check_window(window)
        missed, self._left_out = missed + self._left_out, 0
        return Event(WINDOW, sequence, missed, window)

    def _leave_out(self, sequence: int, missed: int) -> None:
        """A window of more rows or bytes than are taken: the next one says that it is missing."""
        _log.warning("window %d is too large, and left out: %d rows of %d bytes", sequence, self._rows, self._bytes)
        self._last, self._left_out = sequence, self._left_out + missed + 1
        self._begin()


def _joined(parts: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    return parts[0] if len(parts) == 1 else concatenate(parts, schema)
