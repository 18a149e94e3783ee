"""Changes in, before each is made; a private file that tells them to another process, out.

A journal is locked by the process that changes things, and its name says which process that is. One that can be locked
has outlived it. If its guard is gone as well, the next start puts back what it tells; if not, both do, and what is put
back already is left alone.
"""

import contextlib
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from schedtel.errors import CapabilityError
from schedtel.host.procfs import boot_id
from schedtel.schedulers import threads
from schedtel.schedulers.changes import Change, undo

_PRIVATE, _PRIVATE_FILE = 0o700, 0o600
_TRIES = 20


def default_directory() -> Path:
    """Where this user's journals are: gone after a restart of the machine, as is what they tell."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.geteuid() == 0:
        return Path("/run/schedtel")
    return Path(runtime) / "schedtel" if runtime else Path(tempfile.gettempdir()) / f"schedtel-{os.geteuid()}"


class Journal:
    """A new journal, of mode 0600 in a directory that only this user can use.

    Raises :class:`CapabilityError` if there is no such directory and none can be made.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or default_directory()
        #: Of the file; each is a change.
        self.lines = 0
        for _ in range(_TRIES):
            try:
                make_private(self.directory)
                if self._create():
                    return
            except FileNotFoundError:  # the last other journal was removed, and the directory with it
                continue
            except OSError as error:
                raise _unusable(self.directory, error.strerror or str(error)) from error
        raise _unusable(self.directory, "what is made there is removed")

    def _create(self) -> bool:
        """Returns whether the file is still there once it is locked; else another start took it for forgotten."""
        this = threads.read_thread(os.getpid(), os.getpid())
        owner = f"{os.getpid()}-{this.start if this else 0}"
        self.descriptor, path = tempfile.mkstemp(prefix=f"journal-{boot_id()}-{owner}-", dir=self.directory)
        self.path = Path(path)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        if self.path.exists():
            return True
        os.close(self.descriptor)
        return False

    def append(self, changes: list[Change]) -> None:
        """Write changes, and have them on the disk, before they are made.

        Raises :class:`CapabilityError` if they cannot be written; then they must not be made.
        """
        if not changes:
            return
        try:
            _write(self.descriptor, changes)
        except OSError as error:
            raise CapabilityError(
                f"cannot write the journal in {self.directory}: {error.strerror} (free some space)"
            ) from error
        self.lines += len(changes)

    def rewrite(self, changes: list[Change]) -> None:
        """Replace what is there by these changes, at once: a guard reads the old journal or the new one.

        If it cannot be written, the old one stays.
        """
        new = _beside(self.path)
        with contextlib.suppress(OSError):
            descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE_FILE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                _write(descriptor, changes)
                new.rename(self.path)
                os.dup2(descriptor, self.descriptor, inheritable=False)
                self.lines = len(changes)
            finally:
                os.close(descriptor)

    def clear(self) -> None:
        """Forget all changes: they are put back."""
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        os.fsync(self.descriptor)
        self.lines = 0

    def close(self) -> None:
        """Remove the file; the directory as well if it was the last."""
        remove(self.path)
        os.close(self.descriptor)


def remove(path: Path) -> None:
    """Remove a journal, and its directory if it was the last one there."""
    path.unlink(missing_ok=True)
    _beside(path).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another journal is there
        path.parent.rmdir()


def _beside(path: Path) -> Path:
    """Where a journal is written anew; what a process leaves there that dies meanwhile is removed with the journal."""
    return path.with_name(f"new-{path.name}")


def _write(descriptor: int, changes: list[Change]) -> None:
    text = "".join(json.dumps(list(vars(change).values())) + "\n" for change in changes).encode()
    while text:
        text = text[os.write(descriptor, text) :]
    os.fsync(descriptor)


def read_journal(descriptor: int) -> list[Change]:
    """The changes of an open journal; of several of one thing, the last one, in the place of the first.

    A line that was cut off was followed by no change.
    """
    lines = os.pread(descriptor, os.fstat(descriptor).st_size, 0).split(b"\n")[:-1]
    changes = map(_change, lines)
    return list({change.key: change for change in changes}.values())


class Forgotten(NamedTuple):
    """A journal whose process had ended: its changes, which are put back now, and those of them that failed."""

    changes: list[Change]
    failed: list[Change]


def undo_forgotten(directory: Path | None = None) -> list[Forgotten]:
    """Put back what journals of this user tell whose process has ended, and remove them."""
    found = map(_put_back, journals(directory or default_directory()))
    return [forgotten for forgotten in found if forgotten]


def put_back_forgotten(directory: Path | None = None) -> int:
    """The same. Returns how many journals there were."""
    return len(undo_forgotten(directory))


def _put_back(path: Path) -> Forgotten | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # removed meanwhile
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Else its threads have gone with the kernel that had them.
        changes = read_journal(descriptor) if path.name.startswith(f"journal-{boot_id()}-") else []
        failed = undo(changes)
        remove(path)
    except BlockingIOError:
        return None
    finally:
        os.close(descriptor)
    return Forgotten(changes, failed)


def journals(directory: Path) -> Iterator[Path]:
    """The journals in a directory, if only this user can have made them."""
    with contextlib.suppress(OSError, CapabilityError):
        _check_private(directory)
        yield from sorted(directory.glob("journal-*"))


def owner_of(path: Path) -> tuple[int, int] | None:
    """The pid that a journal's name tells, and when that process started; None for one of another boot."""
    beginning = f"journal-{boot_id()}-"
    words = path.name.removeprefix(beginning).split("-")
    if (
        not path.name.startswith(beginning)
        or len(words) != 3
        or not all(word.isascii() and word.isdigit() and len(word) < 19 for word in words[:2])
    ):
        return None
    return int(words[0]), int(words[1])


def make_private(directory: Path) -> None:
    """Make a directory that only this user can use, if it is missing.

    Raises :class:`CapabilityError` if others can use what is there, and :class:`OSError` if it cannot be made.
    """
    directory.mkdir(mode=_PRIVATE, exist_ok=True)
    _check_private(directory)


def _check_private(directory: Path) -> None:
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise _unusable(directory, "others may use it, or have made it")


def _unusable(directory: Path, cause: str) -> CapabilityError:
    return CapabilityError(
        f"cannot keep a journal in {directory}: {cause} (remove it, or set XDG_RUNTIME_DIR to a directory of your own)"
    )


def _change(line: bytes) -> Change:
    kind, target, before, after, since = json.loads(line)
    return Change(kind, tuple(target), _value(before), _value(after), since)


def _value(given: list[int] | str) -> tuple[int, ...] | str:
    return given if isinstance(given, str) else tuple(given)
