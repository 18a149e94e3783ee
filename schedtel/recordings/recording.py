"""A directory of Parquet files in; the windows that were recorded there out.

    DIR/summary/part-000001.parquet
    DIR/tasks/part-000001.parquet
    DIR/cpus/part-000001.parquet

The tables ``preemptions`` and ``throttled`` have files only for parts in which they have rows. Part n of every table
holds the same windows. The newest part grows: after every window the recorder writes it again to another file, and
renames that file over it. So a reader sees complete files only, and a recorder that is killed loses at most the window
in progress. ``summary`` is written last: a window counts once its summary is there.

A part is closed when it is large or old enough, or when writing it takes so long that windows as short as these would
be held up. This bounds how much is written again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from schedtel.errors import RecordingError, UsageError
from schedtel.recordings.storage import order_of, place_of
from schedtel.windows import tables
from schedtel.windows.schema import ADDED_LATER, ARROW, DEFINITIONS_VERSION, SPARSE
from schedtel.windows.source import Source
from schedtel.windows.window import Window

TABLES = (*SPARSE, "tasks", "cpus", "summary")


class Recording(Source):
    """A recording as a source: the windows that were written, in order, with the same numbers.

    Windows whose summary is missing (the recorder was killed between two files) are skipped. Use :func:`read` to open
    one.
    """

    is_repeatable = True

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
        """The runs that have windows here, each as the names of its host's folder and its own folder.

        A plain recording has one run, the empty tuple. ``metadata`` is that of the newest run; runs may differ in
        their window and filter.
        """
        return {tuple(order_of(part)[:-1]) for part in self._parts}

    def has_rows(self, table: str) -> bool:
        """Whether ``table``, which is ``preemptions`` or ``throttled``, has any row: without rows it has no files."""
        return bool(self._sparse[table])

    def need_identity(self, purpose: str) -> None:
        """Raise :class:`UsageError` if the windows lack a host or a wall clock, as those of an imported trace may.

        :param purpose: the verb of the message, such as ``serve``: what needs both.
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
            with self._place.open(f"{table}/{part}") as file:  # read_table() would import pandas
                return file.read()
        except (OSError, pa.ArrowException) as error:
            cause = str(error).splitlines()[0].rstrip(".")
            path = self._place.path(f"{table}/{part}")
            raise RecordingError(f"cannot read {path}: {cause} (the file is damaged or not a recording's)") from error

    def _batches(self, table: str, part: str) -> dict[int, pa.RecordBatch]:
        """One part of a table, by window."""
        if table in SPARSE and part not in self._sparse[table]:
            return {}
        stored = _with_columns_added_later(self._read(table, part), table)
        if not stored.schema.equals(ARROW[table]):
            raise RecordingError(
                f"cannot read {self._place.path(f'{table}/{part}')}: its columns are not those of {table} "
                "(not a recording's file)"
            )
        batch = tables.concatenate(stored.to_batches(), ARROW[table])
        ids = tables.column(batch, "window_id")
        starts = np.flatnonzero(np.diff(ids, prepend=-1))
        ends = np.append(starts[1:], len(ids))
        return {int(ids[a]): batch.slice(a, b - a) for a, b in zip(starts, ends, strict=True)}

    def __iter__(self) -> Iterator[Window]:
        for part in self._parts:
            by_table = {table: self._batches(table, part) for table in TABLES}
            for window_id, summary in by_table["summary"].items():
                others = {t: by_table[t].get(window_id, _EMPTY[t]) for t in TABLES if t != "summary"}
                yield Window(summary, **others)


def _with_columns_added_later(stored: pa.Table, table: str) -> pa.Table:
    """The table with the columns that an earlier schedtel did not write: null in every row."""
    for name in ADDED_LATER.get(table, ()):
        if name not in stored.schema.names:
            place, field = ARROW[table].get_field_index(name), ARROW[table].field(name)
            stored = stored.add_column(place, field, pa.nulls(stored.num_rows, field.type))
    return stored


#: The batch of a window that has no rows in a table.
_EMPTY = {table: tables.empty(table) for table in ARROW}


def imported_from(facts: Mapping[str, str]) -> str:
    """The form and the file of the trace that a recording was imported from; ``""`` if it was not imported.

    :param facts: the recording's metadata.
    """
    form, trace = facts.get("imported_from"), facts.get("imported_file")
    return f"{form}, {trace}" if form else ""


def read(directory: str | os.PathLike[str]) -> Recording:
    """Open a recording made by ``schedtel record`` or :class:`Recorder`, or a fleet's dataset: a directory or a URI.

    Raises :class:`RecordingError` when it is missing, damaged, or of another version of the definitions.
    """
    return Recording(directory)
