"""The path of a directory in; the directory, open, out: one that no other user can have put in another's place.

A command that runs as root writes where its user says, which may be below a directory of another user. That user could
plant a symbolic link there, and have root write where it leads. So the path is walked one name at a time (openat(2)
with O_NOFOLLOW), and a link is followed only if root or this user made it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from schedtel.errors import UsageError

#: As many links as the kernel follows in a path: MAXSYMLINKS of include/linux/namei.h.
_MOST_LINKS = 40
#: Bytes of a path that a system call takes, with the zero at its end: PATH_MAX of include/uapi/linux/limits.h.
_PATH_MAX = 4096
_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_directory(path: Path, made: list[Path] | None = None) -> int:
    """A descriptor of the directory, which is made if it is missing: readable by its owner only.

    :param made: gets the paths of the directories that were made, the outermost first.

    Raises :class:`UsageError` if another user could replace what is written there, and :class:`OSError` if it cannot be
    opened.
    """
    if len(os.fsencode(path)) >= _PATH_MAX:  # name by name, the kernel would make it all the same
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    made = [] if made is None else made
    names, links, way = _names(path), 0, Path("/" if path.is_absolute() else "")
    current = os.open("/" if path.is_absolute() else ".", os.O_PATH | _DIRECTORY)
    try:
        while names:
            name = names.pop()
            target = _link(way / name, current)
            if target is None:
                current, way = _stepped(current, way / name, made), way / name
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            names += _names(target)
            if target.is_absolute():
                current, way = _replaced(current, os.open("/", os.O_PATH | _DIRECTORY)), Path("/")
        need_own(current, path)
        return os.open(".", os.O_RDONLY | _DIRECTORY, dir_fd=current)
    finally:
        os.close(current)


def _names(path: Path) -> list[str]:
    """The names of a path below ``/``, the last one first; of a link's relative target, as they are."""
    return [name for name in reversed(path.parts) if name != "/"]


def _link(path: Path, parent: int) -> Path | None:
    """Where the link at ``path`` leads, ``parent`` being its open directory; None if there is no link."""
    try:
        status = os.stat(path.name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(status.st_mode):
        return None
    if status.st_uid not in (0, os.geteuid()):
        raise UsageError(
            f"cannot use {path}: it is a link that user {status.st_uid} made (name the directory that it leads to)"
        )
    return Path(os.readlink(path.name, dir_fd=parent))


def _stepped(parent: int, path: Path, made: list[Path]) -> int:
    """Open the directory ``path`` in ``parent``, which is closed; make it if it is missing."""
    flags = os.O_PATH | _DIRECTORY
    try:
        return _replaced(parent, os.open(path.name, flags, dir_fd=parent))
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # another recorder has made it meanwhile
            os.mkdir(path.name, 0o700, dir_fd=parent)
            made.append(path)
        return _replaced(parent, os.open(path.name, flags, dir_fd=parent))


def _replaced(old: int, new: int) -> int:
    os.close(old)
    return new


def need_own(directory: int, path: Path) -> None:
    """Raise :class:`UsageError` if a user other than this one owns the directory, or can replace files in it."""
    status = os.fstat(directory)
    if status.st_uid != os.geteuid():
        raise UsageError(
            f"cannot write to {path}: user {status.st_uid} owns it, and could replace what is written "
            "(name a new directory, or one of your own)"
        )
    others_write = status.st_mode & stat.S_IWOTH
    group_writes = status.st_mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid())
    if (others_write or group_writes) and not status.st_mode & stat.S_ISVTX:
        raise UsageError(
            f"cannot write to {path}: other users can write there, and could replace what is written "
            f"(name a new directory, or chmod go-w {path})"
        )
