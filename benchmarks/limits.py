"""Limits of the machine, raised inside a context and always restored after it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SPARE = 2_000
_SYSCTLS = ("kernel/pid_max", "kernel/threads-max")
_BYTES_A_THREAD = 40_000
_MEMORY_PART = 0.4


@contextmanager
def room_for_threads(count: int) -> Iterator[None]:
    """Inside the context, pid_max and threads-max allow ``count`` more threads; they are restored after it.

    ``ulimit -u`` does not limit root.
    """
    previous = {name: _sysctl(name) for name in _SYSCTLS}
    try:
        for name, value in previous.items():
            if value < count + _SPARE + running_threads():
                _set(name, count + _SPARE + running_threads())
        yield
    finally:
        for name, value in previous.items():
            if _sysctl(name) != value:
                _set(name, value)


def running_threads() -> int:
    """The number of threads that exist, from the second last field of /proc/loadavg."""
    return int(Path("/proc/loadavg").read_text().split()[3].split("/")[1])


def most_threads() -> int:
    """How many threads fit into ``_MEMORY_PART`` of the free memory, with their stacks and the kernel's structures."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(free * _MEMORY_PART / _BYTES_A_THREAD)


def _sysctl(name: str) -> int:
    return int((Path("/proc/sys") / name).read_text())


def _set(name: str, value: int) -> None:
    (Path("/proc/sys") / name).write_text(f"{value}\n")
