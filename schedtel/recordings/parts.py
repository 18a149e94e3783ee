"""The path of a part in; its windows out, each checked, or the reason why one is missing.

``summary`` is written last, so it says which windows a part has: it is read first. The other tables are read after it.
They have the rows of these windows, and perhaps those of a window that has been added meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schedtel.errors import RecordingError
from schedtel.recordings.storage import Place
from schedtel.windows import tables, validation
from schedtel.windows.schema import ADDED_LATER, ARROW, DEFINITIONS_VERSION, SPARSE
from schedtel.windows.window import Window

#: The tables of a recording in the order in which a part's files are written.
TABLES = (*SPARSE, "tasks", "cpus", "summary")
#: Prefix of the entries in a file's metadata that say how many rows each table of the part has.
ROWS = "schedtel_rows."
_PREFIX = "schedtel."
#: A part of ours is a megabyte or one window; a file that claims to be larger than this is not read.
_MOST_BYTES = 4 << 30
#: An object in a store may be replaced while it is read; then it is read again.
_ATTEMPTS = 3

#: The batch of a window that has no rows in a table.
_EMPTY = {table: tables.empty(table) for table in ARROW}


@dataclass(frozen=True)
class Damage:
    """A part of a recording of which not all windows can be read.

    :param path: the file.
    :param cause: why they cannot be read.
    :param windows: how many; None if that is not known.
    """

    path: str
    cause: str
    windows: int | None = None

    def __str__(self) -> str:
        missing = "its windows are" if self.windows is None else f"{self.windows} of its windows are"
        return f"cannot read {self.path}: {self.cause}; {missing} missing"

    def error(self) -> RecordingError:
        """The error for a recording of which nothing can be read."""
        return RecordingError(f"cannot read {self.path}: {self.cause} (the file is damaged or not a recording's)")


class DamagedFile(Exception):  # noqa: N818  (it says of a file what it is; no caller outside of this package sees it)
    """A file of a part cannot be used; ``damage`` tells which and why."""

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(cause)
        self.damage = Damage(path, cause)


class Part:
    """One part of a recording.

    :param name: its path below a table's folder.
    """

    def __init__(self, place: Place, name: str) -> None:
        self._place, self._name = place, name
        #: Windows that are left out, and why the first of them is.
        self._left_out, self._cause = 0, ""

    def facts(self) -> dict[str, str]:
        """The metadata of the part, without the prefix.

        Raises :class:`DamagedFile`, and :class:`RecordingError` for other definitions.
        """
        return self._facts(self._read("summary").schema)

    def _facts(self, schema: pa.Schema) -> dict[str, str]:
        facts = _without_prefix(_PREFIX, self._metadata(schema))
        version = facts.get("definitions_version", "")
        if version != str(DEFINITIONS_VERSION):
            raise RecordingError(
                f"cannot read {self._place}: its definitions have version {version[:20] or 'none'}, "
                f"this schedtel has {DEFINITIONS_VERSION} (use the schedtel that wrote it)"
            )
        return facts

    def _metadata(self, schema: pa.Schema) -> dict[str, str]:
        try:
            return {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
        except UnicodeDecodeError as error:
            raise DamagedFile(self._path("summary"), "its metadata is not UTF-8") from error

    def windows(self, order: validation.Order, *, identified: bool) -> Iterator[Window]:
        """The whole windows of the part, in order and each once; :attr:`damage` tells of the others afterwards.

        :param order: checks the windows of the part's run.
        :param identified: windows need a host and a wall clock.

        Raises :class:`DamagedFile` if a file cannot be used, and :class:`RecordingError` for other definitions.
        """
        by_table, causes = self._tables()
        for number in by_table["summary"]:
            window = Window(**{table: by_table[table].get(number, _EMPTY[table]) for table in TABLES})
            cause = causes.get(number) or validation.flaw_of_one(window.summary, identified=identified)
            if not cause and order.repeats(window):
                continue
            cause = cause or order.flaw_of(window)
            if not cause:
                yield window
                continue
            self._left_out, self._cause = self._left_out + 1, self._cause or cause

    def _tables(self) -> tuple[dict[str, dict[int, pa.RecordBatch]], dict[int, str]]:
        """Each table by window, and what is wrong with windows, by their number."""
        summary = self._read("summary")
        self._facts(summary.schema)
        rows = _without_prefix(ROWS, self._metadata(summary.schema))
        causes: dict[int, str] = {}
        windows = self._by_window("summary", summary, causes)
        if not windows:
            raise DamagedFile(self._path("summary"), "no window in it")
        others = [table for table in TABLES if table != "summary"]
        by_table = {table: self._table(table, rows.get(table), windows, causes) for table in others}
        return {"summary": windows, **by_table}, causes

    @property
    def damage(self) -> Damage | None:
        """What is wrong with the windows that :meth:`windows` has left out; None if there are none."""
        return Damage(self._path("summary"), self._cause, self._left_out) if self._left_out else None

    def _path(self, table: str) -> str:
        return self._place.path(f"{table}/{self._name}")

    def _table(
        self, table: str, rows: str | None, windows: Mapping[int, pa.RecordBatch], causes: dict[int, str]
    ) -> dict[int, pa.RecordBatch]:
        """The rows of the windows in one table, by window.

        :param rows: their number as the summary's metadata has it; None if it has none.
        """
        try:
            stored = self._read(table)
        except FileNotFoundError as error:
            if table in SPARSE and rows in (None, "0"):
                return {}
            raise DamagedFile(self._path(table), "No such file") from error
        found = self._by_window(table, stored, causes)
        count = sum(found[number].num_rows for number in windows if number in found)
        if rows is not None and str(count) != rows:
            raise DamagedFile(self._path(table), f"{count} rows of the windows in the summary, which had {rows[:20]}")
        return found

    def _by_window(self, table: str, stored: pa.Table, causes: dict[int, str]) -> dict[int, pa.RecordBatch]:
        """The rows of a table by window; ``causes`` gets what is wrong with windows, by their number."""
        batch = tables.concatenate(stored.to_batches(), ARROW[table])
        ids = tables.column(batch, "window_id")
        begins = np.flatnonzero(np.diff(ids, prepend=ids[:1] - 1))
        if (np.diff(ids) < 0).any() or batch["window_id"].null_count:
            raise DamagedFile(self._path(table), "its windows are out of order")
        for flaw in validation.flaws(table, batch):
            causes.update((number, flaw.cause) for number in np.unique(ids[flaw.rows]).tolist() if number not in causes)
        ends = np.append(begins[1:], len(ids))
        return {int(ids[a]): batch.slice(a, b - a) for a, b in zip(begins, ends, strict=True)}

    def _read(self, table: str) -> pa.Table:
        """One file of the part. Raises :class:`FileNotFoundError` or :class:`DamagedFile`."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._read_once(table)
            except FileNotFoundError:
                raise
            except (OSError, pa.ArrowException, MemoryError, ValueError) as error:
                if attempt + 1 == _ATTEMPTS or not self._place.is_replaced_while_read:
                    raise DamagedFile(self._path(table), _line(error)) from error
        raise AssertionError

    def _read_once(self, table: str) -> pa.Table:
        with self._place.open(f"{table}/{self._name}") as file:  # read_table() would import pandas
            if not file.schema_arrow.equals(_schema_of(table, file.schema_arrow.names)):
                raise ValueError(f"its columns are not those of {table}")
            if file.metadata.num_rows * _row_bytes(table) > _MOST_BYTES:
                raise ValueError(f"it claims to have {file.metadata.num_rows} rows")
            stored = file.read()
        stored.validate(full=True)
        return _with_columns_added_later(stored, table)


def _schema_of(table: str, names: list[str]) -> pa.Schema:
    """The schema of a table; without the columns that an earlier schedtel did not write, where a file lacks them."""
    later = set(ADDED_LATER.get(table, ())) - set(names)
    return pa.schema([field for field in ARROW[table] if field.name not in later])


def _with_columns_added_later(stored: pa.Table, table: str) -> pa.Table:
    """The table with the columns that an earlier schedtel did not write: null in every row."""
    for place, field in enumerate(ARROW[table]):
        if field.name not in stored.schema.names:
            stored = stored.add_column(place, field, pa.nulls(stored.num_rows, field.type))
    return stored


def _line(error: Exception) -> str:
    """The error in one line of printable text: it may quote bytes of the file."""
    line = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in line)


def _row_bytes(table: str) -> int:
    """About the memory that a row of a table takes, without its texts."""
    return sum(f.type.list_size * 4 if pa.types.is_fixed_size_list(f.type) else 8 for f in ARROW[table])


def _without_prefix(prefix: str, entries: Mapping[str, str]) -> dict[str, str]:
    """The entries that have the prefix, by their names without it."""
    return {name.removeprefix(prefix): value for name, value in entries.items() if name.startswith(prefix)}
