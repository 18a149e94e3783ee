"""Limits of the machine: raised for a while and put back, whatever happens."""

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
    """pid_max and threads-max are high enough inside, and what they were outside. Root's ulimit -u does not bind."""
    before = {name: _sysctl(name) for name in _SYSCTLS}
    try:
        for name, value in before.items():
            if value < count + _SPARE + running_threads():
                _set(name, count + _SPARE + running_threads())
        yield
    finally:
        for name, value in before.items():
            if _sysctl(name) != value:
                _set(name, value)


def running_threads() -> int:
    """Threads that exist already, by the last field but one of /proc/loadavg."""
    return int(Path("/proc/loadavg").read_text().split()[3].split("/")[1])


def most_threads() -> int:
    """How many threads fit into a part of the memory that is free now; a thread takes its stacks and books."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(free * _MEMORY_PART / _BYTES_A_THREAD)


def _sysctl(name: str) -> int:
    return int((Path("/proc/sys") / name).read_text())


def _set(name: str, value: int) -> None:
    (Path("/proc/sys") / name).write_text(f"{value}\n")
