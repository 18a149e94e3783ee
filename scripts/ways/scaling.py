"""CPU time of the parts of a step, measured in one process, in; how quick more workers would be, out.

What is modelled is what `schedtel train --workers` does: workers make chunks side by side; one process after another
keeps them, draws from them and learns. So these parts, which are *serial*, bound what any number of workers does:

    not waiting   a step takes   max(serial, acting / workers)
    waiting       a step takes   serial + acting / workers

There is a CPU for each worker, for the replay and for the learner. What Ray itself takes is not in it, but for the
copies that it makes; nor is what a network between machines takes.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from schedtel.training.learner.actors import Learner, Memory, Rollouts
from schedtel.training.learner.dqn import BATCH, REPLAYED
from schedtel.training.learner.settings import Settings, usual

#: Environment → how many of it in a worker, as is usual for what they take.
ENVIRONMENTS = {"MigrateSim": 256, "PeriodicSim": 256, "SwapSim": 4}
WORKERS = (1, 2, 4, 16, 64, 256, 1024)
_ROUNDS = 9


@dataclass(frozen=True)
class Step:
    """CPU time of a step of one environment, in µs, by its parts.

    :param chunk: steps in a chunk.
    :param bytes: that a worker hands over for a step.
    """

    environment: str
    chunk: int
    acting: float
    keeping: float
    learning: float
    handing_over: float
    bytes: float

    @property
    def serial(self) -> float:
        """What no number of workers makes shorter."""
        return self.keeping + self.learning + self.handing_over

    @property
    def full(self) -> float:
        """Workers that keep the learner busy; more make nothing quicker."""
        return self.acting / self.serial

    def taken(self, workers: int, *, waits: bool) -> float:
        """By the clock, in µs a step."""
        side_by_side = self.acting / workers
        return self.serial + side_by_side if waits else max(self.serial, side_by_side)

    def age(self, workers: int) -> float:
        """Updates since the network that acts, where none waits: the chunk of each is learned from in between."""
        return workers * self.chunk * REPLAYED / BATCH


def measured(environments: Sequence[str] = tuple(ENVIRONMENTS), rounds: int = _ROUNDS) -> list[Step]:
    """The parts of a step in each environment, by the same code as in the processes of a run."""
    return [_measured(name, rounds) for name in environments]


def _measured(environment: str, rounds: int) -> Step:
    count = ENVIRONMENTS[environment]
    settings = Settings(environment, count=count, **usual(environment, "dqn"))
    rollouts, memory = Rollouts(settings, 0, 0, 1, 0.0), Memory(settings, 0)
    arrays = rollouts._algorithm.arrays()  # noqa: SLF001  (a learner begins with such)
    learner = Learner(settings, arrays, 0)
    found = list[tuple[float, ...]]()
    for _ in range(rounds + 1):  # the first compiles
        (chunk, told), acting = _timed(rollouts.collect, arrays, 0.0)
        _, adding = _timed(memory.add, chunk)
        (batch, _), drawing = _timed(memory.sample, 1, BATCH)
        learned, learning = _timed(learner.update, batch)
        (said,) = learned.told
        _, changing = _timed(memory.learn, [said.places], [said.errors])
        size, handing_chunk = _handed_over(chunk)
        _, handing_batch = _handed_over((batch, learned))
        by_step, by_batch = 1e6 / told[0], 1e6 * REPLAYED / BATCH
        keeping = adding * by_step + (drawing + changing) * by_batch
        handing = handing_chunk * by_step + handing_batch * by_batch
        found.append((acting * by_step, keeping, learning * by_batch, handing, size / told[0]))
    parts = [median(values) for values in zip(*found[1:], strict=True)]
    return Step(environment, told[0], *parts)


def _timed(do: Callable[..., Any], *given: object) -> tuple[Any, float]:
    before = time.process_time()
    return do(*given), time.process_time() - before


def _handed_over(what: object) -> tuple[int, float]:
    """Bytes, and the CPU time to write and read them."""
    content, seconds = _timed(pickle.dumps, what, 5)
    return len(content), seconds + _timed(pickle.loads, content)[1]


def text_of(steps: Sequence[Step]) -> str:
    """Tables of Markdown: the parts, and steps a second by the clock."""
    return "\n".join((*_parts(steps), "", *_speeds(steps)))


def _parts(steps: Sequence[Step]) -> Iterator[str]:
    yield "| environment | acting | keeping, drawing | learning | handing over | workers until the learner is full |"
    yield "|---|---|---|---|---|---|"
    for step in steps:
        parts = (step.acting, step.keeping, step.learning, step.handing_over)
        yield f"| {step.environment} | {' | '.join(f'{part:,.1f} µs' for part in parts)} | {step.full:.2g} |"


def _speeds(steps: Sequence[Step]) -> Iterator[str]:
    head = " | ".join(f"{step.environment}, not waiting | waiting | age" for step in steps)
    yield f"| workers | {head} |"
    yield "|---" * (1 + 3 * len(steps)) + "|"
    for workers in WORKERS:
        cells = [
            f"{1e6 / step.taken(workers, waits=False):,.0f} | {1e6 / step.taken(workers, waits=True):,.0f} | "
            f"{step.age(workers):,.0f}"
            for step in steps
        ]
        yield f"| {workers:,} | {' | '.join(cells)} |"
