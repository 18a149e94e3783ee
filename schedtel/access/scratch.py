"""A directory in; a new one in it, which is gone when it is no longer used, also after SIGKILL, out."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: A directory is locked soon after it was made.
_YOUNG_S = 60


@contextmanager
def scratch_directory(parent: Path, prefix: str) -> Iterator[Path]:
    """A directory of this user alone that is gone when the context ends. Those of processes that were killed go, too.

    :param parent: where it is made; other users may write there.
    :param prefix: the beginning of its name, and of the names of those that go.
    """
    for left in parent.glob(f"{prefix}*"):
        remove_unused(left, _YOUNG_S)
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as directory:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Path(directory)
        finally:
            os.close(lock)


def remove_unused(left: Path, young_s: float) -> None:
    """Remove a directory of this user, unless it was changed less than some seconds ago, or a process locks it."""
    with suppress(OSError):
        status = left.lstat()
        if status.st_uid == os.geteuid() and time.time() - status.st_mtime > young_s:
            _remove_unlocked(left)


def _remove_unlocked(left: Path) -> None:
    """Remove a scratch directory, unless a process still uses it. Raises :class:`BlockingIOError` then."""
    lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left, ignore_errors=True)
    finally:
        os.close(lock)
