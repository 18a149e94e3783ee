"""Files of /proc in; processes and threads out, each with its start, which tells it from another with its number.

:func:`schedtel.host.procfs.read_thread` reads four files of a thread for telemetry. Here one is enough, and it is read
for each thread of a tree several times a second.
"""

import os
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from typing import NamedTuple

from schedtel.host.procfs import read_file, read_stat

#: Of the lists of a process's children: it forks and waits all the time if so many differ.
_MOST_READINGS = 100
#: Ticks of the clock in which /proc tells starts.
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_NS_PER_S = 1_000_000_000


class Thread(NamedTuple):
    """A thread of /proc. ``start`` is its start in clock ticks since boot, and ``parent`` the process that has it."""

    tid: int
    tgid: int
    start: int
    parent: int
    comm: bytes
    is_over: bool
    is_kernel_thread: bool

    def as_seen(self) -> "Seen":
        """The thread as the telemetry would name it, if it had started with its clock tick."""
        return Seen(self.tgid, self.tid, self.start * _NS_PER_S // TICKS_PER_S)


class Seen(NamedTuple):
    """A thread as the telemetry names it. ``start_ns`` is its start in nanoseconds since boot."""

    tgid: int
    tid: int
    start_ns: int


class Look:
    """One look at /proc: what was read is not read again.

    A thread may have ended since, and another may have its number. So who changes a thread reads it once more.
    """

    def __init__(self) -> None:
        self._threads: dict[tuple[int, int], Thread | None] = {}
        self._tids: dict[int, list[int]] = {}
        self._children: dict[int, list[int]] = {}

    def thread(self, tgid: int, tid: int) -> Thread | None:
        """The thread; None if there is none."""
        key = (tgid, tid)
        if key not in self._threads:
            self._threads[key] = read_thread(tgid, tid)
        return self._threads[key]

    def threads_of(self, tgid: int) -> Iterator[Thread]:
        """The threads of a process that are not over."""
        for tid in self._tids_of(tgid):
            thread = self.thread(tgid, tid)
            if thread and not thread.is_over:
                yield thread

    @cached_property
    def processes(self) -> dict[int, Thread]:
        """Every process that is no kernel thread, by its pid, as its first thread; also those that are over."""
        found = (self.thread(int(name), int(name)) for name in os.listdir("/proc") if name.isdigit())
        return {leader.tgid: leader for leader in found if leader and not leader.is_kernel_thread}

    def children(self, tgid: int) -> list[int]:
        """The processes whose parent a process is: by the kernel's word where it gives it, else among all processes."""
        if not _has_children():
            return self._by_parent.get(tgid, [])
        if tgid not in self._children:
            self._children[tgid] = children_of(tgid)
        return self._children[tgid]

    def descendants(self, roots: Iterable[int]) -> set[int]:
        """Processes and all that are below them."""
        found, ahead = set[int](), list(roots)
        while ahead:
            process = ahead.pop()
            if process not in found:
                found.add(process)
                ahead += self.children(process)
        return found

    @cached_property
    def _by_parent(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for leader in self.processes.values():
            found.setdefault(leader.parent, []).append(leader.tgid)
        return found

    def _tids_of(self, tgid: int) -> list[int]:
        if tgid not in self._tids:
            self._tids[tgid] = _tids_of(tgid)
        return self._tids[tgid]


def read_thread(tgid: int, tid: int) -> Thread | None:
    """The thread as it is now; None if there is none."""
    try:
        stat = read_stat(f"/proc/{tgid}/task/{tid}")
    except (OSError, ValueError):
        return None
    return Thread(tid, tgid, stat.start_ticks, stat.parent, stat.comm, stat.is_over, stat.is_kernel_thread)


def still_there(seen: Iterable[Seen], look: Look) -> Iterator[Thread]:
    """Those that still are the threads that were seen: a tid may have another thread by now."""
    for one in seen:
        thread = look.thread(one.tgid, one.tid)
        if thread and thread.start == one.start_ns * TICKS_PER_S // _NS_PER_S:
            yield thread


def boot_ticks() -> int:
    """Clock ticks since boot, as a thread that starts now has them: by the clock of this time namespace."""
    with open("/proc/uptime", encoding="ascii") as file:
        seconds, _, hundredths = file.read().split()[0].partition(".")
    return int(seconds) * TICKS_PER_S + int(hundredths) * TICKS_PER_S // 100


def _tids_of(tgid: int) -> list[int]:
    try:
        return list(map(int, os.listdir(f"/proc/{tgid}/task")))
    except OSError:  # it has ended
        return []


def children_of(tgid: int) -> list[int]:
    """The processes whose parent a process is, as the kernel lists them for each of its threads.

    A list lacks a child if another one is waited for just then, or if the thread ends and others get its children
    (get_children_pid(), fs/proc/array.c). The next reading then lacks that other child, or that thread. So two readings
    that agree lack none.
    """
    before = None
    for _ in range(_MOST_READINGS):
        now = {tid: _listed(tgid, tid) for tid in _tids_of(tgid)}
        if now == before or (now.keys() == {tgid} and not now[tgid]):  # an empty list of the only thread is true
            break
        before = now
    return [int(child) for listed in now.values() for child in listed.split()]


@cache
def _has_children() -> bool:
    """Whether this kernel tells children (CONFIG_PROC_CHILDREN)."""
    return os.path.exists("/proc/thread-self/children")


def _listed(tgid: int, tid: int) -> bytes:
    """The children that a thread is the parent of, as the kernel lists them; none once it has ended."""
    try:
        return read_file(f"/proc/{tgid}/task/{tid}/children")
    except OSError:
        return b""
