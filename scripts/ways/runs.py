"""Ways of learning in; a row of a file for each seed of each of them out.

Rows that are in the file are not made again, so it can be stopped.
"""

from __future__ import annotations

import csv
import tempfile
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from schedtel.dags.pipelines import jobs_of, pipelines
from schedtel.environments.judging import costs_of
from schedtel.environments.periodic_sim import PeriodicSim
from schedtel.training.learner.algorithms import algorithm_of
from schedtel.training.learner.course import order_of
from schedtel.training.learner.dqn import best_actions
from schedtel.training.learner.experience import Collector
from schedtel.training.learner.network import Network, fill
from schedtel.training.learner.run import Part, Run
from schedtel.training.learner.settings import ASSIGNED, DECAYS, ORDERS, Settings, usual
from schedtel.training.learner.spread import GRADIENT_AGE, REPLAYS, Spread
from schedtel.training.learner.spread_run import SpreadRun

SEEDS, COUNT, SCALE = 5, 27, 2.0
#: PPO learns more from each step, and takes longer for it. Several processes take their time to begin.
STEPS, STEPS_PPO, STEPS_SPREAD = 200_000, 100_000, 60_000
#: Environments of each worker: chunks are as large as usual, since small ones would measure Ray.
COUNT_SPREAD = 256
#: Runs with workers in one process: their steps, so few that no replay forgets anything, and seeds.
STEPS_IN_TURN, SEEDS_IN_TURN = 100_000, 10
#: What was measured. ``missed`` is after all was learned, in % of all deadlines; ``before`` and ``after`` are, in
#: % of its own, those of each configuration when its turn comes and when it is over, where all have one at a time.
FIGURES = (
    *("missed", "before", "after", "steps", "updates", "age", "discarded", "seconds", "cpu_seconds"),
    *("gradient_age", "stale"),
)


@dataclass(frozen=True)
class Way:
    """A way of learning, and the first columns of its row.

    :param lag: in one process, updates since the network that acts.
    :param workers: and what follows, as :class:`Spread` has them; 0: one process.
    """

    algorithm: str = "dqn"
    order: str = "drawn"
    assign: str = "share"
    decay: str = "none"
    lag: int = 0
    workers: int = 0
    waits: bool = False
    backup: int = 0
    learners: int = 1
    most_gradient_age: int = GRADIENT_AGE
    replay: str = "central"
    in_turn: bool = False

    def settings(self, seed: int, steps: int | None = None) -> Settings:
        """The settings of a run."""
        found = usual("PeriodicSim", self.algorithm)
        ways = {name: getattr(self, name) for name in ("algorithm", "order", "assign", "decay")}
        count = COUNT_SPREAD // (self.workers if self.in_turn else 1) if self.workers else COUNT
        options = {"scale": SCALE}
        return Settings(
            "PeriodicSim", steps=steps or self._usual_steps, seed=seed, count=count, options=options, **found, **ways
        )

    @property
    def _usual_steps(self) -> int:
        if self.in_turn:
            return STEPS_IN_TURN
        return STEPS_PPO if self.algorithm == "ppo" else STEPS_SPREAD if self.workers else STEPS

    def run(self, settings: Settings, directory: Path) -> Run:
        """A run of these settings in this way."""
        if self.workers:
            return SpreadRun(settings, directory, Spread(**{name: getattr(self, name) for name in _SPREAD}))
        return LateRun(settings, directory, self.lag) if self.lag else Run(settings, directory)


#: What :class:`Spread` has of it.
_SPREAD = ("workers", "waits", "backup", "learners", "most_gradient_age", "replay", "in_turn")


class LateRun(Run):
    """A run whose environments act by the network of some updates ago, as they would with many workers."""

    def __init__(self, settings: Settings, directory: Path, lag: int) -> None:
        super().__init__(settings, directory)
        self._lag = lag

    def _learned(self, seed: int) -> Generator[Part, None, None]:
        late = algorithm_of(self.settings, self.environment)
        past = deque([(0, self.algorithm.arrays())])
        act, collector = late.acting(self.settings.count, seed), Collector(self.environment, seed)
        while True:
            while len(past) > 1 and past[1][0] <= self.algorithm.updates - self._lag:
                past.popleft()
            fill("network", late.network.state_dict(), past[0][1])
            chunk = collector.collect(act, self.algorithm.chunk)
            age = self.algorithm.updates - past[0][0]
            self.algorithm.take(chunk)
            past.append((self.algorithm.updates, self.algorithm.arrays()))
            yield Part(chunk.steps, float(chunk.rewards.sum()) / chunk.steps, age)


def ways() -> Iterator[Way]:
    """All that are compared."""
    for algorithm in ("dqn", "ppo"):
        yield from (Way(algorithm, order) for order in ORDERS)
    yield from (Way(decay=decay) for decay in DECAYS if decay != "none")
    yield from (Way("dqn", "shuffled", how, decay) for how in ASSIGNED for decay in DECAYS if (how, decay) != _THERE)
    yield from (Way(lag=lag) for lag in (16, 64, 256))
    yield from (Way(workers=workers) for workers in (1, 2))
    yield from (Way(workers=2 + backup, waits=True, backup=backup) for backup in (0, 1))
    yield from (Way(order=order, assign=how, workers=4, replay=replay, in_turn=True) for order, how, replay in REPLAYED)
    yield from (Way(workers=1, learners=learners, most_gradient_age=most, in_turn=True) for learners, most in LEARNERS)


#: Orders, who gets a configuration, and where the replay is.
REPLAYED = [(*given, replay) for given in (("drawn", "share"), ("shuffled", "whole")) for replay in REPLAYS]
#: Learners, and updates after which their gradients are too old.
LEARNERS = ((1, GRADIENT_AGE), (4, GRADIENT_AGE), (16, 32), (16, GRADIENT_AGE))
#: Already among the orders.
_THERE = ("share", "none")


def figures(way: Way, seed: int, directory: Path, steps: int | None = None) -> dict[str, float]:
    """Learn, and judge what was learned."""
    settings = way.settings(seed, steps)
    run = way.run(settings, directory)
    turns = _Turns(settings) if (way.order != "drawn" and (way.assign, way.decay) == _THERE) else None
    for counters in run:
        if turns:
            turns.look(settings.progress(counters.steps), run.algorithm.network)
    rows = [row for row in run.rows if row["updates"]]
    counted = ("steps", "updates", "discarded", "seconds", "cpu_seconds", "stale")
    found = {name: getattr(run.counters, name) for name in counted}
    return found | {
        "missed": float(missed(run.algorithm.network, range(len(PeriodicSim(1).configurations))).mean()),
        "before": _mean(turns.before if turns else []),
        "after": _mean(turns.after if turns else []),
        "age": _mean([row["age"] for row in rows]),
        "gradient_age": _mean([row["gradient_age"] for row in rows]),
    }


def _mean(found: Sequence[float]) -> float:
    return float(np.mean(found)) if found else float("nan")


class _Turns:
    """What is missed in each configuration when its turn comes, and when it is over."""

    def __init__(self, settings: Settings) -> None:
        configurations = PeriodicSim(1).configurations
        self._order = order_of(settings.order, configurations, settings.seed)
        jobs = np.array([len(jobs_of(pipelines(periods, SCALE))) for periods in configurations])
        self._by_own_jobs = jobs.mean() / jobs
        self.before, self.after, self._now = list[float](), list[float](), 0

    def look(self, progress: float, network: Network) -> None:
        """Judge the network if another configuration has its turn, or the last one's is over."""
        turn = min(len(self._order), int(progress * len(self._order)))
        if turn > self._now:
            numbers = self._order[[self._now, min(turn, len(self._order) - 1)]]
            found = missed(network, numbers) * self._by_own_jobs[numbers]
            self.after.append(float(found[0]))
            self.before += [float(found[1])] if turn < len(self._order) else []
            self._now = turn


def missed(network: Network, numbers: Sequence[int]) -> np.ndarray:
    """Missed deadlines in these configurations, as :meth:`PeriodicSim.cost`."""
    environments = PeriodicSim(len(numbers), scale=SCALE)
    environments.keep_to(np.asarray(numbers))
    return costs_of(environments, partial(best_actions, network), 1)


def rows_in(path: Path) -> list[dict[str, str]]:
    """The rows that a file has; none where there is no file."""
    return list(csv.DictReader(path.open())) if path.exists() else []


def add_rows(path: Path, wanted: Sequence[Way], seeds: Sequence[int], steps: int | None = None) -> None:
    """Make the rows that are missing, each as soon as it is there."""
    known = {(*list(row.values())[: len(asdict(Way()))], row["seed"]) for row in rows_in(path)}
    if not path.exists():
        path.write_text(",".join((*asdict(Way()), "seed", *FIGURES)) + "\n")
    for seed in seeds:
        for way in wanted:
            words = [str(value) for value in asdict(way).values()]
            if (*words, str(seed)) in known:
                continue
            with tempfile.TemporaryDirectory() as directory:
                found = figures(way, seed, Path(directory) / "run", steps)
            with path.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(
                    [*words, seed, *(f"{found[name]:.6g}" for name in FIGURES)]
                )
            print(f"{way}, seed {seed}: {found['missed']:.2f} % missed", flush=True)
