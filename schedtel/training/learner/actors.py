"""What the processes of one run do: act in environments, keep what was seen, learn from it. They know nothing of Ray.

They also say how much CPU time they took, which the process that asks them adds up.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.batched import Batched
from schedtel.environments.registry import entry_of
from schedtel.host import versions as here
from schedtel.training.learner.algorithms import Replaying, algorithm_of
from schedtel.training.learner.course import Course
from schedtel.training.learner.experience import Chunk, Collector
from schedtel.training.learner.network import Arrays, fill
from schedtel.training.learner.passes import Floats
from schedtel.training.learner.replay import Batch
from schedtel.training.learner.settings import Settings
from schedtel.training.learner.shards import Shard, cut


class Told(NamedTuple):
    """What a learner says of a batch, or of a part of one.

    :param places: of its transitions, and their errors.
    """

    places: NDArray[np.int64]
    errors: NDArray[np.float32]
    loss: float
    cpu_seconds: float = 0.0


class Learned(NamedTuple):
    """What some batches changed.

    :param told: of each batch.
    :param arrays: all that the algorithm has learned.
    """

    told: list[Told]
    arrays: dict[str, NDArray[np.generic]]
    updates: int
    cpu_seconds: float


#: Name → version of what must be the same in all processes.
versions = partial(here.versions, "numpy", "numba", "torch")


class _Actor:
    """A process of a run."""

    _counted_s = 0.0

    def spent_s(self) -> float:
        """CPU seconds since it was last asked."""
        before, self._counted_s = self._counted_s, time.process_time()
        return self._counted_s - before

    def versions(self) -> dict[str, str]:
        """Those of this process."""
        return versions()


def _made(settings: Settings) -> tuple[Batched, Replaying]:
    environment = entry_of(settings.environment).make(settings.count, **settings.options)
    algorithm = algorithm_of(settings, environment)
    assert isinstance(algorithm, Replaying)
    return environment, algorithm


def _own(arrays: Iterable[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    """Copies: what Ray hands over cannot be written to, and numba would compile all anew for that."""
    return [np.array(each) for each in arrays]


class Rollouts(_Actor):
    """Environments, and how to act in them.

    :param seed: of the environments and of exploring.
    :param worker: which one it is, of so many ``workers``.
    :param progress: how far the run is.
    """

    def __init__(self, settings: Settings, seed: int, worker: int, workers: int, progress: float) -> None:
        environment, self._algorithm = _made(settings)
        self._act = self._algorithm.acting(settings.count, seed)
        self._course = Course(settings, environment, self._act, worker, workers)
        self._course.at(progress)
        self._collector = Collector(environment, seed)

    def collect(self, arrays: Arrays, progress: float) -> tuple[Chunk, tuple[int, float, float]]:
        """A chunk, acting by a network of these arrays; its steps, their mean reward, and the CPU seconds."""
        self._course.at(progress)
        fill("network", self._algorithm.network.state_dict(), arrays)
        chunk = self._collector.collect(self._act, self._algorithm.chunk)
        return chunk, (chunk.steps, chunk.mean_reward, self.spent_s())


class Memory(_Actor):
    """The replay of an algorithm."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._replay = _made(settings)[1].replay(seed)

    def add(self, chunk: Chunk) -> int:
        """Keep a chunk; how many transitions there are now."""
        self._replay.add(Chunk._make(_own(chunk)))
        return self._replay.size

    def sample(self, batches: int, size: int) -> tuple[Batch | int, ...]:
        """Draw batches; how many."""
        return (*(self._replay.sample(size) for _ in range(batches)), batches)

    def learn(self, places: Sequence[NDArray[np.int64]], errors: Sequence[NDArray[np.float32]]) -> float:
        """Give the transitions of batches the priority of their errors; the CPU seconds since the call before."""
        for each, wrong in zip(places, errors, strict=True):
            self._replay.learn(each, wrong)
        return self.spent_s()


class Learner(_Actor):
    """An algorithm, as it was when it had these arrays."""

    def __init__(self, settings: Settings, arrays: Arrays, updates: int) -> None:
        self._algorithm = _made(settings)[1]
        self._algorithm.fill(arrays)
        self._algorithm.updates = updates

    def update(self, *batches: Batch) -> Learned:
        """Learn from batches, one after another."""
        algorithm = self._algorithm
        told = [Told(np.array(each.places), self._update(each), algorithm.loss) for each in batches]
        return Learned(told, algorithm.arrays(), algorithm.updates, self.spent_s())

    def _update(self, batch: Batch) -> NDArray[np.float32]:
        return self._algorithm.update(Batch._make(_own(batch)))

    def slopes(self, batch: Batch, part: int, parts: int, *server: tuple[Floats, Floats]) -> tuple[Floats | Told, ...]:
        """The slope of the mean loss of a part of a batch, at the weights of a server; what is told of it is last.

        :param server: the weights, and those for the targets, of each of its shards. There is a slope for each.
        """
        self._algorithm.be_at(*map(np.concatenate, zip(*server, strict=True)))
        own = Batch._make(_own(np.array_split(each, parts)[part] for each in batch))
        errors, slopes = self._algorithm.slopes_of(own)
        return (*cut(slopes.copy(), len(server)), Told(own.places, errors, self._algorithm.loss, self.spent_s()))


class Server(_Actor):
    """A shard of what is learned, which takes the steps of its own weights."""

    def __init__(self, settings: Settings) -> None:
        self._rate = settings.rate

    def fill(self, shard: Shard) -> bool:
        """Be this shard."""
        self._shard = shard.copy()
        return True

    def shard(self) -> Shard:
        """All that it has."""
        return self._shard

    def networks(self) -> tuple[Floats, Floats]:
        """Copies of its weights, and of those for the targets."""
        return self._shard.weights.copy(), self._shard.target.copy()

    def take(self, shares: Sequence[float], *slopes: Floats) -> float:
        """Take the slopes of the next step, each of which has a share in it; the sum of their squares."""
        self._slopes = np.zeros_like(self._shard.weights)
        for share, each in zip(shares, slopes, strict=True):
            self._slopes += np.float32(share) * each
        return float(self._slopes @ self._slopes)

    def follow(self, factor: float, copies: bool) -> tuple[tuple[Floats, Floats], float]:
        """Take the step, with the slopes shortened by a factor; the networks then, and the CPU seconds."""
        self._shard = self._shard.after(self._slopes * np.float32(factor), self._rate, copies=copies)
        return self.networks(), self.spent_s()
