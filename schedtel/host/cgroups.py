"""The cgroup hierarchies of this machine: where they are mounted, their directories, and the paths of cgroup ids."""

import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path

from schedtel.errors import CapabilityError
from schedtel.host import procfs

#: Inode of a kernfs root (fs/kernfs/dir.c), and so the id of the machine's root cgroup.
_ROOT_CGROUP = 1


#: What to do where only a part is to be seen.
SEE_ALL_CGROUPS = "run the container with --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:ro"


def cgroup_root() -> Path:
    """Where the cgroup v2 hierarchy is mounted, all of it if possible; raises :class:`CapabilityError` if nowhere."""
    mounts = [Path(mount.point) for mount in procfs.mounts() if mount.kind == "cgroup2"]
    if mounts:
        return next(filter(is_whole, mounts), mounts[0])
    raise CapabilityError(
        "cannot find cgroups: no cgroup v2 hierarchy is mounted (mount -t cgroup2 none /sys/fs/cgroup)"
    )


def is_whole(root: Path) -> bool:
    """Whether a cgroup v2 mount shows the machine's cgroups, and not only those of a container and below."""
    try:
        return root.stat().st_ino == _ROOT_CGROUP
    except OSError:  # another mount hides it
        return False


def directories(root: str) -> Iterator[str]:
    """A directory of cgroupfs and all below it. One without any below has two links (fs/kernfs): it is not listed."""
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
    """The hierarchy that has the cpu controller: a v1 mount with it, else v2. Looked up once, not in every window."""
    for mount in procfs.mounts():
        if mount.kind == "cgroup" and "cpu" in mount.options:
            return mount.point
    try:
        return str(cgroup_root())
    except CapabilityError:
        return None


class CgroupPaths:
    """Looks up cgroup paths by id (the inode number of the directory) and remembers those that have gone.

    A container that sees only its own part of the cgroups would call that part ``/``, and the others nothing: there the
    names are the ids, ``id:4711``, which are at least those of the machine.
    """

    def __init__(self) -> None:
        try:
            self.root: Path | None = cgroup_root()
        except CapabilityError:
            self.root = None
        self._named = self.root is None or is_whole(self.root)
        self._paths: dict[int, str] = {}
        self._scanned = -1.0

    def path_of(self, identity: int) -> str | None:
        """Path inside the hierarchy, ``/`` for its root; None when the cgroup was gone before it was ever seen."""
        if not self._named:
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
