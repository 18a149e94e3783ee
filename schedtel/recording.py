"""Recordings: windows in, a directory of Parquet files out, and the same windows back.

    DIR/summary/part-000001.parquet
    DIR/tasks/part-000001.parquet
    DIR/cpus/part-000001.parquet

Where there are rows of them, ``preemptions`` and ``throttled`` are there as well. Part n of all tables holds the same
windows. The newest part grows: after every window it is written anew beside itself and renamed over itself, so that a
reader, or a killed writer, always leaves complete files and at most the window in progress is lost. ``summary`` is
written last: a window counts once its summary is there. A part is closed when it is large or old enough, or takes so
long to write that windows as short as these would be held up, which bounds what is rewritten.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from schedtel import tables
from schedtel.durations import parse_duration
from schedtel.errors import RecordingError, UsageError
from schedtel.schema import ARROW, DEFINITIONS_VERSION, LOSSES, SPARSE
from schedtel.source import Source
from schedtel.storage import Place, order_of, place_of
from schedtel.window import Window

_TABLES = (*SPARSE, "tasks", "cpus", "summary")
#: A part is closed when writing it takes more than a tenth of the time that its newest windows cover. Not before it
#: has so many: their writing takes about twice as long as one window's, and files are not to be without number.
_MOST_TIME, _LEAST_WINDOWS = 10, 50


def rotation_ns(rotate_bytes: int, rotate_every: str) -> int:
    """How long a part may span, in nanoseconds. Raises :class:`UsageError` for a size or a time that cannot be."""
    if rotate_bytes < 1:
        raise UsageError(f"cannot rotate at {rotate_bytes} bytes: it must be at least 1")
    return parse_duration(rotate_every)


class Recorder:
    """Writes windows to a recording; every :meth:`write` leaves a complete dataset behind, so nothing needs closing.

    As a context manager, it takes away the directory that it made if no window came.

    :param directory: created if missing; must be empty. Only its owner can read the files: they name users' commands.
    :param window: the nominal window length, for the metadata.
    :param filter_text: the filter, for the metadata.
    :param rotate_bytes: a part is closed once its tasks file is this large.
    :param rotate_every: a part is closed once it spans this time.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        window: str = "",
        filter_text: str = "",
        rotate_bytes: int = 1 << 20,
        rotate_every: str = "5m",
    ) -> None:
        self._rotation = (rotate_bytes, rotation_ns(rotate_bytes, rotate_every))
        self.directory = Path(directory)
        self._place = place_of(directory)
        self.window, self.filter_text = window, filter_text
        #: What else is to stand in the metadata, and may change from window to window.
        self.facts: Mapping[str, str] = {}
        #: By host and run; those of several only in a dataset.
        self._open: dict[tuple[str, ...], OpenPart] = {}
        self._place.prepare()
        self._begin()

    def _begin(self) -> None:
        if not self._place.is_empty():
            raise RecordingError(f"cannot record to {self._place}: it is not empty (choose another directory)")

    @property
    def where(self) -> str:
        return str(self._place)

    @property
    def windows_written(self) -> int:
        return sum(part.windows_written for part in self._open.values())

    @property
    def bytes_written(self) -> int:
        return sum(part.bytes_written for part in self._open.values())

    def write(self, window: Window) -> None:
        """Add one window. Raises :class:`RecordingError` when it cannot be written; what was there stays readable."""
        self.add(window)
        self.flush()

    def add(self, window: Window) -> None:
        """Add one window that the next :meth:`flush` will write, for who has many at once."""
        self._open.setdefault((), OpenPart(self._place, *self._rotation)).add(window)

    def flush(self) -> None:
        """Write the windows added since; raises as :meth:`write` does."""
        for key, part in self._open.items():
            part.facts = self._facts(key)
            part.flush()

    def _facts(self, _key: tuple[str, ...]) -> dict[str, str]:
        return {"window": self.window, "filter": self.filter_text, **self.facts}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._place.withdraw()


class OpenPart:
    """The part of a run that grows, in each table a file below the table's ``folder``; and those that were closed.

    :param stem: what the files' names begin with.
    """

    def __init__(self, place: Place, rotate_bytes: int, rotate_ns: int, stem: str = "part-", folder: str = "") -> None:
        self._place, self._stem, self._folder = place, stem, folder
        self._rotate_bytes, self._rotate_ns = rotate_bytes, rotate_ns
        self._number = 1
        self._windows: list[Window] = []
        self._added = 0
        self._closed_bytes = 0
        self.windows_written = self.bytes_written = 0
        #: What the metadata say beside what the windows do.
        self.facts: Mapping[str, str] = {}

    def add(self, window: Window) -> None:
        """Add a window that the next :meth:`flush` will write."""
        self._windows.append(window)
        self._added += 1

    def move(self, folder: str) -> None:
        """Go on in another folder, with a part of its own."""
        if folder != self._folder:
            self.close()
        self._folder = folder

    def close(self) -> None:
        """Write the windows added since, and go on with another part."""
        self.flush()
        if self._windows:
            self._next()

    def flush(self) -> None:
        """Write the windows added since."""
        if not self._added:
            return
        began_ns = time.monotonic_ns()
        sizes = {table: self._write(table) for table in _TABLES}
        took_ns = time.monotonic_ns() - began_ns
        self.windows_written += self._added
        self.bytes_written = self._closed_bytes + sum(sizes.values())
        first, added, last = self._windows[0], self._windows[-self._added], self._windows[-1]
        self._added = 0
        slow = took_ns * _MOST_TIME > last.end_ns - added.start_ns and len(self._windows) >= _LEAST_WINDOWS
        if slow or sizes["tasks"] >= self._rotate_bytes or last.end_ns - first.start_ns >= self._rotate_ns:
            self._next()

    def _next(self) -> None:
        self._number += 1
        self._windows.clear()
        self._closed_bytes = self.bytes_written

    def _write(self, table: str) -> int:
        """Write the open part of one table anew; returns its size in bytes."""
        batch = tables.concatenate((getattr(w, table) for w in self._windows), ARROW[table])
        if table in SPARSE and not batch.num_rows:
            return 0
        name = f"{table}/{self._folder}{self._stem}{self._number:06d}.parquet"
        return self._place.write(name, batch.replace_schema_metadata(self._metadata()))

    def _metadata(self) -> dict[str, str]:
        """What a reader must know to trust the file: kernel, clock, window, filter, losses, definitions."""
        first = self._windows[0].summary
        lost = {name: sum(w.losses[name] for w in self._windows) for name in LOSSES}
        said = {
            "definitions_version": str(DEFINITIONS_VERSION),
            "clock": "CLOCK_MONOTONIC",
            "host": first["host"][0].as_py() or "",
            "kernel": first["kernel"][0].as_py() or "",
            **self.facts,
            **{name: str(count) for name, count in lost.items()},
        }
        return {f"schedtel.{name}": value for name, value in said.items()}


class Recording(Source):
    """A recording as a source: the windows that were written, in order, with the same numbers.

    Windows whose summary is missing (the writer was killed between two files) are passed over.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self._place = place_of(directory)
        if not self._place.exists():
            raise RecordingError(f"cannot read {self._place}: no such directory (name one that `schedtel record` made)")
        self._parts = self._place.parts("summary")
        if not self._parts:
            raise RecordingError(f"cannot read {self._place}: no window in it (is it a recording?)")
        self._sparse = {table: set(self._place.parts(table)) for table in SPARSE}
        self.metadata = self._read_metadata()

    @property
    def runs(self) -> set[tuple[str, ...]]:
        """The runs whose windows it has, each as its host's folder and its own; of a plain recording one without any.

        ``metadata`` are those of the newest, and runs may differ in their window and filter.
        """
        return {tuple(order_of(part)[:-1]) for part in self._parts}

    def has_rows(self, table: str) -> bool:
        """Whether there is any row of ``preemptions`` or ``throttled``, which have no files without."""
        return bool(self._sparse[table])

    def need_identity(self, purpose: str) -> None:
        """Raise :class:`UsageError` where windows are no good for what tells them apart by host and wall clock.

        A trace that was imported may know neither. ``purpose``: what they are wanted for, ``serve``.
        """
        known = self.metadata.get("host") and self.metadata.get("imported_wall_clock")
        if imported_from(self.metadata) and not known:
            raise UsageError(
                f"cannot {purpose} {self._place}: it was imported, and knows no host or no wall clock "
                "(import it with --host and --wall-start)"
            )

    def _read_metadata(self) -> dict[str, str]:
        """The footer metadata of the newest part, without the prefix."""
        raw = self._read("summary", self._parts[-1]).schema.metadata or {}
        version = raw.get(b"schedtel.definitions_version", b"")
        if version != str(DEFINITIONS_VERSION).encode():
            raise RecordingError(
                f"cannot read {self._place}: its definitions have version {version.decode() or 'none'}, "
                f"this schedtel has {DEFINITIONS_VERSION} (use the schedtel that wrote it)"
            )
        ours = ((k.decode(), v.decode()) for k, v in raw.items())
        return {name.removeprefix("schedtel."): value for name, value in ours if name.startswith("schedtel.")}

    def _read(self, table: str, part: str) -> pa.Table:
        try:
            with self._place.open(f"{table}/{part}") as file:  # and not read_table(), which imports pandas
                return file.read()
        except (OSError, pa.ArrowException) as error:
            cause = str(error).splitlines()[0].rstrip(".")
            path = self._place.path(f"{table}/{part}")
            raise RecordingError(f"cannot read {path}: {cause} (the file is damaged or not a recording's)") from error

    def _batches(self, table: str, part: str) -> dict[int, pa.RecordBatch]:
        """One part of a table, by window."""
        if table in SPARSE and part not in self._sparse[table]:
            return {}
        read = self._read(table, part)
        if not read.schema.equals(ARROW[table]):
            raise RecordingError(
                f"cannot read {self._place.path(f'{table}/{part}')}: its columns are not those of {table} "
                "(not a recording's file)"
            )
        batch = tables.concatenate(read.to_batches(), ARROW[table])
        ids = tables.column(batch, "window_id")
        starts = np.flatnonzero(np.diff(ids, prepend=-1))
        ends = np.append(starts[1:], len(ids))
        return {int(ids[a]): batch.slice(a, b - a) for a, b in zip(starts, ends, strict=True)}

    def __iter__(self) -> Iterator[Window]:
        for part in self._parts:
            by_table = {table: self._batches(table, part) for table in _TABLES}
            for window_id, summary in by_table["summary"].items():
                found = {t: by_table[t].get(window_id, _EMPTY[t]) for t in _TABLES if t != "summary"}
                yield Window(summary, **found)


#: What stands for a window's rows in a table that has none of it.
_EMPTY = {table: tables.empty(table) for table in ARROW}


def imported_from(facts: Mapping[str, str]) -> str:
    """Of a recording that was imported, in words whose trace it was; else ``""``. ``facts`` are its metadata."""
    form, trace = facts.get("imported_from"), facts.get("imported_file")
    return f"{form}, {trace}" if form else ""


def read(directory: str | os.PathLike[str]) -> Recording:
    """Open a recording made by ``schedtel record`` or :class:`Recorder`, or a fleet's dataset: a directory or a URI.

    Raises :class:`RecordingError` when it is missing, damaged, or of another version of the definitions.
    """
    return Recording(directory)
