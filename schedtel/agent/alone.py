"""The directory of this user's journals in; the right to act, which one agent at a time has, out."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from schedtel.errors import CapabilityError, UsageError
from schedtel.schedulers.journal import default_directory, make_private

_NAME = "agent.lock"
_TRIES = 20


@contextlib.contextmanager
def only_agent(directory: Path | None = None) -> Iterator[None]:
    """Inside the context, no other agent of this user acts on this machine. The lock ends with the process.

    Raises :class:`UsageError` if there is one, and :class:`CapabilityError` if the lock cannot be made.
    """
    descriptor, path = _locked(directory or default_directory())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a journal is there
            path.parent.rmdir()
        os.close(descriptor)


def _locked(directory: Path) -> tuple[int, Path]:
    path = directory / _NAME
    for _ in range(_TRIES):
        try:
            make_private(directory)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # the directory was removed meanwhile, with its last file
            continue
        except OSError as error:
            raise CapabilityError(
                f"cannot lock {path}: {error.strerror} (run as root, or set XDG_RUNTIME_DIR)"
            ) from error
        if _is_taken(descriptor, path):
            return descriptor, path
        os.close(descriptor)
    raise CapabilityError(f"cannot lock {path}: what is made there is removed (see what cleans {directory})")


def _is_taken(descriptor: int, path: Path) -> bool:
    """Whether the lock is ours; false if the last agent has removed the file before it was locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(
            "cannot act: another agent runs on this machine (end it first, or use --dry-run or --shadow)"
        ) from None
    with contextlib.suppress(OSError):
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    return False
