"""Loads of a known amount of work, each bounded; and threads and processes that wake up when they are told to."""

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
#: Of a chunk of the load generator's pipe.
PIPE_TRIPS = 500
#: Groups of 20 senders, each of which sends so many messages to each of 20 receivers.
_GROUPS, _LOOPS = 10, 50
MESSAGES = _GROUPS * _LOOPS * 20 * 20


class Chunk(NamedTuple):
    """So many round trips of the pipe, and the yardstick beside them: longer while others use the core."""

    took_ns: int
    yardstick_ns: int


def pinned_cpu() -> int:
    """The CPU that pinned loads run on: the last one allowed, since the first takes most interrupts."""
    return max(os.sched_getaffinity(0))


def has_perf() -> bool:
    """True when perf, whose bench makes two of the loads, is installed."""
    return tool("perf") is not None


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _load(mode: str, *arguments: int) -> list[int]:
    """Runs the load generator; the numbers it prints."""
    return [int(word) for word in _run([str(builds.load_program()), mode, *map(str, arguments)]).split()]


def pipe(trips: int) -> list[Chunk]:
    """So many round trips between two tasks on one CPU: 2 switches, 1 to 2 wakeups each."""
    numbers = iter(_load("pipe", trips, pinned_cpu()))
    return [Chunk(*pair) for pair in zip(numbers, numbers, strict=True)]


def messaging() -> None:
    """``perf bench sched messaging``: so many ``MESSAGES`` among 400 processes."""
    _run([str(tool("perf")), "bench", "-f", "simple", "sched", "messaging", "-g", str(_GROUPS), "-l", str(_LOOPS)])


def cpu_ns(load: Callable[[], object]) -> float:
    """Nanoseconds of CPU time of all processes of a load, which waits for them.

    One that keeps every CPU busy lasts that long, divided by the CPUs; but of what a hypervisor takes meanwhile,
    nothing is in its CPU time.
    """
    before = _children_s()
    load()
    return (_children_s() - before) * 1e9


def _children_s() -> float:
    """Seconds of CPU time of all children that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def forks_ns(count: int, lanes: int = 2) -> float:
    """Nanoseconds of so many processes that are forked, exec and end, in so many lanes."""
    return _load("forks", count, lanes)[0]


def lives_ns(count: int, lanes: int = 2) -> float:
    """Nanoseconds of so many threads that end at once, in so many lanes."""
    return _load("lives", count, lanes)[0]


def spin_ns(millions: int) -> float:
    """Nanoseconds of a fixed amount of arithmetic on every CPU at once."""
    return _load("spin", millions)[0]


@contextmanager
def yardstick() -> Iterator[list[int]]:
    """On leaving, the nanoseconds of each piece of work that the CPUs did now and then meanwhile, shortest first."""
    pieces: list[int] = []
    command = [str(builds.load_program()), "yardstick"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield pieces
        pieces += map(int, process.communicate()[0].split())
    if not pieces:
        raise BenchmarkError("the yardstick measured nothing (real-time priority needs root, and RLIMIT_RTPRIO)")


def switches_per_second(rate: int, milliseconds: int) -> float:
    """Switches a second that pairs of tasks on every CPU managed, of so many that they were asked for."""
    switches, nanoseconds = _load("switches", rate, milliseconds)
    return switches * 1e9 / nanoseconds


class Workers:
    """Many sleeping threads or processes, of which as many as asked for wake up once."""

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
        """Wake the first so many once, or all; returns when all of them have been awake."""
        self._process.stdin.write(f"{self._count if count is None else count}\n")
        self._process.stdin.flush()
        self._line()


@contextmanager
def workers(count: int, kind: str = "threads") -> Iterator[Workers]:
    """So many threads (or ``processes``), all asleep; they end with the context, or with us."""
    command = [str(builds.load_program()), kind, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            load = Workers(process, count)
            load.pulse()
            yield load
        finally:
            process.stdin.close()
            process.wait(120)
