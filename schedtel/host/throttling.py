"""The cpu.stat files of cgroups in; the cgroups that a bandwidth limit has throttled since the last call, out."""

import os
import time
from collections.abc import Iterable, Iterator

from schedtel.access.descriptors import EXHAUSTED
from schedtel.foreign_text import text_of_path
from schedtel.host.cgroups import cpu_hierarchy, directories
from schedtel.records.throttled import Throttled

#: The tree is searched for new limits once a second, and less often where that would take more than 0.1 % of a CPU: a
#: thousand cgroups take 35 ms to visit.
_SEARCH_EVERY_NS, _SEARCH_SHARE = 1_000_000_000, 1000

_Counts = tuple[int, int, int]
_NOTHING: _Counts = (0, 0, 0)
_UNKNOWN = ("", _NOTHING)


def _read(directory: str, before: _Counts) -> _Counts:
    """Time throttled in ns, periods, throttled periods; zeros for a cgroup that never had a limit, or is removed.

    :param before: the reading before this one; it stands if no descriptor is left, and the next one has the difference.
    """
    try:
        with open(f"{directory}/cpu.stat", encoding="ascii") as file:
            fields = dict(line.split() for line in file)
        in_v2_ns = int(fields.get("throttled_usec", 0)) * 1000
        throttled_ns = int(fields.get("throttled_time", in_v2_ns))  # v1 counts nanoseconds
        return throttled_ns, int(fields.get("nr_periods", 0)), int(fields.get("nr_throttled", 0))
    except (OSError, ValueError) as error:
        return before if getattr(error, "errno", None) in EXHAUSTED else _NOTHING


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
        #: Those that have left their path since the last search: the next one finds them under a new name, or never.
        self._lost: dict[int, tuple[str, _Counts]] = {}
        self._search_ns = 0
        self.since_last()

    def since_last(self) -> list[Throttled]:
        """The cgroups that had a period since the last call, the one throttled longest first."""
        before, last_search_ns = self._lost | self._limited, self._search_ns
        # The known ones as well: without a descriptor, a search does not find them.
        known = {path: inode for inode, (path, _) in self._limited.items()}
        now = (
            (inode, directory, _read(directory, before.get(inode, _UNKNOWN)[1]))
            for directory in dict.fromkeys(self._directories(known))
            if (inode := _inode(directory, known.get(directory, 0)))
        )
        self._limited = {inode: (directory, counts) for inode, directory, counts in now if counts[1]}
        searched = self._search_ns != last_search_ns
        self._lost = {} if searched else {inode: before[inode] for inode in before.keys() - self._limited.keys()}
        with_periods = [
            Throttled(self._path(directory), *changed)
            for inode, (directory, counts) in self._limited.items()
            if (changed := _since(before.get(inode, _UNKNOWN)[1], counts))[1]
        ]
        return sorted(with_periods, key=lambda throttled: -throttled.throttled_ns)

    def _directories(self, known: Iterable[str]) -> Iterator[str]:
        """Directories of the cgroups known to have a limit; when a search is due, of all cgroups."""
        start = time.monotonic_ns()
        yield from known
        if start < self._search_ns or self._root is None:
            return
        # A cgroup without a path cannot be read in each window.
        yield from (directory.path for directory in directories(self._root) if directory.path is not None)
        end = time.monotonic_ns()
        self._search_ns = end + max(_SEARCH_EVERY_NS, _SEARCH_SHARE * (end - start))

    def _path(self, directory: str) -> str:
        return text_of_path(directory.removeprefix(str(self._root).rstrip("/"))) or "/"


def _inode(directory: str, before: int) -> int:
    """The inode of a cgroup's directory; 0 if it is removed. ``before`` stands if the kernel lacks memory to tell."""
    try:
        return os.stat(directory).st_ino
    except OSError as error:
        return before if error.errno in EXHAUSTED else 0


def _since(before: _Counts, now: _Counts) -> _Counts:
    """The difference of two readings; all of the second where the cgroup was made anew and counts from zero."""
    if now[1] < before[1]:
        return now
    return now[0] - before[0], now[1] - before[1], now[2] - before[2]
