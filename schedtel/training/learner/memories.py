"""Chunks of workers in; batches drawn from one replay, or from one for each worker, out.

A batch is of one replay, whose priorities say how likely each of its transitions was. The batches of a round are shared
evenly among the replays that have enough for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from schedtel.training.learner.actors import Memory, Told
from schedtel.training.learner.processes import Processes


class Drawn(NamedTuple):
    """A batch, which stays where it is, and the number of the replay that it is from."""

    memory: int
    batch: Any


class Memories:
    """The replays of a run. One that ends is followed by another, which has this round's chunks, and none before.

    :param number: of replays; a worker's chunks go to that of its own number, or to the only one.
    """

    def __init__(self, processes: Processes, number: int) -> None:
        self._processes, self._turn = processes, 0
        self._sizes = [0] * number
        self._memories = [self._new() for _ in range(number)]
        self._chunks = list[list[Any]]()

    @property
    def actors(self) -> list[Any]:
        """The processes."""
        return list(self._memories)

    def _new(self) -> Any:
        return self._processes.new(Memory, 0, next(self._processes.seeds))

    def _answer(self, number: int, result: Any) -> Any:
        """What a replay answers; None where it has ended, and another has taken its place."""
        found = self._processes.answer(result, self._memories, number, self._new)
        if found is None:
            self._sizes[number] = 0
            self._keep(number)
        return found

    def _keep(self, number: int) -> None:
        for chunk in self._chunks[number]:
            size = self._answer(number, self._memories[number].add.remote(chunk))
            if size is None:  # the one in its place has them all
                return
            self._sizes[number] = size

    def keep(self, chunks: Sequence[tuple[int, Any]]) -> int:
        """Keep chunks of workers; how many transitions there are then."""
        number = len(self._memories)
        self._chunks = [[chunk for worker, chunk in chunks if worker % number == each] for each in range(number)]
        for each in range(number):
            self._keep(each)
        return sum(self._sizes)

    def draw(self, batches: int, size: int) -> list[Drawn]:
        """Batches of so many transitions; fewer, where a replay has ended meanwhile."""
        found = list[Drawn]()
        for memory, part in self._shares(batches, size):
            *drawn, there = self._memories[memory].sample.options(num_returns=part + 1).remote(part, size)
            if self._answer(memory, there) is not None:
                found += [Drawn(memory, each) for each in drawn]
        return found

    def _shares(self, batches: int, size: int) -> list[tuple[int, int]]:
        """How many of each replay; who has one more than the others changes from round to round."""
        there = [each for each, kept in enumerate(self._sizes) if kept >= size]
        first = self._turn % max(1, len(there))
        self._turn += batches
        order = enumerate(there[first:] + there[:first])
        return [(memory, part) for at, memory in order if (part := len(range(at, batches, len(there))))]

    def learn(self, drawn: Sequence[Drawn], told: Sequence[Told]) -> None:
        """Give the transitions of batches the priority of their errors."""
        for number in sorted({each.memory for each in drawn}):
            own = [said for each, said in zip(drawn, told, strict=True) if each.memory == number]
            places, errors = [said.places for said in own], [said.errors for said in own]
            spent_s = self._answer(number, self._memories[number].learn.remote(places, errors))
            if spent_s is not None:
                self._processes.spent(spent_s)
