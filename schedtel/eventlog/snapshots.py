"""Where a flight recorder puts its snapshots: a directory in; a folder for each snapshot, a log of them, and a way to
ask a running recorder for one, out.

    DIR/snapshots.ndjson                  a line for each snapshot that is whole
    DIR/snapshot-20260131T120000.000Z/    a recording of events

The recorder holds a lock on the log. The kernel tells which process has it (F_GETLK, fcntl(2)), so there is no file
with a pid that could be out of date; and the lock is gone with the process, whatever ends that.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import select
import signal
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Self

from schedtel.access.directories import open_directory
from schedtel.errors import CapabilityError, RecordingError
from schedtel.recordings.storage import Directory, place_of

#: Tells a recorder to write a snapshot.
REQUEST = signal.SIGUSR1
_LOG = "snapshots.ndjson"
_NAME = re.compile(r"snapshot-[0-9TZ.]+", re.ASCII)
#: struct flock of include/uapi/asm-generic/fcntl.h: type, whence, start, length, pid.
_FLOCK = struct.Struct("@hhqqi0q")
_MOST_LINE_BYTES = 1 << 16
_POLL_MS = 50


@dataclass(frozen=True)
class Written:
    """A snapshot that is whole: where, why, from when to when on CLOCK_MONOTONIC, and how much."""

    name: str
    reason: str
    from_ns: int
    to_ns: int
    events: int
    lost: int
    bytes: int


class Snapshots:
    """The place of the snapshots of one recorder, as a context manager. A directory is locked; other places are not.

    Raises :class:`RecordingError` where another recorder has the directory, where it is a recording itself, or where it
    cannot be written; and :class:`UsageError` for a place that is none.
    """

    def __init__(self, where: str | os.PathLike[str]) -> None:
        self._where, self._place = os.fspath(where), place_of(where)
        self._place.prepare()
        if any(self._place.parts(table) for table in ("events", "summary")):
            raise RecordingError(f"cannot keep snapshots in {self._place}: it is a recording (use another directory)")
        self._root = open_directory(self._place.root) if isinstance(self._place, Directory) else None
        self._log: int | None = None
        try:
            while self._log is None and self._root is not None:
                self._log = self._locked_log(self._root)
        except OSError as error:
            self._close()
            taken = error.errno in (errno.EACCES, errno.EAGAIN)
            cause = "another recorder does so" if taken else error.strerror
            raise RecordingError(
                f"cannot keep snapshots in {self._place}: {cause} (choose another directory)"
            ) from error

    @staticmethod
    def _locked_log(root: int) -> int | None:
        """The log, open and locked; None if the recorder before has taken it away meanwhile."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        log = os.open(_LOG, flags, 0o600, dir_fd=root)
        try:
            _need_regular(log)
            fcntl.lockf(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(log), os.stat(_LOG, dir_fd=root, follow_symlinks=False)):
                return log
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(log)
            raise
        os.close(log)
        return None

    def path(self, name: str) -> str:
        """A snapshot's path or URI, for messages."""
        return self._place.path(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._log is not None and not os.fstat(self._log).st_size:
            with suppress(OSError):
                os.unlink(_LOG, dir_fd=self._root)
        self._close()
        self._place.withdraw()

    def _close(self) -> None:
        for descriptor in (self._root, self._log):
            if descriptor is not None:
                os.close(descriptor)

    def next(self) -> tuple[str, str]:
        """The name of a snapshot of this moment, and its place: a path or a URI."""
        now = datetime.now(UTC)
        name = f"snapshot-{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z"
        base, mark, query = self._where.partition("?") if "://" in self._where else (self._where, "", "")
        return name, f"{base.rstrip('/')}/{name}{mark}{query}"

    def tell(self, written: Written) -> None:
        """Add a line to the log. Raises :class:`RecordingError` where it cannot be written."""
        if self._log is None:
            return
        try:
            os.write(self._log, f"{json.dumps(asdict(written))}\n".encode())
        except OSError as error:
            raise RecordingError(f"cannot write {self._place}/{_LOG}: {error.strerror} (free some space)") from error


def ask(where: str) -> Written:
    """Ask the recorder that keeps snapshots in a directory for one, and wait until it is whole.

    Raises :class:`RecordingError` where none runs, or where it ends before, and :class:`CapabilityError` where it is
    another user's.
    """
    with _opened_log(where) as log:
        pid = _holder(log)
        if not pid:
            raise RecordingError(
                f"cannot ask for a snapshot: no recorder keeps snapshots in {where} (start one with `schedtel events "
                "record --ring`)"
            )
        with _process(where, log, pid) as process:
            seen, since_ns = os.fstat(log).st_size, time.monotonic_ns()
            try:
                signal.pidfd_send_signal(process, REQUEST)
            except PermissionError as error:
                raise CapabilityError(
                    f"cannot ask for a snapshot: the recorder, process {pid}, is another user's (use sudo)"
                ) from error
            return _awaited(where, log, process, seen, since_ns)


@contextmanager
def _opened_log(where: str) -> Iterator[int]:
    place = place_of(where)
    if not isinstance(place, Directory):
        raise RecordingError(f"cannot ask for a snapshot: {place} is no directory (send SIGUSR1 to the recorder)")
    try:
        log = os.open(place.root / _LOG, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise RecordingError(
            f"cannot ask for a snapshot: {place}/{_LOG}: {error.strerror} (name the directory of a running `schedtel "
            "events record --ring`)"
        ) from error
    try:
        _need_regular(log)
        yield log
    finally:
        os.close(log)


def _need_regular(log: int) -> None:
    if not stat.S_ISREG(os.fstat(log).st_mode):
        raise RecordingError(f"cannot use {_LOG}: it is no regular file (choose another directory)")


def _holder(log: int) -> int:
    """The pid of the process that holds a lock on the file, as this process sees it; 0 if there is none."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(log, fcntl.F_GETLK, asked))
    return max(0, pid) if kind != fcntl.F_UNLCK else 0


@contextmanager
def _process(where: str, log: int, pid: int) -> Iterator[int]:
    """A descriptor of the recorder. A process that would die of the signal, or another one of that pid, is none."""
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            if _holder(log) == pid and _catches(pid):
                yield process
                return
        finally:
            os.close(process)
    raise RecordingError(
        f"cannot ask for a snapshot: process {pid}, which has {where}, is about to begin or to end (try again)"
    )


def _catches(pid: int) -> bool:
    """Whether a process handles the signal itself (SigCgt, proc(5))."""
    with suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
        masks = [line.split()[1] for line in file if line.startswith(b"SigCgt:")]
        return any(int(mask, 16) >> (REQUEST - 1) & 1 for mask in masks)
    return False


def _awaited(where: str, log: int, process: int, seen: int, since_ns: int) -> Written:
    """The first snapshot in the log, from the place ``seen`` on, that covers the moment of the request."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    while True:
        has_ended = bool(poll.poll(_POLL_MS))
        while line := _whole_line(log, seen):
            seen += len(line)
            written = _parsed(line)
            if written and written.to_ns >= since_ns:
                return written
        if has_ended:
            raise RecordingError(
                f"cannot tell of a snapshot: the recorder of {where} ended before it was written (see what it said)"
            )


def _whole_line(log: int, at: int) -> bytes:
    found, end, _ = os.pread(log, _MOST_LINE_BYTES, at).partition(b"\n")
    return found + end if end else b""


def _parsed(line: bytes) -> Written | None:
    """What a line tells; None for one that this module has not written."""
    with suppress(ValueError, TypeError):
        found = Written(**json.loads(line))
        numbers = (found.from_ns, found.to_ns, found.events, found.lost, found.bytes)
        if all(isinstance(number, int) for number in numbers) and _NAME.fullmatch(found.name):
            return found
    return None
