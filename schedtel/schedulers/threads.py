"""Files of /proc in; processes and threads out, each with its start, which tells it from another with its number.

:mod:`schedtel.host.procfs` reads four files of a thread for telemetry. Here one is enough, and it is read for each
thread of a tree several times a second.
"""

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_PF_KTHREAD = 0x00200000
_OVER = b"ZXx"
#: A line of stat is shorter; of its fields behind the name, these are read.
_MOST_READ, _FIELDS = 4096, 20
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


class Seen(NamedTuple):
    """A thread as the telemetry names it. ``start_ns`` is its start in nanoseconds since boot."""

    tgid: int
    tid: int
    start_ns: int


def read_thread(tgid: int, tid: int) -> Thread | None:
    """The thread as it is now; None if there is none."""
    try:
        # A file object would take as long as the kernel does, for each thread of the machine.
        file = os.open(f"/proc/{tgid}/task/{tid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            stat = os.read(file, _MOST_READ)
        finally:
            os.close(file)
    except OSError:
        return None
    name, _, rest = stat.rpartition(b")")
    fields = rest.split(None, _FIELDS)
    return Thread(
        tid=tid,
        tgid=tgid,
        start=int(fields[19]),
        parent=int(fields[1]),
        comm=name.partition(b"(")[2],
        is_over=fields[0] in _OVER,
        is_kernel_thread=bool(int(fields[6]) & _PF_KTHREAD),
    )


def still_there(seen: Iterable[Seen]) -> Iterator[int]:
    """The tids of those that still are the threads that were seen: a tid may have another thread by now."""
    for one in seen:
        thread = read_thread(one.tgid, one.tid)
        if thread and thread.start == one.start_ns * TICKS_PER_S // _NS_PER_S:
            yield one.tid


def processes() -> dict[int, Thread]:
    """Every process that is no kernel thread, by its pid, as its first thread; also those that are over."""
    found = (read_thread(int(name), int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {leader.tgid: leader for leader in found if leader and not leader.is_kernel_thread}


def threads_of(tgid: int) -> Iterator[Thread]:
    """The threads of a process that are not over."""
    try:
        tids = os.listdir(f"/proc/{tgid}/task")
    except OSError:  # it has ended
        return
    for thread in (read_thread(tgid, int(tid)) for tid in tids):
        if thread and not thread.is_over:
            yield thread


def children(of: dict[int, Thread]) -> dict[int, list[int]]:
    """Process → its children, of what :func:`processes` returned."""
    found: dict[int, list[int]] = {}
    for leader in of.values():
        found.setdefault(leader.parent, []).append(leader.tgid)
    return found


def descendants(roots: list[int], below: dict[int, list[int]]) -> set[int]:
    """Processes and all that are below them, of what :func:`children` returned."""
    found, ahead = set(), list(roots)
    while ahead:
        process = ahead.pop()
        if process not in found:
            found.add(process)
            ahead += below.get(process, ())
    return found


def boot_ticks() -> int:
    """Clock ticks since boot, as a thread that starts now has them: by the clock of this time namespace."""
    with open("/proc/uptime", encoding="ascii") as file:
        seconds, _, hundredths = file.read().split()[0].partition(".")
    return int(seconds) * TICKS_PER_S + int(hundredths) * TICKS_PER_S // 100
