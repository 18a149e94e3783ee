"""Batches in; what they changed, by one learner, or by the gradients of several at a parameter server, out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from schedtel.training.learner.actors import Learned, Learner, Told
from schedtel.training.learner.algorithms import Replaying
from schedtel.training.learner.network import Arrays
from schedtel.training.learner.processes import Processes
from schedtel.training.learner.servers import Servers, UndoneError
from schedtel.training.learner.spread import Spread


class Learners(Protocol):
    """What learns. The algorithm follows it, batches at a time: all of them, or none."""

    #: Updates since the weights of a gradient, on average over the last batches.
    gradient_age: float

    @property
    def actors(self) -> list[Any]:
        """The processes."""
        ...

    def learn(self, batches: Sequence[Any]) -> list[Told]:
        """Learn from batches; what is told of each of them."""
        ...


def learners_of(processes: Processes, algorithm: Replaying, spread: Spread) -> Learners:
    """One learner, which has all that it learns; or several, beside a server."""
    if not spread.is_served:
        return OneLearner(processes, algorithm)
    return (
        WaitingLearners(processes, algorithm, spread) if spread.waits else HastyLearners(processes, algorithm, spread)
    )


class _Learners:
    """Processes that learn. One that takes the place of another knows what the algorithm does."""

    def __init__(self, processes: Processes, algorithm: Replaying, number: int) -> None:
        self._processes, self._algorithm = processes, algorithm
        self._learners = [self._new() for _ in range(number)]
        self.gradient_age = 0.0

    @property
    def actors(self) -> list[Any]:
        """See :class:`Learners`."""
        return list(self._learners)

    def _new(self) -> Any:
        return self._processes.new(Learner, 1, self._algorithm.arrays(), self._algorithm.updates)

    def _said(self, result: Any, learner: int) -> Any:
        """What a learner says; None where it has ended, and another has taken its place."""
        found = self._processes.answer(result, self._learners, learner, self._new)
        if found is not None:
            self._processes.spent(found.cpu_seconds)
        return found

    def _follow(self, arrays: Arrays, updates: int, told: list[Told]) -> list[Told]:
        """Have the algorithm know all that was learned."""
        self._algorithm.fill(arrays)
        self._algorithm.updates, self._algorithm.loss = updates, told[-1].loss
        return told


class OneLearner(_Learners):
    """A learner, which has all that it learns."""

    def __init__(self, processes: Processes, algorithm: Replaying) -> None:
        super().__init__(processes, algorithm, 1)

    def learn(self, batches: Sequence[Any]) -> list[Told]:
        """See :class:`Learners`."""
        found: Learned | None = None
        while found is None:
            found = self._said(self._learners[0].update.remote(*batches), 0)
        return self._follow(found.arrays, found.updates, found.told)


class _Asked(NamedTuple):
    """A part of a batch that a learner is at.

    :param updates: that the weights had had.
    :param slopes: one for each part of the server.
    """

    learner: int
    batch: Any
    part: int
    parts: int
    updates: int
    slopes: list[Any]
    told: Any


class _Served(_Learners, ABC):
    """Learners that work out slopes at the weights of a server, and nothing else: so any of them may end."""

    def __init__(self, processes: Processes, algorithm: Replaying, spread: Spread) -> None:
        self._servers, self._spread = Servers(processes, algorithm, spread.servers), spread
        super().__init__(processes, algorithm, spread.learners)

    @property
    def actors(self) -> list[Any]:
        """See :class:`Learners`."""
        return [*super().actors, *self._servers.actors]

    @abstractmethod
    def _learn(self, batches: Sequence[Any]) -> list[Told]:
        """Have the server take a step for each batch."""

    def learn(self, batches: Sequence[Any]) -> list[Told]:
        """See :class:`Learners`. If a part of the server ends, all of it begins again before the first batch."""
        while True:
            try:
                if not self._servers.are_there:
                    self._servers.begin()
                told, arrays = self._learn(batches), self._servers.arrays()
            except UndoneError:
                continue
            return self._follow(arrays, self._servers.updates, told)

    def _ask(self, learner: int, batch: Any, part: int = 0, parts: int = 1) -> _Asked:
        networks = self._servers.networks
        call = self._learners[learner].slopes.options(num_returns=len(networks) + 1)
        *slopes, told = call.remote(batch, part, parts, *networks)
        return _Asked(learner, batch, part, parts, self._servers.updates, slopes, told)

    def _answer(self, asked: _Asked) -> Told | None:
        told: Told | None = self._said(asked.told, asked.learner)
        return told


class WaitingLearners(_Served):
    """Each works out the gradient of its part of a batch; their mean is that of the batch."""

    def _learn(self, batches: Sequence[Any]) -> list[Told]:
        return [self._learn_from(batch) for batch in batches]

    def _learn_from(self, batch: Any) -> Told:
        parts = range(len(self._learners))
        asked = [self._ask(part, batch, part, len(parts)) for part in parts]
        slopes, told = zip(*map(self._finished, asked), strict=True)
        sizes = np.array([len(each.places) for each in told])
        shares = (sizes / sizes.sum()).tolist()
        self._servers.step(shares, slopes)
        places, errors = (np.concatenate(each) for each in ([t.places for t in told], [t.errors for t in told]))
        return Told(places, errors, float(np.dot(shares, [each.loss for each in told])))

    def _finished(self, asked: _Asked) -> tuple[list[Any], Told]:
        while True:
            told = self._answer(asked)
            if told:
                return asked.slopes, told
            asked = self._ask(asked.learner, asked.batch, asked.part, asked.parts)


class HastyLearners(_Served):
    """Each works out gradients of batches of its own. One that is there changes the weights, which others have gone on
    from meanwhile; what is too old then is discarded, and its batch learned from anew.
    """

    def _learn(self, batches: Sequence[Any]) -> list[Told]:
        found, ages = dict[int, Told](), list[int]()
        waiting, running = deque(range(len(batches))), dict[Any, tuple[int, _Asked]]()
        while len(found) < len(batches):
            self._begin(batches, waiting, running)
            number, asked = running.pop(self._processes.first_of(list(running)))
            age, told = self._servers.updates - asked.updates, self._answer(asked)
            if told and self._is_young(age):
                self._servers.step([1.0], [asked.slopes])
                found[number] = told
                ages.append(age)
            else:
                waiting.appendleft(number)
        self.gradient_age = float(np.mean(ages))
        return [found[number] for number in range(len(batches))]

    def _begin(self, batches: Sequence[Any], waiting: deque[int], running: dict[Any, tuple[int, _Asked]]) -> None:
        """Give each learner that has nothing to do a batch, while there are any."""
        for learner in self._idle([asked for _, asked in running.values()])[: len(waiting)]:
            number = waiting.popleft()
            asked = self._ask(learner, batches[number])
            running[asked.told] = number, asked

    def _idle(self, running: Sequence[_Asked]) -> list[int]:
        return sorted(set(range(len(self._learners))) - {asked.learner for asked in running})

    def _is_young(self, age: int) -> bool:
        """Whether a gradient of this age counts; one that does not is counted apart."""
        is_young = age <= self._spread.most_gradient_age
        self._processes.counters.stale += not is_young
        return is_young
