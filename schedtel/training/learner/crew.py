"""Ray and an algorithm in; its chunks collected, kept and learned from in processes that may end at any moment, out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schedtel.access.ray_cluster import last_line_of
from schedtel.errors import CapabilityError, CollectorError
from schedtel.training.learner.actors import Learned, Learner, Memory, Rollouts, versions
from schedtel.training.learner.algorithms import Replaying
from schedtel.training.learner.checkpoint import Counters
from schedtel.training.learner.run import Part
from schedtel.training.learner.settings import Settings
from schedtel.training.learner.spread import Spread

#: So many processes for each worker may end in turn, with nothing learned in between, before a run gives up.
_TRIES = 5
_POLL_S, _PATIENCE_S = 0.2, 600


@dataclass
class Collected:
    """A chunk of a worker, which stays where it is.

    :param updates: of the network that acted.
    """

    worker: int
    chunk: Any
    updates: int
    steps: int = 0
    reward: float = 0.0


class _LostError(Exception):
    """A process has ended, or does not answer any more."""


class Crew:
    """The processes of a run. What they change is told here only: the algorithm, and what is counted beside steps.

    :param algorithm: what was learned so far; it follows what the learner learns.
    :param seed: of all that they draw; one that takes the place of another has a seed of its own.
    """

    def __init__(
        self, ray: Any, settings: Settings, algorithm: Replaying, counters: Counters, spread: Spread, seed: int
    ) -> None:
        self._ray, self._settings, self._algorithm = ray, settings, algorithm
        self._counters, self._spread = counters, spread
        self._seeds = _seeds(seed)
        self._running = dict[Any, Collected]()
        self._owed, self._ended_in_turn = 0.0, 0
        self._rollouts = [self._new_rollouts(worker) for worker in range(spread.workers)]
        self._memory, self._learner = self._new_memory(), self._new_learner()
        self._refuse_other_versions()
        self._give_weights()

    # ---- processes ----

    def _new(self, kind: type, cpus: int, *given: object) -> Any:
        return self._ray.remote(num_cpus=cpus, max_restarts=0, max_task_retries=0)(kind).remote(self._settings, *given)

    def _new_rollouts(self, worker: int) -> Any:
        return self._new(Rollouts, 1, next(self._seeds), worker, self._spread.workers, self._progress)

    @property
    def _progress(self) -> float:
        return self._settings.progress(self._counters.steps)

    def _new_memory(self) -> Any:
        return self._new(Memory, 0, next(self._seeds))

    def _new_learner(self) -> Any:
        return self._new(Learner, 1, self._algorithm.arrays(), self._algorithm.updates)

    def _refuse_other_versions(self) -> None:
        for actor in (*self._rollouts, self._memory, self._learner):
            try:
                found = self._get(actor.versions.remote())
            except _LostError as error:
                raise CollectorError(f"cannot begin a process of the run: {error} (see its logs)") from error
            for name, value in versions().items():
                if found.get(name) != value:
                    raise CapabilityError(
                        f"cannot train there: {name} is {found.get(name)}, and {value} here (install the same)"
                    )

    def _get(self, result: Any) -> Any:
        """What a process answers. Raises :class:`_LostError`, and :class:`CollectorError` for an error of its own."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(result, timeout=_PATIENCE_S)
        except (errors.RayActorError, errors.WorkerCrashedError) as error:
            raise _LostError(last_line_of(error)) from error
        except (errors.RayError, errors.GetTimeoutError) as error:
            raise CollectorError(
                f"cannot go on with training: {last_line_of(error)} (the same command goes on)"
            ) from error

    def _end(self, actor: Any, why: _LostError) -> None:
        """End what may still be there of a process. Raises :class:`CollectorError` after too many in turn."""
        self._ray.kill(actor)
        self._counters.replaced += 1
        self._ended_in_turn += 1
        if self._ended_in_turn > _TRIES * self._spread.workers:
            raise CollectorError(f"cannot go on with training: processes end again and again: {why} (see Ray's logs)")

    # ---- acting ----

    def _give_weights(self) -> None:
        arrays = {name: each for name, each in self._algorithm.arrays().items() if name.startswith("network.")}
        self._weights, self._weights_updates = self._ray.put(arrays), self._algorithm.updates

    def begin(self) -> None:
        """Have each worker that has nothing to do make a chunk, by the newest network."""
        busy = {each.worker for each in self._running.values()}
        for worker in set(range(self._spread.workers)) - busy:
            chunk, told = self._rollouts[worker].collect.options(num_returns=2).remote(self._weights, self._progress)
            self._running[told] = Collected(worker, chunk, self._weights_updates)

    def ready(self) -> list[Collected]:
        """The chunks that are made, once there are as many by the newest network as are waited for. May be none, after
        a while.
        """
        newest = [told for told, each in self._running.items() if each.updates == self._weights_updates]
        waited_for = newest if self._spread.waits else list(self._running)
        wanted = min(len(waited_for), self._spread.awaited)
        done, _ = self._ray.wait(waited_for, num_returns=wanted, timeout=_POLL_S)
        if len(done) < wanted:
            return []
        others = [told for told in self._running if told not in done]
        done += self._ray.wait(others, num_returns=len(others), timeout=0)[0] if others else []
        return [chunk for each in done if (chunk := self._finished(each))]

    def _finished(self, told: Any) -> Collected | None:
        """A chunk and what is said of it; None where its worker has ended, and another has taken its place."""
        found = self._running.pop(told)
        try:
            found.steps, found.reward, cpu_seconds = self._get(told)
        except _LostError as error:
            self._end(self._rollouts[found.worker], error)
            self._rollouts[found.worker] = self._new_rollouts(found.worker)
            return None
        self._ended_in_turn = 0
        self._counters.cpu_seconds += cpu_seconds
        return found

    # ---- learning ----

    def learn(self, ready: Sequence[Collected]) -> Part | None:
        """Keep chunks, and learn. What was learned from, and is to be counted, or None."""
        now = self._algorithm.updates
        young = [each for each in ready if now - each.updates <= self._spread.limit]
        self._counters.discarded += sum(each.steps for each in ready) - sum(each.steps for each in young)
        if not young:
            return None
        steps = [each.steps for each in young]
        self._owed += self._algorithm.replayed * sum(steps)
        while not self._kept_and_learned(young):
            pass
        self._give_weights()
        reward, age = (
            float(np.average(values, weights=steps))
            for values in ([each.reward for each in young], [now - each.updates for each in young])
        )
        return Part(sum(steps), reward, age)

    def _kept_and_learned(self, young: Sequence[Collected]) -> bool:
        """Whether the replay was there all the time. One that takes its place has nothing of what was before."""
        algorithm, memory = self._algorithm, self._memory
        try:
            size = [self._get(memory.add.remote(each.chunk)) for each in young][-1]
            if size < algorithm.least:
                self._owed = 0.0
                return True
            batches, self._owed = int(self._owed // algorithm.batch), self._owed % algorithm.batch
            drawn, there = memory.sample.options(num_returns=2).remote(batches, algorithm.batch)
            self._get(there)
            learned = self._learned(drawn)
            self._counters.cpu_seconds += learned.cpu_seconds
            self._counters.cpu_seconds += self._get(memory.learn.remote(learned.places, learned.errors))
        except _LostError as error:
            self._end(memory, error)
            self._memory = self._new_memory()
            return False
        self._ended_in_turn = 0
        return True

    def _learned(self, batches: Any) -> Learned:
        """What batches changed. A learner that takes the place of another knows what was learned before them."""
        while True:
            try:
                found: Learned = self._get(self._learner.update.remote(batches))
            except _LostError as error:
                self._end(self._learner, error)
                self._learner = self._new_learner()
                continue
            self._algorithm.fill(found.arrays)
            self._algorithm.updates, self._algorithm.loss = found.updates, found.loss
            return found


def _seeds(seed: int) -> Iterator[int]:
    draw = np.random.default_rng(seed)
    while True:
        yield int(draw.integers(1 << 62))
