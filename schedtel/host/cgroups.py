"""Mounts of cgroup hierarchies in; their directories, and the path of each cgroup id, out."""

import functools
import os
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from schedtel.errors import CapabilityError
from schedtel.foreign_text import text_of_path
from schedtel.host import procfs

#: Inode of a kernfs root (fs/kernfs/dir.c), and so the id of the machine's root cgroup.
_ROOT_CGROUP = 1

#: PATH_MAX (include/uapi/linux/limits.h): the kernel gives and takes paths that are shorter.
_LONGEST_PATH = 4096
_TO_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: A directory of cgroupfs with none below it has two links (fs/kernfs), and need not be listed.
_LINKS_OF_A_LEAF = 2

#: What a user can do where a container sees only its own part of the cgroups.
SEE_ALL_CGROUPS = "run the container with --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:ro"


def cgroup_root() -> Path:
    """Where the cgroup v2 hierarchy is mounted: a mount of all of it if there is one, else the first mount of a part.

    Raises :class:`CapabilityError` if it is not mounted.
    """
    mounts = [Path(mount.point) for mount in procfs.mounts() if mount.kind == "cgroup2"]
    if mounts:
        return next(filter(is_whole, mounts), mounts[0])
    raise CapabilityError(
        "cannot find cgroups: no cgroup v2 hierarchy is mounted (mount -t cgroup2 none /sys/fs/cgroup)"
    )


def cgroup_in(root: Path, named: str) -> Path | None:
    """The directory of a cgroup below a hierarchy's root; None if there is none.

    :param named: its path inside the hierarchy, or that of its directory.
    """
    given = Path(named)
    # Without "..", which would count as a level, or lead out of the hierarchy.
    path = Path(os.path.normpath(given if given.is_relative_to(root) else root / named.strip("/")))
    return path if path.is_relative_to(root) and (path / "cgroup.procs").is_file() else None


def is_whole(root: Path) -> bool:
    """Whether a cgroup v2 mount shows all of the machine's cgroups, and not only those of one container."""
    try:
        return root.stat().st_ino == _ROOT_CGROUP
    except OSError:  # another mount hides it
        return False


class Directory(NamedTuple):
    """A directory of cgroupfs: its path as Python decodes paths, None if it is too long for the kernel, and its id."""

    path: str | None
    identity: int


def directories(root: str) -> Iterator[Directory]:
    """A directory of cgroupfs and all directories below it, in any depth."""
    with suppress(OSError), closing(_Walk(root)) as walk:  # the root, or the way back to it, was removed meanwhile
        yield from walk.directories()


class _Walk:
    """A walk through all directories below a root, with one of them open, which is left by ``..``.

    A user who has a cgroup may nest more of them than Python can call itself, than a process can have open, and than a
    path has room for.
    """

    def __init__(self, root: str) -> None:
        self._here = os.open(root, _TO_LIST)
        #: The way from the root to here: paths, and the names that are still to be visited in each directory.
        self._paths: list[str | None] = [root]
        self._names = [_below(self._here)]

    def directories(self) -> Iterator[Directory]:
        yield Directory(self._paths[-1], os.fstat(self._here).st_ino)
        while self._names:
            if self._names[-1]:
                yield from self._visit(self._names[-1].pop())
                continue
            del self._names[-1], self._paths[-1]
            if self._names:
                self._step("..")

    def _visit(self, name: str) -> Iterator[Directory]:
        """Yields a directory that is here, and goes into it if there are others in it."""
        try:
            found, path = os.stat(name, dir_fd=self._here, follow_symlinks=False), _joined(self._paths[-1], name)
            yield Directory(path, found.st_ino)
            if found.st_nlink != _LINKS_OF_A_LEAF:
                self._step(name)
                self._names.append(_below(self._here))
                self._paths.append(path)
        except OSError:  # removed meanwhile
            return

    def _step(self, name: str) -> None:
        there = os.open(name, _TO_LIST, dir_fd=self._here)
        os.close(self._here)
        self._here = there

    def close(self) -> None:
        os.close(self._here)


def _below(directory: int) -> list[str]:
    """The names of the directories in an open directory."""
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:  # removed meanwhile
        return []


def _joined(path: str | None, name: str) -> str | None:
    longer = None if path is None else f"{path.rstrip('/')}/{name}"
    return longer if longer and len(os.fsencode(longer)) < _LONGEST_PATH else None


@functools.cache
def cpu_hierarchy() -> str | None:
    """Mount point of the hierarchy with the cpu controller: of v1 if it has it, else of v2; None if neither is mounted.

    Cached, so that it is not looked up in every window.
    """
    for mount in procfs.mounts():
        if mount.kind == "cgroup" and "cpu" in mount.options:
            return mount.point
    try:
        return str(cgroup_root())
    except CapabilityError:
        return None


class CgroupPaths:
    """Looks up cgroup paths by id (the inode number of the directory), and remembers those of removed cgroups.

    In a container that sees only its own part of the cgroups, that part would be called ``/`` and all others would have
    no path. There, and where no hierarchy is mounted, a cgroup's name is its id, such as ``id:4711``, which is the same
    on the whole machine.
    A cgroup that is nested so deep that the kernel itself has no path for it has the same kind of name.
    """

    def __init__(self) -> None:
        try:
            self.root: Path | None = cgroup_root()
        except CapabilityError:
            self.root = None
        self._shows_paths = self.root is not None and is_whole(self.root)
        self._paths: dict[int, str] = {}
        self._scanned = -1.0

    def path_of(self, identity: int) -> str | None:
        """Path inside the hierarchy, ``/`` for its root; None if the cgroup was removed before a scan saw it.

        Bytes that are no UTF-8 are escaped, as by :func:`~schedtel.foreign_text.text_of`.
        Scans the hierarchy for unknown ids, once a second at most.
        """
        if not self._shows_paths:
            return _id(identity)
        if identity not in self._paths and self._scanned != time.monotonic() // 1:
            self._scan()
        return self._paths.get(identity)

    def _scan(self) -> None:
        self._scanned = time.monotonic() // 1
        if self.root is None:
            return
        for path, identity in directories(str(self.root)):
            inside = None if path is None else "/" + path[len(str(self.root)) :].lstrip("/")
            self._paths[identity] = _id(identity) if inside is None else text_of_path(inside)


def _id(identity: int) -> str:
    return f"id:{identity}"
