"""Settings and a directory in; a network that has learned, in the directory's checkpoint, out.

A run that ended before it was done goes on from its checkpoint, however it ended.
"""

import fcntl
import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from schedtel.environments.registry import entry_of
from schedtel.errors import RecordingError, UsageError
from schedtel.training.learner import book, checkpoint
from schedtel.training.learner.algorithms import algorithm_of
from schedtel.training.learner.checkpoint import Checkpoint, Counters
from schedtel.training.learner.course import Course
from schedtel.training.learner.experience import Collector
from schedtel.training.learner.settings import Settings

#: Rows of the book, if the run is long enough.
_ROWS = 200
_LOCK = ".lock"
#: Seconds from one checkpoint to the next.
CHECKPOINT_S = 30.0


class Part(NamedTuple):
    """What was learned from at a time.

    :param reward: mean of a step.
    :param age: updates since the network that acted.
    :param gradient_age: updates since the network whose gradients were followed.
    """

    steps: int
    reward: float
    age: float = 0.0
    gradient_age: float = 0.0


class Run:
    """Learning in one process. Iterating over it learns, and gives its counters after each chunk.

    :param directory: new or empty, or of a run with the same settings; ``steps`` may be others.
    :param checkpoint_s: seconds from one checkpoint to the next.

    Raises :class:`UsageError` for a directory of something else, and :class:`CapabilityError` where a library is
    missing.
    """

    #: Processes that act; 0: all is in this one.
    workers = 0

    def __init__(self, settings: Settings, directory: Path, checkpoint_s: float = CHECKPOINT_S) -> None:
        self.settings, self.directory = settings, directory
        self._checkpoint_s, self._stopped = checkpoint_s, False
        self.counters, self.rows = Counters(), list[book.Row]()
        self.environment = entry_of(settings.environment).make(settings.count, **settings.options)
        self.algorithm = algorithm_of(settings, self.environment)

    def stop(self) -> None:
        """End after this chunk. Safe in a signal handler and from any thread."""
        self._stopped = True

    @property
    def progress(self) -> float:
        """The part that is done, from 0 to 1."""
        return self.settings.progress(self.counters.steps)

    def __iter__(self) -> Iterator[Counters]:
        with alone_in(self.directory):
            self._go_on()
            saved = time.monotonic()
            for _ in self._chunks():
                if time.monotonic() - saved > self._checkpoint_s:
                    self._save()
                    saved = time.monotonic()
                yield self.counters
            self._save()

    def _go_on(self) -> None:
        """Take up what the directory's checkpoint has."""
        if not (self.directory / checkpoint.NAME).exists():
            return
        found = checkpoint.load(self.directory)
        if replace(found.settings, steps=self.settings.steps) != self.settings:
            raise UsageError(
                f"cannot train in {self.directory}: it holds a run of other settings (give the same, or another DIR)"
            )
        try:
            self.algorithm.fill(found.arrays)
        except ValueError as error:
            raise UsageError(f"cannot go on in {self.directory}: {error} does not fit (choose another DIR)") from error
        self.counters, self.algorithm.updates = found.counters, found.counters.updates
        self.rows = book.read_rows(self.directory, found.counters.steps)

    def _chunks(self) -> Iterator[None]:
        """Collect chunks and learn from them until there were enough."""
        counters, settings = self.counters, self.settings
        counters.begun += 1
        seed = int(np.random.SeedSequence((settings.seed, counters.begun)).generate_state(1, np.uint64)[0] >> 2)
        clock, found, row_at = _Clock(), list[Part](), counters.steps
        with closing(self._learned(seed)) as learned:
            while counters.steps < settings.steps and not self._stopped:
                part = next(learned, None)
                if part is None:  # stopped
                    break
                counters.steps += part.steps
                counters.updates = self.algorithm.updates
                clock.add_to(counters)
                found.append(part)
                if counters.steps - row_at >= settings.steps / _ROWS or counters.steps >= settings.steps:
                    self.rows.append(self._row(found))
                    found, row_at = [], counters.steps
                yield

    def _learned(self, seed: int) -> Generator[Part, None, None]:
        """Learn without end, chunk by chunk."""
        act = self.algorithm.acting(self.settings.count, seed)
        course = Course(self.settings, self.environment, act)
        course.at(self.progress)
        collector = Collector(self.environment, seed)
        while True:
            chunk = collector.collect(act, self.algorithm.chunk)
            self.algorithm.take(chunk)
            yield Part(chunk.steps, chunk.mean_reward)
            course.at(self.progress)

    def _row(self, parts: Sequence[Part]) -> book.Row:
        counters, steps = self.counters, np.array([part.steps for part in parts])
        return {
            "steps": counters.steps,
            "updates": counters.updates,
            "seconds": counters.seconds,
            "cpu_seconds": counters.cpu_seconds,
            "reward": float(np.average([part.reward for part in parts], weights=steps)),
            "loss": self.algorithm.loss,
            "workers": self.workers,
            "age": float(np.average([part.age for part in parts], weights=steps)),
            "discarded": counters.discarded,
            "replaced": counters.replaced,
            "gradient_age": float(np.average([part.gradient_age for part in parts], weights=steps)),
            "stale": counters.stale,
        }

    def _save(self) -> None:
        """Rows first: those that the checkpoint does not count are left out when the run goes on."""
        book.write_rows(self.rows, self.directory)
        checkpoint.save(Checkpoint(self.settings, self.counters, self.algorithm.arrays()), self.directory)


class _Clock:
    """Time since it was last asked, added to counters."""

    def __init__(self) -> None:
        self._seconds, self._cpu_seconds = time.monotonic(), time.process_time()

    def add_to(self, counters: Counters) -> None:
        seconds, cpu_seconds = time.monotonic(), time.process_time()
        counters.seconds += seconds - self._seconds
        counters.cpu_seconds += cpu_seconds - self._cpu_seconds
        self._seconds, self._cpu_seconds = seconds, cpu_seconds


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """A directory of a run, made if it is new, in which no other process trains.

    Raises :class:`UsageError` for one of something else, and for one in which another process trains.
    """
    ours = (_LOCK, checkpoint.NAME, book.NAME)
    known = {*ours, *(f".{name}.unfinished" for name in ours)}
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(entry.name not in known for entry in directory.iterdir()):
            raise UsageError(f"cannot train in {directory}: it holds something else (choose a new or empty directory)")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(directory / _LOCK, flags, 0o600)
    except OSError as error:
        raise RecordingError(f"cannot write {directory}: {error.strerror} (choose another directory)") from error
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"cannot train in {directory}: another process does (wait, or choose another)") from None
