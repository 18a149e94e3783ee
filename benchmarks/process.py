"""A pid in; its memory, CPU time and open files out, as the kernel counts them; also the machine's switches, slab."""

import os
import re
import select
import subprocess
from contextlib import suppress
from pathlib import Path


def resident_mb(pid: int) -> float:
    """Resident memory of a process in units of 10⁶ bytes (VmRSS)."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s*(\d+)", text, re.MULTILINE)[1]) * 1024 / 1e6


def cpu_ns(pid: int) -> int:
    """CPU time of all living threads of a process in nanoseconds, from ``/proc/<pid>/task/*/schedstat``."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):  # the thread has ended
            total += int(path.read_text().split()[0])
    return total


def wait(process: subprocess.Popen, timeout_s: float) -> None:
    """Wait until a process has ended. Popen's own wait with a time-out looks every 50 ms at most, which is too coarse
    for what takes some milliseconds.

    Raises :class:`subprocess.TimeoutExpired`.
    """
    descriptor = os.pidfd_open(process.pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], timeout_s)
    finally:
        os.close(descriptor)
    process.wait(None if ended else 0)


def open_files(pid: int) -> int:
    """Number of open file descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def context_switches() -> int:
    """Context switches of the whole machine since boot."""
    return int(re.search(r"^ctxt (\d+)", Path("/proc/stat").read_text(), re.MULTILINE)[1])


def slab_objects(text: str | None = None) -> dict[str, tuple[int, int]]:
    """Name of each slab cache → objects in use, and the size of one in bytes (/proc/slabinfo)."""
    lines = (Path("/proc/slabinfo").read_text() if text is None else text).splitlines()[2:]
    fields = (line.split() for line in lines)
    return {name: (int(used), int(size)) for name, used, _, size, *_ in fields}
