"""Slopes of learners in; the weights of a parameter server, which is in parts, a step further, out.

Each part takes the slopes of its own weights. Slopes that are too large are shortened all by the same factor, so each
part first says how large its own are. All parts are as they are after the same number of steps, or none counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from schedtel.training.learner.actors import Server
from schedtel.training.learner.algorithms import Replaying
from schedtel.training.learner.dqn import is_copied, shortening
from schedtel.training.learner.network import Arrays
from schedtel.training.learner.processes import Processes
from schedtel.training.learner.shards import shards_of, together


class UndoneError(Exception):
    """A part has ended, and another has taken its place: the steps since the algorithm was asked for are lost."""


class Servers:
    """The parts of the server.

    :param algorithm: what was learned before; it does not follow.

    ``are_there`` is whether all parts have what was learned; if not, they are to :meth:`begin`. ``updates`` are those
    that the networks have had.
    """

    def __init__(self, processes: Processes, algorithm: Replaying, number: int) -> None:
        self._processes, self._algorithm, self._number = processes, algorithm, number
        self._servers = [self._new() for _ in range(number)]
        self.are_there, self.updates, self.networks = False, algorithm.updates, list[Any]()

    @property
    def actors(self) -> list[Any]:
        """The processes."""
        return list(self._servers)

    def _new(self) -> Any:
        return self._processes.new(Server, 0)

    def begin(self) -> None:
        """Have what the algorithm has, and all networks at hand. Raises :class:`UndoneError`."""
        shards = shards_of(self._algorithm.arrays(), self._number)
        self._asked(lambda server, number: server.fill.remote(shards[number]))
        self.networks = [server.networks.remote() for server in self._servers]
        self._all(self.networks)
        self.are_there, self.updates = True, self._algorithm.updates

    def step(self, shares: Sequence[float], slopes: Sequence[Sequence[Any]]) -> None:
        """Take a step against the mean of slopes. Raises :class:`UndoneError`.

        :param shares: of each in the mean.
        :param slopes: of each, one for each part of the server.
        """
        squares = self._asked(lambda server, number: server.take.remote(shares, *(each[number] for each in slopes)))
        given = shortening(sum(squares)), is_copied(self.updates + 1)
        asked = [server.follow.options(num_returns=2).remote(*given) for server in self._servers]
        for spent_s in self._all([spent for _, spent in asked]):
            self._processes.spent(spent_s)
        self.updates, self.networks = self.updates + 1, [networks for networks, _ in asked]

    def arrays(self) -> Arrays:
        """All that was learned. Raises :class:`UndoneError`."""
        return together(self._asked(lambda server, _: server.shard.remote()), self._algorithm.arrays())

    def _asked(self, ask: Callable[[Any, int], Any]) -> list[Any]:
        return self._all([ask(server, number) for number, server in enumerate(self._servers)])

    def _all(self, results: Sequence[Any]) -> list[Any]:
        """What each part answers."""
        return [self._answer(number, result) for number, result in enumerate(results)]

    def _answer(self, number: int, result: Any) -> Any:
        found = self._processes.answer(result, self._servers, number, self._new)
        if found is None:
            self.are_there = False
            raise UndoneError
        return found
