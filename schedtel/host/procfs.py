"""Files of /proc in; threads, mounts and the name of the boot out.

The bcc backend needs the threads: it cannot walk tasks in the kernel.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PF_KTHREAD = 0x00200000
#: Inode of the initial pid namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h). Its pids are the kernel's own.
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC
_MOST_PIDS = 4 << 20
_RUNNABLE = "R"
#: States of a thread that has exited.
_OVER = "ZXx"
#: Bytes of a file that are read at a time.
_MOST_READ = 4096


@dataclass(frozen=True)
class Thread:
    """One thread, as its files in /proc describe it.

    ``arrival_ns`` is the start on CLOCK_MONOTONIC, ``start_boottime_ns`` on CLOCK_BOOTTIME, both to the clock tick.
    """

    tid: int
    tgid: int
    parent: int
    comm: bytes
    state: str
    kernel_thread: bool
    start_boottime_ns: int
    arrival_ns: int
    cpu_ns: int
    prio: int
    policy: int
    uid: int
    cgroup: str | None

    @property
    def runnable(self) -> bool:
        """Whether it runs or waits for a CPU."""
        return self.state == _RUNNABLE

    @property
    def over(self) -> bool:
        """Whether it has exited and only remains until its parent waits for it."""
        return self.state in _OVER


class Stat(NamedTuple):
    """A line of ``stat``: the name, and the fields behind it, from the state on."""

    comm: bytes
    fields: list[bytes]

    @property
    def is_over(self) -> bool:
        """Whether the thread has exited and only remains until its parent waits for it."""
        return self.fields[0].decode() in _OVER

    @property
    def is_runnable(self) -> bool:
        """Whether it runs or waits for a CPU."""
        return self.fields[0].decode() == _RUNNABLE

    @property
    def is_kernel_thread(self) -> bool:
        return bool(int(self.fields[6]) & _PF_KTHREAD)

    @property
    def parent(self) -> int:
        return int(self.fields[1])

    @property
    def start_ticks(self) -> int:
        """Since boot."""
        return int(self.fields[19])

    @property
    def cpu(self) -> int:
        """Where it runs, waits, or last ran."""
        return int(self.fields[36])


@dataclass(frozen=True)
class Mount:
    """A mount: its path, the type of its filesystem, and the filesystem's own options."""

    point: str
    kind: str
    options: tuple[str, ...]


def mounts(mountinfo: str = "/proc/self/mountinfo") -> list[Mount]:
    """The mounts of this process. A mount's source may be empty, and its path in any encoding (proc(5))."""
    with open(mountinfo, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        lines = [line.rstrip("\n").partition(" - ") for line in file]
    return [
        Mount(fields.split(" ")[4], source.split(" ")[0], tuple(source.rpartition(" ")[2].split(",")))
        for fields, _, source in lines
    ]


def sees_all_pids() -> bool:
    """Whether this process's /proc has the kernel's own pids: not in a container with a pid namespace."""
    return os.stat("/proc/self/ns/pid").st_ino == _INITIAL_PID_NAMESPACE


def thread_count() -> int:
    """How many threads there are on this machine."""
    with open("/proc/loadavg", encoding="ascii") as file:
        return int(file.read().split()[3].split("/")[1])


def most_tids() -> int:
    """One more than the highest tid that the kernel may give."""
    with open("/proc/sys/kernel/pid_max", encoding="ascii") as file:
        return min(_MOST_PIDS, int(file.read())) + 1


def thread_ids() -> Iterator[tuple[int, int]]:
    """(tgid, tid) of every thread."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                tids = os.listdir(f"/proc/{entry}/task")
            except OSError:  # ended meanwhile
                continue
            yield from ((int(entry), int(tid)) for tid in tids)


def tgid_of(tid: int) -> int:
    """The tgid of a thread; 0 if the thread has ended."""
    try:
        return status_number(tid, b"Tgid")
    except (OSError, ValueError):
        return 0


def cpu_of(tid: int) -> int | None:
    """The CPU on which a thread runs or is queued; None if the thread has ended."""
    try:
        return read_stat(f"/proc/{tid}").cpu
    except (OSError, ValueError):
        return None


def read_stat(folder: str) -> Stat:
    """The stat of a thread, by its folder in /proc.

    Raises :class:`OSError` if the thread has ended, :class:`ValueError` for what is no line of stat.
    """
    line = read_file(f"{folder}/stat")
    end = line.rindex(b")")
    return Stat(line[line.index(b"(") + 1 : end], line[end + 2 :].split())


def status_number(task: str | int, name: bytes) -> int:
    r"""The first number of a line of ``/proc/TASK/status``.

    Only a newline ends a line. The kernel escapes it in the task's name (proc_task_name(), fs/proc/array.c), and no
    other character that Python takes for the end of a line: a task named ``\rTgid:\t1`` would have two tgids.

    Raises :class:`OSError` if the task has ended, :class:`ValueError` if there is no such line.
    """
    for line in read_file(f"/proc/{task}/status").split(b"\n"):
        if line.startswith(name + b":"):
            return int(line.split()[1])
    raise ValueError(f"/proc/{task}/status has no number {name.decode()}")


def read_thread(tgid: int, tid: int) -> Thread | None:
    """One thread as /proc describes it; None if it has ended."""
    root = f"/proc/{tgid}/task/{tid}"
    try:
        stat = read_stat(root)
        uid = status_number(f"{tgid}/task/{tid}", b"Uid")
    except (OSError, ValueError):
        return None
    start, fields = stat.start_ticks * _TICK_NS, stat.fields
    return Thread(
        tid=tid,
        tgid=tgid,
        parent=stat.parent,
        comm=stat.comm,
        state=fields[0].decode(),
        kernel_thread=stat.is_kernel_thread,
        start_boottime_ns=start,
        arrival_ns=max(1, start - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns())),
        cpu_ns=_cpu_ns(root, fields),
        prio=int(fields[15]) + 100,
        policy=int(fields[38]),
        uid=uid,
        cgroup=_cgroup(root),
    )


def _cgroup(root: str) -> str | None:
    """The path of its cgroup, as Python decodes paths; None if it has ended, or if the path is too long for the kernel.

    The kernel allows no newline in the name of a cgroup, but all else (cgroup_mkdir(), kernel/cgroup/cgroup.c).
    """
    try:
        lines = read_file(f"{root}/cgroup").split(b"\n")
    except OSError:
        return None
    return next((os.fsdecode(line[3:]) for line in lines if line.startswith(b"0::")), None)


def _cpu_ns(root: str, fields: list[bytes]) -> int:
    """CPU time since the thread's start: to the nanosecond where the kernel has schedstat, else to the clock tick."""
    try:
        return int(read_file(f"{root}/schedstat").split()[0])
    except (OSError, IndexError):
        return (int(fields[11]) + int(fields[12])) * _TICK_NS


def read_file(path: str) -> bytes:
    """A file of /proc. A file object would take as long as the kernel does, for each thread of a machine.

    Raises :class:`OSError` if what it is of has ended.
    """
    parts = []
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while part := os.read(file, _MOST_READ):
            parts.append(part)
    finally:
        os.close(file)
    return b"".join(parts)


def boot_id() -> str:
    """What the kernel calls this boot of the machine: another text after each restart."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
