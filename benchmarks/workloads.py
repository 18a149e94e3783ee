"""Loads of a known amount of work, each bounded: a pipe between two pinned tasks, and threads that wake on demand."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.peers import PeerError, tool

_LONGEST_S = 120


def pinned_cpu() -> int:
    """The CPU that pinned loads run on: the last one allowed, since the first takes most interrupts."""
    return max(os.sched_getaffinity(0))


def _pipe_command(loops: int) -> list[str]:
    bench = [tool("perf"), "bench", "-f", "simple", "sched", "pipe", "-l", str(loops)]
    return ["taskset", "-c", str(pinned_cpu()), *bench]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    if done.returncode:
        raise PeerError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def pipe_ns(loops: int) -> float:
    """Nanoseconds a round trip of ``perf bench sched pipe`` with both tasks on one CPU: 2 switches, 2 wakeups."""
    return float(_run(_pipe_command(loops)).split()[-1]) * 1e9 / loops


def recorded_pipe_ns(loops: int) -> float:
    """The same under ``perf sched record``, which writes every event to a file that is deleted afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        record = [tool("perf"), "sched", "record", "-o", os.path.join(directory, "perf.data"), "--"]
        return float(_run(record + _pipe_command(loops)).split()[-1]) * 1e9 / loops


class Threads:
    """Many sleeping threads in a process of their own, each of which can be made to wake up once."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def pulse(self) -> None:
        """Wake every thread once; returns when all sleep again."""
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        if not self._process.stdout.readline():
            raise PeerError("the threads ended (is ulimit -u, pids.max or kernel.pid_max too low?)")


@contextmanager
def threads(count: int) -> Iterator[Threads]:
    """A process with so many threads, all asleep."""
    command = [sys.executable, "-m", "benchmarks.workloads", str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        load = Threads(process)
        load.pulse()
        try:
            yield load
        finally:
            process.stdin.close()
            process.wait(30)


class _Pulses:
    """Serves pulses inside the process of the threads.

    Two semaphores are used in turn: a thread that has taken its token waits at the other one, so that nobody takes two.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._semaphores = [os.eventfd(0, os.EFD_SEMAPHORE) for _ in range(2)]
        self._done = os.eventfd(0)
        self._last = threading.Lock()
        self._left = count
        self.turn = 0

    def wait_for_tokens(self) -> None:
        turn = 0
        while True:
            os.eventfd_read(self._semaphores[turn])
            turn ^= 1
            with self._last:
                self._left -= 1
                if not self._left:
                    os.eventfd_write(self._done, 1)

    def pulse(self) -> None:
        self._left = self._count
        os.eventfd_write(self._semaphores[self.turn], self._count)
        self.turn ^= 1
        os.eventfd_read(self._done)


def _serve(count: int) -> None:
    # Waiting for the interpreter's lock, a thread wakes up every switch interval: thousands would do nothing else.
    sys.setswitchinterval(100)
    threading.stack_size(64 << 10)
    pulses = _Pulses(count)
    try:
        for _ in range(count):
            threading.Thread(target=pulses.wait_for_tokens, daemon=True).start()
    except RuntimeError as error:
        print(f"cannot start {count} threads: {error}", file=sys.stderr)
        os._exit(1)  # those that were started never end
    for _ in sys.stdin.buffer:
        pulses.pulse()
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
    os._exit(0)  # daemon threads asleep in a read cannot be joined


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
