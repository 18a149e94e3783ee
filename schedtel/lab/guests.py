"""Jobs in; what each did in a guest of its own, in the order in which they end, out. Guests run side by side."""

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from schedtel.lab import packages
from schedtel.lab.frames import STDERR
from schedtel.lab.machine import Boot, Bootable, Machine
from schedtel.lab.snapshot import beginning
from schedtel.latch import Latch

_MEMORY = Path("/proc/meminfo")
#: What qemu takes beside the guest's memory.
_QEMU_MB = 200


@dataclass(frozen=True)
class Job:
    """What one guest does: its name, and its files by their paths in the guest."""

    name: str
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Done:
    """What a job did: its exit status, its stderr, and what it left in ``/out``, as a tar archive."""

    status: int
    said: bytes
    results: bytes


class Places(Protocol):
    """Where guests run: see :class:`Guests` for what the methods do."""

    def done(self, work: Sequence[Job], begin: Callable[[Job], object]) -> Iterator[tuple[Job, Done]]: ...

    def stop(self) -> None: ...


def local_guests(
    machine: Machine,
    schedulers: Mapping[str, bytes],
    most: int | None = None,
    notice: Callable[[str], object] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
    timeout_s: float = 900,
) -> "Guests | None":
    """Guests on this host, as many side by side as it has CPUs and memory for. None if it was stopped meanwhile.

    :param schedulers: files that all of them have, by paths in the guest.
    :param most: how many run side by side, if memory is there; by default this host's CPUs.
    :param notice: called with a line before what takes long, and where memory is not there.

    Raises :class:`CollectorError` where a guest cannot be booted.
    """
    wanted = len(os.sched_getaffinity(0)) if most is None else most
    free, each = _free_memory_mb(), machine.memory_mb + _QEMU_MB
    fitting = max(1, free // each)
    if fitting < wanted:
        notice(f"{fitting} guests at a time, not {wanted}: of the memory, {free} MB are free, and each takes {each} MB")
    start = beginning(machine, schedulers, notice, stopped)
    return Guests(start, min(wanted, fitting), timeout_s) if start else None


def _free_memory_mb() -> int:
    fields = dict(line.split(":") for line in _MEMORY.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) // 1024


class Guests:
    """Guests on this host.

    :param start: what each of them begins from.
    :param most: how many run side by side.
    :param timeout_s: for each job, on the host's clock.
    """

    def __init__(self, start: Bootable, most: int, timeout_s: float) -> None:
        self._start, self._most, self._timeout_s = start, most, timeout_s
        self._stopped = Latch()

    def stop(self) -> None:
        """End all guests. Safe in a signal handler and from any thread."""
        self._stopped.set()

    def done(self, work: Sequence[Job], begin: Callable[[Job], object]) -> Iterator[tuple[Job, Done]]:
        """Do all jobs; yields each with what it did. It ends early if it was stopped.

        :param begin: called in this thread when a job has begun.

        Raises what :meth:`Boot.run` raises. Guests that still run are ended when this ends, however it does.
        """
        waiting, told = deque(work), queue.SimpleQueue[Job | tuple[Job, Done] | BaseException | None]()
        threads = [
            threading.Thread(target=self._work, args=(number, waiting, told.put), name=f"guest {number}")
            for number in range(min(self._most, len(work)))
        ]
        for thread in threads:
            thread.start()
        try:
            yield from _told(told.get, len(threads), begin)
        finally:
            self.stop()
            for thread in threads:
                thread.join()

    def _work(
        self, number: int, waiting: deque[Job], tell: Callable[[Job | tuple[Job, Done] | BaseException | None], object]
    ) -> None:
        """Do jobs until there are none; tells each job when it begins and when it is done, an error, and the end."""
        try:
            while waiting and not self._stopped.is_set():
                job = waiting.popleft()
                tell(job)
                done = self._do(number, job)
                if done:
                    tell((job, done))
        except IndexError:  # another thread took the last one
            pass
        except BaseException as error:  # noqa: BLE001  (raised again in the thread that waits)
            tell(error)
        tell(None)

    def _do(self, number: int, job: Job) -> Done | None:
        """None if it was stopped."""
        with packages.scratch() as directory:
            said = bytearray()
            answer = Boot(self._start, directory, self._stopped, number).run(
                job.files, lambda kind, text: said.extend(text if kind == STDERR else b""), self._timeout_s
            )
            return Done(answer.status, bytes(said), (directory / "results").read_bytes()) if answer else None


def _told(
    get: Callable[[], Job | tuple[Job, Done] | BaseException | None], working: int, begin: Callable[[Job], object]
) -> Iterator[tuple[Job, Done]]:
    """What threads tell, until each of them has ended."""
    while working:
        told = get()
        if isinstance(told, BaseException):
            raise told
        if told is None:
            working -= 1
        elif isinstance(told, Job):
            begin(told)
        else:
            yield told
