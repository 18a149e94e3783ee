"""Names and batches in; Parquet files out, in a directory or at any URI of pyarrow.fs (s3://, gs://, hdfs://).

A file appears whole or not at all. In a directory it is written to the disk and then renamed into place; an object
store shows an object only once all of it has been written. Each page of a file has a checksum, so a reader notices bits
that have changed.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
import re
import stat
import time
import weakref
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

import pyarrow as pa

from schedtel.access.directories import need_own, open_directory
from schedtel.errors import RecordingError, UsageError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

#: What a file is made of: one batch, or the bytes of a Parquet file that has been written by other rules.
Content: TypeAlias = pa.RecordBatch | pa.Buffer
_COMPRESSION = "zstd"
#: Object stores, in which there are no directories to make.
_WITHOUT_DIRECTORIES = ("s3", "gcs", "abfs")
_PROBE = ".schedtel-probe"
_UNFINISHED = ".{table}-{name}.unfinished"
#: An unfinished file that has not changed for so long was left by a writer that was killed.
_ABANDONED_S = 600
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Directory:
    """Files below a local directory, which only their owner can read: they name users' commands.

    It is opened once, and every file is made relative to it, so that no link that another user plants is followed.
    """

    is_replaced_while_read = False

    def __init__(self, root: Path) -> None:
        self.root, self._absolute = root, root if root.is_absolute() else Path.cwd() / root
        self._made: list[Path] = []
        self._open: int | None = None
        #: Time that the disk has taken to make files durable, in nanoseconds.
        self.sync_ns = 0

    def __str__(self) -> str:
        return str(self.root)

    def prepare(self) -> None:
        """Make the directory if it is missing, and remove what a writer that was killed left unfinished.

        Raises :class:`RecordingError` if it cannot be made or read, and :class:`UsageError` if another user could
        replace what is written there.
        """
        try:
            self._open = open_directory(self.root, self._made)
            weakref.finalize(self, os.close, self._open)
            self._sweep(self._open)
        except UsageError:
            self.withdraw()  # a file system may give a new directory to another user
            raise
        except OSError as error:
            self.withdraw()
            raise self._cannot_write(self.root, error) from error

    @staticmethod
    def _sweep(root: int) -> None:
        """Remove unfinished files that no writer can still be writing."""
        latest_s = time.time() - _ABANDONED_S
        for name in fnmatch.filter(os.listdir(root), _UNFINISHED.format(table="*", name="*")):
            with contextlib.suppress(OSError):  # another writer sweeps too, or it is a directory
                if os.stat(name, dir_fd=root, follow_symlinks=False).st_mtime < latest_s:
                    os.unlink(name, dir_fd=root)

    def _opened(self) -> int:
        """The open directory. Raises :class:`RecordingError` if its path leads elsewhere by now."""
        if self._open is None:
            self.prepare()
        assert self._open is not None
        try:
            if os.path.samestat(os.stat(self._absolute), os.fstat(self._open)):
                return self._open
        except OSError:  # nothing is there
            pass
        raise RecordingError(
            f"cannot write to {self.root}: it was removed or moved meanwhile (record again, and leave it in its place)"
        )

    def withdraw(self) -> None:
        """Remove the directories that :meth:`prepare` made, unless a file has been written there."""
        with contextlib.suppress(OSError):  # rmdir() fails if the directory is not empty
            for path in reversed(self._made):
                path.rmdir()

    def is_empty(self) -> bool:
        return not os.listdir(self._opened())

    def write(self, name: str, content: Content, is_new: bool = True) -> int:
        """Write a file, replacing any of that name; returns its size in bytes.

        The file is on the disk before it has its name, and has its name on the disk when this returns.

        :param content: a batch, or the bytes of a whole Parquet file.
        :param is_new: its folder may have to be made; otherwise a missing folder is an error.

        Raises :class:`RecordingError` if it cannot be written, or what was written before is gone.
        """
        root, path = self._opened(), PurePosixPath(name)
        # Outside of the table's folder: polars reads a folder only if all its files, hidden ones too, end alike.
        unfinished = _UNFINISHED.format(table=path.parts[0], name=path.name)
        try:
            with self._folder(root, path.parent, is_new) as folder:
                size = self._write_unfinished(root, unfinished, content)
                os.rename(unfinished, path.name, src_dir_fd=root, dst_dir_fd=folder)
                self._sync(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(unfinished, dir_fd=root)
            if isinstance(error, FileNotFoundError):
                raise RecordingError(
                    f"cannot write {self.root / name}: its folder was removed meanwhile (record again)"
                ) from error
            raise self._cannot_write(self.root / name, error) from error
        return size

    @contextlib.contextmanager
    def _folder(self, root: int, path: PurePosixPath, is_new: bool) -> Iterator[int]:
        """A folder below the open directory ``root``, open; made if it ``is_new`` and missing."""
        current = os.dup(root)
        try:
            for number, name in enumerate(path.parts, 1):
                below = self._step(current, name, is_new)
                os.close(current)
                current = below
                need_own(current, self.root.joinpath(*path.parts[:number]))
            yield current
        finally:
            os.close(current)

    def _step(self, parent: int, name: str, is_new: bool) -> int:
        try:
            return os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            if not is_new:
                raise
        with contextlib.suppress(FileExistsError):  # another writer has made it meanwhile
            os.mkdir(name, 0o700, dir_fd=parent)
        self._sync(parent)
        return os.open(name, _FOLDER, dir_fd=parent)

    def _write_unfinished(self, root: int, name: str, content: Content) -> int:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=root)  # left by a writer that was killed, or planted
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=root)
        with open(descriptor, "wb") as file:
            _write(file, content)
            size = file.tell()
            file.flush()
            self._sync(descriptor)
        return size

    def _sync(self, descriptor: int) -> None:
        began_ns = time.monotonic_ns()
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a filesystem that cannot do it for directories
                raise
        self.sync_ns += time.monotonic_ns() - began_ns

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
        """The file of that name. Raises :class:`OSError` or :class:`pyarrow.ArrowException` if it is none."""
        import pyarrow.parquet as pq  # noqa: PLC0415  (9 MB that `live` does without)

        path = self.root / name
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise OSError("it is no regular file")
        # By a file of our own: a path given to ParquetFile must be UTF-8.
        return pq.ParquetFile(pa.OSFile(os.fsencode(path)), page_checksum_verification=True)

    def path(self, name: str) -> str:
        """A file's full path, for messages."""
        return str(self.root / name)


class Store:
    """Files below a URI of any filesystem of pyarrow.fs.

    Raises :class:`UsageError` for a URI that pyarrow.fs does not accept, or that names no bucket.
    """

    #: The length of an object is asked for before it is read, and a writer may replace it in between.
    is_replaced_while_read = True

    def __init__(self, uri: str) -> None:
        import pyarrow.fs  # noqa: PLC0415  (it starts S3 and its threads, which only URIs need)

        self._uri = uri
        #: As of :class:`Directory`: a store has made an object durable when the put is answered.
        self.sync_ns = 0
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

    def write(self, name: str, content: Content, _is_new: bool = True) -> int:
        """As :meth:`Directory.write`. A store has no folders that could be missing."""
        sink = pa.BufferOutputStream()
        _write(sink, content)
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
        paths = (
            path[begin:] for path in self._below(table) if fnmatch.fnmatch(os.path.basename(path), "part-*.parquet")
        )
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
        """As :meth:`Directory.open`. The object is read at once, since a writer may replace it between two reads."""
        import pyarrow.parquet as pq  # noqa: PLC0415  (see above)

        with self._files.open_input_file(f"{self._root}/{name}") as file:
            whole = file.read_buffer()
        return pq.ParquetFile(pa.BufferReader(whole), page_checksum_verification=True)

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


def _write(sink: Any, content: Content) -> None:
    if isinstance(content, pa.Buffer):
        sink.write(content)
    else:
        _write_parquet(sink, content)


def _write_parquet(sink: Any, batch: pa.RecordBatch) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415  (see above)

    schema = batch.schema
    options = {"compression": _COMPRESSION, "use_dictionary": _text_columns(schema), "write_page_checksum": True}
    with pq.ParquetWriter(sink, schema, **options) as writer:
        writer.write_batch(batch)


def _text_columns(schema: pa.Schema) -> list[str]:
    """The columns that get a dictionary encoding: those of text. Numbers rarely repeat, and are smaller without."""
    return [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_dictionary(f.type)]


def _line(error: Exception) -> str:
    """The cause in one line, without the request that pyarrow repeats and the id that the store gave it."""
    first = re.sub(r"^.*?(?=AWS Error )| \(Request ID: \S*\)", "", str(error).splitlines()[0])
    return first.rstrip(".")
