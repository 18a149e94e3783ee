"""Ray in; processes of a run, any of which may end at any moment, out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from schedtel.access.ray_cluster import last_line_of
from schedtel.errors import CapabilityError, CollectorError
from schedtel.training.learner.actors import versions
from schedtel.training.learner.checkpoint import Counters
from schedtel.training.learner.settings import Settings
from schedtel.training.learner.spread import Spread

#: So many processes for each worker may end in turn, with nothing learned in between, before a run gives up.
_TRIES = 5
_PATIENCE_S = 600


class LostError(Exception):
    """A process has ended, or does not answer any more."""


class Processes:
    """Begins processes, asks them, and counts those that end.

    :param counters: where they are counted, and their CPU time where it is not that of this process.
    :param seed: of all that they draw; one that takes the place of another has a seed of its own.
    """

    def __init__(self, ray: Any, settings: Settings, counters: Counters, spread: Spread, seed: int) -> None:
        self.ray, self._settings, self.counters = ray, settings, counters
        self._most, self._ended_in_turn = _TRIES * spread.workers, 0
        self._are_apart = not spread.in_turn
        self.seeds = _seeds(seed)

    def new(self, kind: type, cpus: int, *given: object) -> Any:
        """Begin a process."""
        return self.ray.remote(num_cpus=cpus, max_restarts=0, max_task_retries=0)(kind).remote(self._settings, *given)

    def refuse_other_versions(self, actors: Sequence[Any]) -> None:
        """Raise :class:`CapabilityError` for processes of other versions, and :class:`CollectorError` for those that
        do not begin.
        """
        for actor in actors:
            try:
                found = self.get(actor.versions.remote())
            except LostError as error:
                raise CollectorError(f"cannot begin a process of the run: {error} (see its logs)") from error
            for name, value in versions().items():
                if found.get(name) != value:
                    raise CapabilityError(
                        f"cannot train there: {name} is {found.get(name)}, and {value} here (install the same)"
                    )

    def get(self, result: Any) -> Any:
        """What a process answers. Raises :class:`LostError`, and :class:`CollectorError` for an error of its own."""
        errors = self.ray.exceptions
        try:
            return self.ray.get(result, timeout=_PATIENCE_S)
        except (errors.RayActorError, errors.WorkerCrashedError) as error:
            raise LostError(last_line_of(error)) from error
        except (errors.RayError, errors.GetTimeoutError) as error:
            raise CollectorError(
                f"cannot go on with training: {last_line_of(error)} (the same command goes on)"
            ) from error

    def first_of(self, results: Sequence[Any]) -> Any:
        """The one that is there first. Raises :class:`CollectorError` where none is after long."""
        done, _ = self.ray.wait(list(results), num_returns=1, timeout=_PATIENCE_S)
        if not done:
            raise CollectorError("cannot go on with training: no learner answers (the same command goes on)")
        return done[0]

    def spent(self, cpu_seconds: float) -> None:
        """A process has done its work, and took so long for it."""
        self._ended_in_turn = 0
        self.counters.cpu_seconds += cpu_seconds if self._are_apart else 0.0

    def answer(self, result: Any, actors: list[Any], number: int, new: Callable[[], Any]) -> Any:
        """What one of these processes answers, as by :meth:`get`; None where it has ended: then a new one is in its
        place. Raises :class:`CollectorError` after too many in turn.
        """
        try:
            return self.get(result)
        except LostError as error:
            self._end(actors[number], error)
            actors[number] = new()
            return None

    def _end(self, actor: Any, why: LostError) -> None:
        """End what may still be there of a process, and count it."""
        self.ray.kill(actor)
        self.counters.replaced += 1
        self._ended_in_turn += 1
        if self._ended_in_turn > self._most:
            raise CollectorError(f"cannot go on with training: processes end again and again: {why} (see Ray's logs)")


def _seeds(seed: int) -> Iterator[int]:
    draw = np.random.default_rng(seed)
    while True:
        yield int(draw.integers(1 << 62))
