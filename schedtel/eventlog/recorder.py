"""Pieces of events in; Parquet files of the tables ``events``, ``tasks``, ``gaps`` and ``books`` out, part by part.

    DIR/tasks/part-000001.parquet
    DIR/gaps/part-000001.parquet
    DIR/books/part-000001.parquet
    DIR/events/part-000001.parquet

A part is made in memory and written at once, to a file that gets its name when it is whole. A recorder that is killed
loses the part in progress, so a part spans five seconds at most, or 8 MB. ``events`` is written last: a part counts
once its events are there. The other tables have files only for parts in which they have rows.

Within a part, a row group has events of one CPU. Their times rise, so their differences are small; and of most switches
the task that leaves is the one that came in before, so it is left out. On load it is put back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

from schedtel.durations import format_duration
from schedtel.errors import RecordingError
from schedtel.eventlog.decode import Decoded, Gap, gap_batch
from schedtel.eventlog.lives import task_batch
from schedtel.eventlog.schema import ARROW
from schedtel.eventlog.tracing import Decoder, Pieces, Tracing
from schedtel.latch import Latch
from schedtel.recordings.storage import place_of
from schedtel.records.event_layout import SWITCH

if TYPE_CHECKING:
    import pyarrow.parquet as pq

#: Events of a row group, and rows of one of books, so few that what is made of them is a few MB. And when a part is
#: closed.
_GROUP_EVENTS, _GROUP_BOOKS = 1 << 16, 1 << 15
_PART_NS, _PART_BYTES = 5_000_000_000, 8 << 20
#: How often copied events are taken over.
POLL_NS = 100_000_000
_OPTIONS = {"compression": "zstd", "compression_level": 1, "write_page_checksum": True}
#: Where values rise; all other columns have a dictionary.
_DELTA = "DELTA_BINARY_PACKED"
#: The columns of books in which few values come twice.
_CHANGING = ("time_ns", "vruntime_ns", "deadline_ns", "vlag_ns", "vprot_ns")


class EventRecorder:
    """Writes events to a recording. As a context manager, it removes the directory that it made if nothing is in it.

    :param where: a directory, made if missing, which must be empty; or a URI of pyarrow.fs.
    :param part_ns: the time that a part spans at most, in nanoseconds.

    Raises :class:`RecordingError` if the place is not empty or cannot be written, and :class:`UsageError` for a place
    that is none.
    """

    def __init__(self, where: str | os.PathLike[str], part_ns: int = _PART_NS) -> None:
        self._place, self._part_ns = place_of(where), part_ns
        self._place.prepare()
        if not self._place.is_empty():
            raise RecordingError(f"cannot record to {self._place}: it is not empty (choose another directory)")
        self.parts = self.events_written = self.events_lost = self.bytes_written = 0
        self._begun: set[str] = set()
        self.begin({})

    @property
    def where(self) -> str:
        """The directory or URI that is written to."""
        return str(self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._place.withdraw()

    def begin(self, facts: Mapping[str, str]) -> None:
        """Begin the first part.

        :param facts: for the metadata of each file.
        """
        self._metadata = {f"schedtel.{name}": value for name, value in facts.items()}
        self._part = _Part(self._metadata)

    def add(self, pieces: Pieces, decoder: Decoder) -> None:
        """Add events and lives; :attr:`is_due` tells when a part is to be written."""
        self._part.add(pieces, decoder)

    @property
    def is_due(self) -> bool:
        """Whether the part spans its time, or is large enough."""
        return self._part.size >= _PART_BYTES or time.monotonic_ns() - self._part.begin_ns >= self._part_ns

    def decode(self, decoder: Decoder) -> None:
        """Decode all that was added, so that the decoder knows each CPU's last event."""
        self._part.decode(decoder)

    def write(self, decoder: Decoder, gaps: list[Gap]) -> None:
        """Write the part, and begin the next one.

        :param gaps: losses that no event tells of.

        Raises :class:`RecordingError` if it cannot be written; the parts written before stay readable.
        """
        part, self._part = self._part, _Part(self._metadata)
        self.parts += 1
        for table, content in part.contents(decoder, gaps).items():
            name = f"{table}/part-{self.parts:06d}.parquet"
            self.bytes_written += self._place.write(name, content, table not in self._begun)
            if table == "events":  # the others may stay without a new file until a cleaner removes their folder
                self._begun.add(table)
        self.events_written += part.events
        self.events_lost += part.lost


def record(tracing: Tracing, recorder: EventRecorder, stop: Latch, duration_ns: int | None = None) -> None:
    """Write the events of this machine until ``stop`` is set, or for some time. The last part is written at the end.

    Raises the errors of :meth:`EventRecorder.write`.
    """
    recorder.begin(tracing.facts())
    end_ns = None if duration_ns is None else time.monotonic_ns() + duration_ns
    is_over = False
    while not is_over:
        rest_ns = POLL_NS if end_ns is None else min(POLL_NS, end_ns - time.monotonic_ns())
        if stop.wait(rest_ns / 1e9) or (end_ns is not None and time.monotonic_ns() >= end_ns):
            tracing.end()
        pieces = tracing.take()
        is_over = tracing.ended and pieces.is_last
        recorder.add(pieces, tracing.decoder)
        if recorder.is_due or is_over:
            recorder.decode(tracing.decoder)
            recorder.write(tracing.decoder, tracing.gaps() if not tracing.ended or is_over else [])


class _Part:
    """The rows of a part, in memory."""

    def __init__(self, metadata: dict[str, str]) -> None:
        self.begin_ns, self._metadata = time.monotonic_ns(), metadata
        self.events = self.lost = 0
        self._raw: dict[int, list[np.ndarray]] = {}
        self._raw_books: dict[int, list[np.ndarray]] = {}
        self._lives: list[np.ndarray] = []
        self._gaps: list[Gap] = []
        self._file, self._books = _EventsFile(metadata), _BooksFile(metadata)

    @property
    def size(self) -> int:
        return self._file.size + self._books.size

    def add(self, pieces: Pieces, decoder: Decoder) -> None:
        for cpu, events in pieces.events.items():
            self._raw.setdefault(cpu, []).append(events)
            if sum(map(len, self._raw[cpu])) >= _GROUP_EVENTS:
                self._decode(cpu, decoder)
        if len(pieces.lives):
            self._lives.append(pieces.lives)
        self._gaps += pieces.gaps
        for cpu, books in pieces.books.items():
            self._raw_books.setdefault(cpu, []).append(books)
            if sum(map(len, self._raw_books[cpu])) >= _GROUP_BOOKS:
                self._decode_books(cpu, decoder)

    def decode(self, decoder: Decoder) -> None:
        for cpu in list(self._raw):
            self._decode(cpu, decoder)
        for cpu in list(self._raw_books):
            self._decode_books(cpu, decoder)

    def _decode_books(self, cpu: int, decoder: Decoder) -> None:
        rows, gaps = decoder.books.decode(cpu, np.concatenate(self._raw_books.pop(cpu)))
        self._gaps += gaps
        self._books.add(rows)

    def _decode(self, cpu: int, decoder: Decoder) -> None:
        decoded, gaps = decoder.decode(cpu, np.concatenate(self._raw.pop(cpu)))
        self._gaps += gaps
        self.events += len(decoded)
        self._file.add(decoded)

    def contents(self, decoder: Decoder, gaps: list[Gap]) -> dict[str, pa.Buffer]:
        """Table → the bytes of its file, in the order in which they are to be written."""
        self.decode(decoder)
        gaps = self._gaps + gaps
        self.lost = sum(gap.events for gap in gaps)
        found = {}
        if self._lives:
            lives = task_batch(np.concatenate(self._lives))
            found["tasks"] = _whole(lives, self._metadata, ("time_ns", "start_boottime_ns"))
        if gaps:
            found["gaps"] = _whole(gap_batch(gaps), self._metadata, ("from_ns", "to_ns"))
        if self._books.size:
            found["books"] = self._books.end()
        return {**found, "events": self._file.end()}


class _EventsFile:
    """The growing bytes of a part's file of events: a row group for each piece."""

    def __init__(self, metadata: dict[str, str]) -> None:
        self._sink, self._metadata = pa.BufferOutputStream(), metadata
        self._writer = writer(self._sink, ARROW["events"].with_metadata(metadata), ("time_ns",))
        #: The CPUs whose first switch has been written, which tells both tasks.
        self._anchored: set[int] = set()

    @property
    def size(self) -> int:
        return int(self._sink.tell())

    def add(self, decoded: Decoded) -> None:
        if len(decoded):
            rows = self._anchor(decoded).batch(stored=True)
            self._writer.write_batch(rows.replace_schema_metadata(self._metadata))

    def _anchor(self, decoded: Decoded) -> Decoded:
        first = np.flatnonzero(decoded.kind == SWITCH)[:1]
        if decoded.cpu in self._anchored or not len(first):
            return decoded
        self._anchored.add(decoded.cpu)
        implied = decoded.implied.copy()
        implied[first] = False
        return replace(decoded, implied=implied)

    def end(self) -> pa.Buffer:
        self._writer.close()
        return self._sink.getvalue()


class _BooksFile:
    """The growing bytes of a part's file of books: a row group for each piece. There is none without books."""

    def __init__(self, metadata: dict[str, str]) -> None:
        self._metadata = metadata
        self._sink: pa.BufferOutputStream | None = None

    @property
    def size(self) -> int:
        return int(self._sink.tell()) if self._sink else 0

    def add(self, rows: pa.RecordBatch) -> None:
        if not self._sink:
            self._sink = pa.BufferOutputStream()
            self._writer = writer(self._sink, ARROW["books"].with_metadata(self._metadata), _CHANGING)
        self._writer.write_batch(rows.replace_schema_metadata(self._metadata))

    def end(self) -> pa.Buffer:
        assert self._sink
        self._writer.close()
        return self._sink.getvalue()


def writer(sink: pa.BufferOutputStream, schema: pa.Schema, rising: tuple[str, ...]) -> pq.ParquetWriter:
    """A writer that encodes the columns whose values rise by their differences, and all others by a dictionary.

    Readers skip row groups by times and CPUs, so only these have a smallest and a largest value: to find those of all
    columns took a quarter of the time of writing.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  (9 MB that live events do without)

    others = [name for name in schema.names if name not in rising]
    encodings = dict.fromkeys(rising, _DELTA)
    bounded = [name for name in schema.names if name in (*rising, "cpu")]
    return pq.ParquetWriter(
        sink, schema, use_dictionary=others, column_encoding=encodings, write_statistics=bounded, **_OPTIONS
    )


def _whole(batch: pa.RecordBatch, metadata: dict[str, str], rising: tuple[str, ...]) -> pa.Buffer:
    sink, batch = pa.BufferOutputStream(), batch.replace_schema_metadata(metadata)
    with writer(sink, batch.schema, rising) as file:
        file.write_batch(batch)
    return sink.getvalue()


def describe(events: int, lost: int, size: int, span_ns: int, where: str | None = None) -> str:
    """What was written, in words: ``1523 events over 30.0 s, 0.01 MB, nothing lost``; with its place, if given."""
    told = f"{lost} lost (see gaps)" if lost else "nothing lost"
    place = "," if where is None else f" to {where}:"
    return f"{events} events over {format_duration(span_ns)}{place} {size / 1e6:.2f} MB, {told}"
