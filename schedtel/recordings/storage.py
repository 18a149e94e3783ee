"""Names and batches in; Parquet files out, in a directory or at any URI of pyarrow.fs (s3://, gs://, hdfs://).

A file appears whole or not at all. In a directory it is renamed into place; an object store shows an object only once
all of it has been written.
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
#: Object stores, in which there are no directories to make.
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
        """Make the directory. Raises :class:`RecordingError` if it cannot be made or read."""
        try:
            self._made = [path for path in (self.root, *self.root.parents) if not path.exists()]
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            next(self.root.iterdir(), None)
        except OSError as error:
            raise self._cannot_write(self.root, error) from error

    def withdraw(self) -> None:
        """Remove the directories that :meth:`prepare` made, unless a file has been written there."""
        with contextlib.suppress(OSError):  # rmdir() fails if the directory is not empty
            for path in self._made:
                path.rmdir()

    def is_empty(self) -> bool:
        return not any(self.root.iterdir())

    def write(self, name: str, batch: pa.RecordBatch) -> int:
        """Write a file, replacing any of that name; returns its size in bytes. Raises :class:`RecordingError`."""
        target = self.root / name
        # Outside of the table's folder: polars reads a folder only if all its files, hidden ones too, end alike.
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
        """Paths of a table's files below the table's folder, those of each run in the order of its windows."""
        below = self.root / table
        return sorted((str(path.relative_to(below)) for path in below.rglob("part-*.parquet")), key=order_of)

    def open(self, name: str) -> pq.ParquetFile:
        import pyarrow.parquet as pq  # noqa: PLC0415  (9 MB that `live` does without)

        # By a file of our own: a path given to ParquetFile must be UTF-8.
        return pq.ParquetFile(pa.OSFile(os.fsencode(self.root / name)))

    def path(self, name: str) -> str:
        """A file's full path, for messages."""
        return str(self.root / name)


class Store:
    """Files below a URI of any filesystem of pyarrow.fs.

    Raises :class:`UsageError` for a URI that pyarrow.fs does not accept, or that names no bucket.
    """

    def __init__(self, uri: str) -> None:
        import pyarrow.fs  # noqa: PLC0415  (it starts S3 and its threads, which only URIs need)

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
        """Write a file and delete it: a store tells in no other way whether the user may write to it.

        Raises :class:`RecordingError` if the user may not.
        """
        self._put(_PROBE, b"")
        with contextlib.suppress(OSError):  # a user who may write but not delete leaves it: empty, beside the tables
            self._files.delete_file(f"{self._root}/{_PROBE}")

    def withdraw(self) -> None:
        """Do nothing: a store would remove the folder with all files that other writers have put there meanwhile."""

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
        paths = (path[begin:] for path in self._below(table) if fnmatch(os.path.basename(path), "part-*.parquet"))
        return sorted(paths, key=order_of)

    def _below(self, folder: str) -> Iterator[str]:
        import pyarrow.fs  # noqa: PLC0415  (see above)

        below = f"{self._root}/{folder}".rstrip("/")
        try:
            entries = self._files.get_file_info(pyarrow.fs.FileSelector(below, recursive=True, allow_not_found=True))
        except OSError as error:
            cause = f"{_line(error)} (check bucket, credentials and network)"
            raise RecordingError(f"cannot read {self}: {cause}") from error
        return (entry.path for entry in entries if entry.is_file)

    def open(self, name: str) -> pq.ParquetFile:
        import pyarrow.parquet as pq  # noqa: PLC0415  (see above)

        return pq.ParquetFile(f"{self._root}/{name}", filesystem=self._files)

    def path(self, name: str) -> str:
        return f"{str(self).partition('?')[0].rstrip('/')}/{name}"


def order_of(part: str) -> list[str]:
    """Sort key of a part's path: all its levels but the day, since the clock may be set back over midnight.

    The names of runs and of parts sort in the order in which they were written.
    """
    return [level for level in part.split("/") if not level.startswith("day=")]


Place = Directory | Store


def place_of(where: str | os.PathLike[str]) -> Place:
    """The place that a path or a URI names.

    Raises :class:`UsageError` for ``-``, for a relative file URI, and for a URI that :class:`Store` does not accept.
    """
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
    """A URI without the keys that pyarrow accepts before the host."""
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
    """The columns that get a dictionary encoding: those of text. Numbers rarely repeat, and are smaller without."""
    return [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_dictionary(f.type)]


def _line(error: Exception) -> str:
    """The cause in one line, without the request that pyarrow repeats and the id that the store gave it."""
    first = re.sub(r"^.*?(?=AWS Error )| \(Request ID: \S*\)", "", str(error).splitlines()[0])
    return first.rstrip(".")
