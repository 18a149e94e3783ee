"""Ray and an algorithm in; its chunks collected, kept and learned from in processes that may end at any moment, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schedtel.training.learner.actors import Rollouts
from schedtel.training.learner.algorithms import Replaying
from schedtel.training.learner.checkpoint import Counters
from schedtel.training.learner.learners import learners_of
from schedtel.training.learner.memories import Memories
from schedtel.training.learner.processes import Processes
from schedtel.training.learner.run import Part
from schedtel.training.learner.settings import Settings
from schedtel.training.learner.spread import Spread

_POLL_S = 0.2


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


class Crew:
    """The processes of a run. What they change is told here only: the algorithm, and what is counted beside steps.

    :param algorithm: what was learned so far; it follows what the learners learn.
    :param seed: of all that they draw.
    """

    def __init__(
        self, ray: Any, settings: Settings, algorithm: Replaying, counters: Counters, spread: Spread, seed: int
    ) -> None:
        self._ray, self._settings, self._algorithm = ray, settings, algorithm
        self._counters, self._spread = counters, spread
        self._processes = Processes(ray, settings, counters, spread, seed)
        self._running = dict[Any, Collected]()
        self._owed = 0.0
        self._rollouts = [self._new_rollouts(worker) for worker in range(spread.workers)]
        self._memories = Memories(self._processes, spread.replays)
        self._learners = learners_of(self._processes, algorithm, spread)
        self._processes.refuse_other_versions([*self._rollouts, *self._memories.actors, *self._learners.actors])
        self._give_weights()

    def _new_rollouts(self, worker: int) -> Any:
        seed = next(self._processes.seeds)
        return self._processes.new(Rollouts, 1, seed, worker, self._spread.workers, self._progress)

    @property
    def _progress(self) -> float:
        return self._settings.progress(self._counters.steps)

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
        worker = found.worker
        said = self._processes.answer(told, self._rollouts, worker, lambda: self._new_rollouts(worker))
        if said is None:
            return None
        found.steps, found.reward, cpu_seconds = said
        self._processes.spent(cpu_seconds)
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
        gradient_age = self._keep_and_learn(young)
        self._give_weights()
        reward, age = (
            float(np.average(values, weights=steps))
            for values in ([each.reward for each in young], [now - each.updates for each in young])
        )
        return Part(sum(steps), reward, age, gradient_age)

    def _keep_and_learn(self, young: Sequence[Collected]) -> float:
        """Learn as often as is owed, if there is enough to learn from; how old gradients were.

        What a replay had that has ended meanwhile stays owed, until there is too little.
        """
        batch = self._algorithm.batch
        if self._memories.keep([(each.worker, each.chunk) for each in young]) < self._algorithm.least:
            self._owed = 0.0
            return 0.0
        drawn = self._memories.draw(int(self._owed // batch), batch)
        if not drawn:
            return 0.0
        told = self._learners.learn([each.batch for each in drawn])
        self._owed -= len(drawn) * batch
        self._memories.learn(drawn, told)
        return self._learners.gradient_age
