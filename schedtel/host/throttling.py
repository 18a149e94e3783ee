"""The cpu.stat files of cgroups in; the cgroups that a bandwidth limit has throttled since the last call, out."""

import os
import time
from collections.abc import Iterator

from schedtel.foreign_text import text_of_path
from schedtel.host.cgroups import cpu_hierarchy, directories
from schedtel.records.throttled import Throttled

#: The tree is searched for new limits once a second, and less often where that would take more than 0.1 % of a CPU: a
#: thousand cgroups take 35 ms to visit.
_SEARCH_EVERY_NS, _SEARCH_SHARE = 1_000_000_000, 1000

_Counts = tuple[int, int, int]


def _read(directory: str) -> _Counts:
    """Time throttled in ns, periods, throttled periods; zeros for a cgroup that never had a limit, or is removed."""
    try:
        with open(f"{directory}/cpu.stat", encoding="ascii") as file:
            fields = dict(line.split() for line in file)
        in_v2_ns = int(fields.get("throttled_usec", 0)) * 1000
        throttled_ns = int(fields.get("throttled_time", in_v2_ns))  # v1 counts nanoseconds
        return throttled_ns, int(fields.get("nr_periods", 0)), int(fields.get("nr_throttled", 0))
    except (OSError, ValueError):
        return 0, 0, 0


class Throttling:
    """Counts of bandwidth limits, as differences from one call to the next.

    A cgroup without a limit counts no periods. So each call reads only the cgroups that have counted some. A cgroup
    that a later search finds has counted from zero: nothing of it is missed, though it is reported a little late.

    A cgroup is known by its inode: v1 hierarchies let it be renamed, and it counts on under its new name.
    """

    def __init__(self, root: str | None = None) -> None:
        self._root = root or cpu_hierarchy()
        #: Inode of a cgroup's directory → its path and what it had counted.
        self._limited: dict[int, tuple[str, _Counts]] = {}
        self._search_ns = 0
        self.since_last()

    def since_last(self) -> list[Throttled]:
        """The cgroups that had a period since the last call, the one throttled longest first."""
        before = self._limited
        now = ((_inode(directory), directory, _read(directory)) for directory in self._directories())
        self._limited = {inode: (directory, counts) for inode, directory, counts in now if inode and counts[1]}
        with_periods = [
            Throttled(self._path(directory), *changed)
            for inode, (directory, counts) in self._limited.items()
            if (changed := _since(before.get(inode, ("", (0, 0, 0)))[1], counts))[1]
        ]
        return sorted(with_periods, key=lambda throttled: -throttled.throttled_ns)

    def _directories(self) -> Iterator[str]:
        """Directories of the cgroups known to have a limit; when a search is due, of all cgroups."""
        start = time.monotonic_ns()
        if start < self._search_ns or self._root is None:
            yield from (directory for directory, _ in self._limited.values())
            return
        # A cgroup without a path cannot be read in each window.
        yield from (directory.path for directory in directories(self._root) if directory.path is not None)
        end = time.monotonic_ns()
        self._search_ns = end + max(_SEARCH_EVERY_NS, _SEARCH_SHARE * (end - start))

    def _path(self, directory: str) -> str:
        return text_of_path(directory.removeprefix(str(self._root).rstrip("/"))) or "/"


def _inode(directory: str) -> int:
    """The inode of a cgroup's directory; 0 if it is removed."""
    try:
        return os.stat(directory).st_ino
    except OSError:
        return 0


def _since(before: _Counts, now: _Counts) -> _Counts:
    """The difference of two readings; all of the second where the cgroup was made anew and counts from zero."""
    if now[1] < before[1]:
        return now
    return now[0] - before[0], now[1] - before[1], now[2] - before[2]
