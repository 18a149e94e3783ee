"""A fixed amount of work in; the time that it takes out. Also threads and processes that wake up on demand."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks import builds
from benchmarks.failures import BenchmarkError
from benchmarks.peers import tool

_LONGEST_S = 180
#: Round trips of a chunk of the load generator's pipe.
PIPE_TRIPS = 500
#: Groups of 20 senders and 20 receivers; messages from each sender to each receiver of its group.
_GROUPS, _LOOPS = 10, 50
MESSAGES = _GROUPS * _LOOPS * 20 * 20


class Chunk(NamedTuple):
    """Time of ``PIPE_TRIPS`` round trips, and of the yardstick beside them: longer if the core is shared."""

    took_ns: int
    yardstick_ns: int


def pinned_cpu() -> int:
    """The CPU for pinned loads: the last one allowed, since the first handles most interrupts."""
    return max(os.sched_getaffinity(0))


def has_perf() -> bool:
    """Whether perf is installed, whose ``perf bench`` makes the load :func:`messaging`."""
    return tool("perf") is not None


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _load(mode: str, *arguments: int) -> list[int]:
    """Run the load generator, and return the numbers that it prints."""
    return [int(word) for word in _run([str(builds.load_program()), mode, *map(str, arguments)]).split()]


def pipe(trips: int, cpu: int | None = None) -> list[Chunk]:
    """Run round trips between two tasks on one CPU, each with 2 switches and 1 to 2 wakeups.

    :param cpu: None: :func:`pinned_cpu`.
    """
    numbers = iter(_load("pipe", trips, pinned_cpu() if cpu is None else cpu))
    return [Chunk(*pair) for pair in zip(numbers, numbers, strict=True)]


def messaging() -> None:
    """Run ``perf bench sched messaging``: ``MESSAGES`` messages among 400 processes."""
    _run([str(tool("perf")), "bench", "-f", "simple", "sched", "messaging", "-g", str(_GROUPS), "-l", str(_LOOPS)])


def cpu_ns(load: Callable[[], object]) -> float:
    """Nanoseconds of CPU time of all processes of a load, which waits for them.

    For a load that keeps every CPU busy, this is its wall time times the number of CPUs, without the time that a
    hypervisor takes.
    """
    before = _children_s()
    load()
    return (_children_s() - before) * 1e9


def _children_s() -> float:
    """Seconds of CPU time of all children that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def forks_ns(count: int, lanes: int = 2) -> float:
    """Wall nanoseconds of ``count`` processes that are forked, exec and end, in parallel ``lanes``."""
    return _load("forks", count, lanes)[0]


def lives_ns(count: int, lanes: int = 2) -> float:
    """Wall nanoseconds of ``count`` threads that end immediately, in parallel ``lanes``."""
    return _load("lives", count, lanes)[0]


def spin_ns(millions: int) -> float:
    """Wall nanoseconds of so many million steps of arithmetic on every CPU at once."""
    return _load("spin", millions)[0]


@contextmanager
def yardstick() -> Iterator[list[int]]:
    """Run the yardstick inside the context. Afterwards the list has the nanoseconds of each piece, shortest first.

    Raises :class:`BenchmarkError` when no piece was measured.
    """
    pieces: list[int] = []
    command = [str(builds.load_program()), "yardstick"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield pieces
        pieces += map(int, process.communicate()[0].split())
    if not pieces:
        raise BenchmarkError("the yardstick measured nothing (real-time priority needs root, and RLIMIT_RTPRIO)")


def switches_per_second(rate: int, milliseconds: int) -> float:
    """Run pairs of tasks on every CPU at ``rate`` switches a second, and return the rate that they reached."""
    switches, nanoseconds = _load("switches", rate, milliseconds)
    return switches * 1e9 / nanoseconds


class Workers:
    """Many sleeping threads or processes; :meth:`pulse` wakes some or all of them once."""

    def __init__(self, process: subprocess.Popen, count: int) -> None:
        self._process, self._count = process, count
        first = self._line()
        self.pids = [int(word) for word in first.split()[:-1]]

    def _line(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError("the workers ended (is ulimit -u, pids.max or kernel.pid_max too low?)")
        return line

    def pulse(self, count: int | None = None) -> None:
        """Wake the first ``count`` workers once, or all; returns once each of them has run."""
        self._process.stdin.write(f"{self._count if count is None else count}\n")
        self._process.stdin.flush()
        self._line()


@contextmanager
def workers(count: int, kind: str = "threads") -> Iterator[Workers]:
    """Start ``count`` threads (or ``processes``), all asleep. They end with the context or with this process."""
    command = [str(builds.load_program()), kind, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            load = Workers(process, count)
            load.pulse()
            yield load
        finally:
            process.stdin.close()
            process.wait(120)
