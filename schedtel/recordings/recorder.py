"""Windows in; a directory of Parquet files out, complete after every window."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from schedtel.durations import parse_duration
from schedtel.errors import RecordingError, UsageError
from schedtel.recordings.recording import TABLES
from schedtel.recordings.storage import Place, place_of
from schedtel.windows import tables
from schedtel.windows.schema import ARROW, DEFINITIONS_VERSION, LOSSES, SPARSE
from schedtel.windows.window import Window

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
        sizes = {table: self._write(table) for table in TABLES}
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
