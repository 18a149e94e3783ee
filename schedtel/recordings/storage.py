"""Where Parquet files are kept: a directory, or any URI of pyarrow.fs (s3://, gs://, hdfs://). Names in, files out.

A file appears whole or not at all: in a directory it is renamed into place, an object store shows what was put
when the putting is done.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from schedtel.errors import RecordingError, UsageError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_COMPRESSION = "zstd"
#: Stores of objects have no directories to make.
_WITHOUT_DIRECTORIES = ("s3", "gcs", "abfs")
_PROBE = ".schedtel-probe"


class Directory:
    """Files below a local directory, which only their owner can read: they name users' commands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._made: list[Path] = []

    def __str__(self) -> str:
        return str(self.root)

    def prepare(self) -> None:
        """Make it. Raises :class:`RecordingError` where that cannot be done."""
        try:
            self._made = [path for path in (self.root, *self.root.parents) if not path.exists()]
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            next(self.root.iterdir(), None)
        except OSError as error:
            raise self._cannot_write(self.root, error) from error

    def withdraw(self) -> None:
        """Take away what :meth:`prepare` made, if nothing has been put there."""
        with contextlib.suppress(OSError):  # it is not empty
            for path in self._made:
                path.rmdir()

    def is_empty(self) -> bool:
        return not any(self.root.iterdir())

    def write(self, name: str, batch: pa.RecordBatch) -> int:
        """Write a file, in place of one of that name; returns its size in bytes. Raises :class:`RecordingError`."""
        target = self.root / name
        # Beside the tables, not within: polars reads a table's folder only if all its files end alike, hidden ones too.
        unfinished = self.root / f".{name.partition('/')[0]}-{target.name}.unfinished"
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(unfinished, "wb", opener=_owner_only) as file:
                _write_parquet(file, batch)
                size = file.tell()
                file.flush()
            os.rename(unfinished, target)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise self._cannot_write(target, error) from error
        return size

    @staticmethod
    def _cannot_write(path: Path, error: OSError) -> RecordingError:
        advice = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another directory"
        return RecordingError(f"cannot write {path}: {error.strerror or error} ({advice})")

    def exists(self) -> bool:
        return self.root.is_dir()

    def parts(self, table: str) -> list[str]:
        """Names of a table's files below the table, partitions included, each run's in the order of its windows."""
        below = self.root / table
        return sorted((str(path.relative_to(below)) for path in below.rglob("part-*.parquet")), key=order_of)

    def open(self, name: str) -> pq.ParquetFile:
        import pyarrow.parquet as pq  # noqa: PLC0415  (9 MB that `live` does without)

        return pq.ParquetFile(self.root / name)

    def path(self, name: str) -> str:
        """What to call a file in a message."""
        return str(self.root / name)


class Store:
    """Files below a URI, in whatever pyarrow.fs knows."""

    def __init__(self, uri: str) -> None:
        import pyarrow.fs  # noqa: PLC0415  (S3 and its threads, for those who use it)

        self._uri = uri
        try:
            self._files, self._root = pyarrow.fs.FileSystem.from_uri(uri)
        except (pa.ArrowException, ValueError, OSError) as error:
            raise UsageError(f"cannot use {self}: {_line(error)} (write s3://bucket/path or the like)") from error
        if not self._root.strip("/"):
            raise UsageError(f"cannot use {self}: it names no bucket (write s3://bucket/path or the like)")

    def __str__(self) -> str:
        return hide_secrets(self._uri)

    def prepare(self) -> None:
        """Put a file and take it away: a store says in no other way whether it can be written.

        Raises :class:`RecordingError` where it cannot.
        """
        self._put(_PROBE, b"")
        with contextlib.suppress(OSError):  # who may put but not remove leaves it, empty and beside the tables
            self._files.delete_file(f"{self._root}/{_PROBE}")

    def withdraw(self) -> None:
        """Nothing: a store removes a folder with all that others may have put there meanwhile."""

    def is_empty(self) -> bool:
        return not any(self._below(""))

    def write(self, name: str, batch: pa.RecordBatch) -> int:
        """As :meth:`Directory.write`."""
        sink = pa.BufferOutputStream()
        _write_parquet(sink, batch)
        whole = sink.getvalue()
        self._put(name, whole)
        return whole.size

    def _put(self, name: str, whole: bytes | pa.Buffer) -> None:
        path = f"{self._root}/{name}"
        try:
            if self._files.type_name not in _WITHOUT_DIRECTORIES:
                self._files.create_dir(os.path.dirname(path), recursive=True)
            with self._files.open_output_stream(path) as file:
                file.write(whole)
        except OSError as error:
            raise RecordingError(
                f"cannot write {self.path(name)}: {_line(error)} (check bucket, credentials and network)"
            ) from error

    def exists(self) -> bool:
        return any(self._below(""))

    def parts(self, table: str) -> list[str]:
        """As :meth:`Directory.parts`."""
        begin = len(f"{self._root}/{table}/")
        found = (path[begin:] for path in self._below(table) if fnmatch(os.path.basename(path), "part-*.parquet"))
        return sorted(found, key=order_of)

    def _below(self, folder: str) -> Iterator[str]:
        import pyarrow.fs  # noqa: PLC0415  (see above)

        below = f"{self._root}/{folder}".rstrip("/")
        try:
            found = self._files.get_file_info(pyarrow.fs.FileSelector(below, recursive=True, allow_not_found=True))
        except OSError as error:
            cause = f"{_line(error)} (check bucket, credentials and network)"
            raise RecordingError(f"cannot read {self}: {cause}") from error
        return (entry.path for entry in found if entry.is_file)

    def open(self, name: str) -> pq.ParquetFile:
        import pyarrow.parquet as pq  # noqa: PLC0415  (see above)

        return pq.ParquetFile(f"{self._root}/{name}", filesystem=self._files)

    def path(self, name: str) -> str:
        return f"{str(self).partition('?')[0].rstrip('/')}/{name}"


def order_of(part: str) -> list[str]:
    """Days do not count: the clock may be set back over midnight. Runs and parts are numbered as they were written."""
    return [level for level in part.split("/") if not level.startswith("day=")]


Place = Directory | Store


def place_of(where: str | os.PathLike[str]) -> Place:
    """A directory, or what a URI names. Raises :class:`UsageError` for what can be neither."""
    text = str(where)
    if text == "-":
        raise UsageError("cannot use -: it takes a directory of many files (name one; ./- if it is called so)")
    if text.startswith("file://"):
        path = Path(unquote(text.removeprefix("file://")))
        if not path.is_absolute():
            raise UsageError(f"cannot use {text}: its path is relative (write file:///path)")
        return Directory(path)
    return Store(text) if "://" in text else Directory(Path(where))


def hide_secrets(uri: str) -> str:
    """A URI without the keys that pyarrow lets one write before its host."""
    scheme, _, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _write_parquet(sink: Any, batch: pa.RecordBatch) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415  (see above)

    schema = batch.schema
    with pq.ParquetWriter(sink, schema, compression=_COMPRESSION, use_dictionary=_text_columns(schema)) as writer:
        writer.write_batch(batch)


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _text_columns(schema: pa.Schema) -> list[str]:
    """Dictionary encoding is for text; numbers rarely repeat and are smaller without."""
    return [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_dictionary(f.type)]


def _line(error: Exception) -> str:
    """The cause in one line, without the request that pyarrow repeats and the number the store gave it."""
    first = re.sub(r"^.*?(?=AWS Error )| \(Request ID: \S*\)", "", str(error).splitlines()[0])
    return first.rstrip(".")
