"""Windows in; a directory of Parquet files out, complete after every window."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from schedtel.durations import parse_duration
from schedtel.errors import RecordingError, UsageError
from schedtel.recordings.parts import ROWS, TABLES
from schedtel.recordings.storage import Place, place_of
from schedtel.windows import tables
from schedtel.windows.schema import ARROW, DEFINITIONS_VERSION, LOSSES, SPARSE
from schedtel.windows.window import Window

#: A part is closed when writing it takes more than a tenth of the time that its newest windows cover, but not before it
#: has 50 windows: writing so many takes only about twice as long as writing one, and fewer would make too many files.
_MOST_TIME, _LEAST_WINDOWS = 10, 50


def rotation_ns(rotate_bytes: int, rotate_every: str) -> int:
    """The time that a part may span, in nanoseconds.

    Raises :class:`UsageError` for a size below 1 byte, or a time that is no duration.
    """
    if rotate_bytes < 1:
        raise UsageError(f"cannot rotate at {rotate_bytes} bytes: it must be at least 1")
    return parse_duration(rotate_every)


class Recorder:
    """Writes windows to a recording. Every :meth:`write` leaves it complete, so nothing needs closing.

    As a context manager, it removes the directory that it made if it has written no window.

    :param directory: created if missing; must be empty. Only its owner can read the files: they name users' commands.
    :param window: the nominal window length, for the metadata.
    :param filter_text: the filter, for the metadata.
    :param rotate_bytes: a part is closed once its tasks file is this large.
    :param rotate_every: a part is closed once it spans this time, a duration such as ``5m``.

    Raises :class:`RecordingError` if the directory is not empty or cannot be written, and :class:`UsageError` for a
    rotation that is not possible.
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
        #: Further entries of the metadata; they may change from window to window.
        self.facts: Mapping[str, str] = {}
        #: The open parts by host and run; only a dataset has more than one, a recording has the key ``()``.
        self._open: dict[tuple[str, ...], OpenPart] = {}
        self._place.prepare()
        self._begin()

    def _begin(self) -> None:
        if not self._place.is_empty():
            raise RecordingError(f"cannot record to {self._place}: it is not empty (choose another directory)")

    @property
    def where(self) -> str:
        """The directory or URI that is written to."""
        return str(self._place)

    @property
    def windows_written(self) -> int:
        """Number of windows that are on disk."""
        return sum(part.windows_written for part in self._open.values())

    @property
    def bytes_written(self) -> int:
        """Size of all files of this recorder, in bytes."""
        return sum(part.bytes_written for part in self._open.values())

    def write(self, window: Window) -> None:
        """Add one window.

        Raises :class:`RecordingError` if it cannot be written; the windows written before stay readable.
        """
        self.add(window)
        self.flush()

    def add(self, window: Window) -> None:
        """Add one window that the next :meth:`flush` writes, for a caller that adds many at once."""
        self._open.setdefault((), OpenPart(self._place, *self._rotation)).add(window)

    def flush(self) -> None:
        """Write the windows added since the last flush; raises the errors of :meth:`write`."""
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
    """The growing part of a run: in each table one file. It counts the run's closed parts too.

    :param stem: the beginning of the files' names.
    :param folder: where the files are, below the table's own folder.
    """

    def __init__(self, place: Place, rotate_bytes: int, rotate_ns: int, stem: str = "part-", folder: str = "") -> None:
        self._place, self._stem, self._folder = place, stem, folder
        self._rotate_bytes, self._rotate_ns = rotate_bytes, rotate_ns
        self._number = 1
        self._windows: list[Window] = []
        self._added = 0
        #: The tables that have a file in the folder: from then on, a folder that is missing was removed.
        self._begun: set[str] = set()
        self._closed_bytes = 0
        self.windows_written = self.bytes_written = 0
        #: Entries of the metadata that the windows themselves do not tell.
        self.facts: Mapping[str, str] = {}

    def add(self, window: Window) -> None:
        """Add a window that the next :meth:`flush` writes."""
        self._windows.append(window)
        self._added += 1

    def move(self, folder: str) -> None:
        """Continue in ``folder``; if it is another one, with the next part."""
        if folder != self._folder:
            self.close()
            self._begun.clear()
        self._folder = folder

    def close(self) -> None:
        """Write the windows added since the last flush, and continue with the next part."""
        self.flush()
        if self._windows:
            self._next()

    def flush(self) -> None:
        """Write the windows added since the last flush; close the part if it is large, old or slow enough."""
        if not self._added:
            return
        began_ns, synced_ns = time.monotonic_ns(), self._place.sync_ns
        sizes = {table: self._write(table) for table in TABLES}
        # The time of the disk does not depend on the size of a part, so a new part would not save any of it.
        took_ns = time.monotonic_ns() - began_ns - (self._place.sync_ns - synced_ns)
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
        # These folders may stay without a new file for so long that a cleaner of old files removes them.
        self._begun.difference_update(SPARSE)
        self._closed_bytes = self.bytes_written

    def _write(self, table: str) -> int:
        """Write the open part of one table anew; returns its size in bytes."""
        batch = tables.concatenate((getattr(w, table) for w in self._windows), ARROW[table])
        if table in SPARSE and not batch.num_rows:
            return 0
        name = f"{table}/{self._folder}{self._stem}{self._number:06d}.parquet"
        size = self._place.write(name, batch.replace_schema_metadata(self._metadata()), table not in self._begun)
        self._begun.add(table)
        return size

    def _metadata(self) -> dict[str, str]:
        """What a reader must know to trust the file: kernel, clock, window, filter, losses, definitions, rows."""
        first = self._windows[0].summary
        lost = {name: sum(w.losses[name] for w in self._windows) for name in LOSSES}
        entries = {
            "definitions_version": str(DEFINITIONS_VERSION),
            "clock": "CLOCK_MONOTONIC",
            "host": first["host"][0].as_py() or "",
            "kernel": first["kernel"][0].as_py() or "",
            **self.facts,
            **{name: str(count) for name, count in lost.items()},
        }
        rows = {table: sum(getattr(w, table).num_rows for w in self._windows) for table in TABLES}
        return {f"schedtel.{name}": value for name, value in entries.items()} | {
            f"{ROWS}{table}": str(count) for table, count in rows.items()
        }
