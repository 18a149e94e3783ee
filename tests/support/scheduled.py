"""How a thread is scheduled, by the kernel's own files and Python's own calls: never by schedtel's."""

import os
import re
from pathlib import Path

OTHER, BATCH, IDLE, RR = os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_IDLE, os.SCHED_RR


def policy_of(tid: int) -> int:
    """The policy in /proc/TID/stat (proc(5), field 41)."""
    return int(Path(f"/proc/{tid}/stat").read_text().rpartition(")")[2].split()[38])


def nice_of(tid: int) -> int:
    """The nice value in /proc/TID/stat (proc(5), field 19)."""
    return int(Path(f"/proc/{tid}/stat").read_text().rpartition(")")[2].split()[16])


def priority_of(tid: int) -> int:
    """The real-time priority in /proc/TID/stat (proc(5), field 40)."""
    return int(Path(f"/proc/{tid}/stat").read_text().rpartition(")")[2].split()[37])


def slice_ns_of(tid: int) -> int | None:
    """The slice in /proc/TID/sched; None if this kernel shows none."""
    found = re.search(r"^se\.slice\s*:\s*(\d+)$", Path(f"/proc/{tid}/sched").read_text(), re.MULTILINE)
    return int(found[1]) if found else None


def cpu_ns_of(tid: int) -> int:
    """CPU time by /proc/TID/schedstat."""
    return int(Path(f"/proc/{tid}/schedstat").read_text().split()[0])


def cpu_of(tid: int) -> int:
    """The CPU on which it ran last, in /proc/TID/stat (proc(5), field 39)."""
    return int(Path(f"/proc/{tid}/stat").read_text().rpartition(")")[2].split()[36])


def autogroup_of(pid: int) -> str:
    return Path(f"/proc/{pid}/autogroup").read_text().strip()


def all_of(tid: int) -> tuple[object, ...]:
    """Everything that an arm may change of a thread."""
    return policy_of(tid), nice_of(tid), priority_of(tid), slice_ns_of(tid), frozenset(os.sched_getaffinity(tid))


def threads_of(pid: int) -> list[int]:
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


def children_of(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    """Whether a process is there and not over; init may take its time to wait for an orphan."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
