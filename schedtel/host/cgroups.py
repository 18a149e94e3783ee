"""Mounts of cgroup hierarchies in; their directories, and the path of each cgroup id, out."""

import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path

from schedtel.errors import CapabilityError
from schedtel.host import procfs

#: Inode of a kernfs root (fs/kernfs/dir.c), and so the id of the machine's root cgroup.
_ROOT_CGROUP = 1

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


def is_whole(root: Path) -> bool:
    """Whether a cgroup v2 mount shows all of the machine's cgroups, and not only those of one container."""
    try:
        return root.stat().st_ino == _ROOT_CGROUP
    except OSError:  # another mount hides it
        return False


def directories(root: str) -> Iterator[str]:
    """A directory of cgroupfs and all directories below it.

    A directory that has none below it has two links (fs/kernfs), and need not be listed.
    """
    yield root
    try:
        if os.stat(root).st_nlink == 2:
            return
        with os.scandir(root) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:  # removed meanwhile
        return
    for path in below:
        yield from directories(path)


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

        Scans the hierarchy for unknown ids, once a second at most.
        """
        if not self._shows_paths:
            return f"id:{identity}"
        if identity not in self._paths and self._scanned != time.monotonic() // 1:
            self._scan()
        return self._paths.get(identity)

    def _scan(self) -> None:
        self._scanned = time.monotonic() // 1
        if self.root is None:
            return
        for directory in directories(str(self.root)):
            try:
                self._paths[os.stat(directory).st_ino] = "/" + directory[len(str(self.root)) :].lstrip("/")
            except OSError:  # removed meanwhile
                continue
