"""Runs of one environment in; what their networks cost in episodes that they have not learned from, and rules, out.

All act in the same episodes. Costs are compared episode by episode, by the logarithm of their ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.judging import Judge, Scored, costs_of
from schedtel.environments.registry import entry_of
from schedtel.errors import UsageError
from schedtel.training.held_out import Percent, percent_of
from schedtel.training.learner.algorithms import algorithm_of
from schedtel.training.learner.checkpoint import Checkpoint, load
from schedtel.training.learner.dqn import best_actions

#: What the networks of all runs are called together.
LEARNED = "learned"
_FEWEST = 2


@dataclass(frozen=True, eq=False)
class Judged:
    """Costs in one kind of episodes.

    :param rules: name of a rule → costs, shape (episodes,).
    :param learned: costs of the networks, shape (runs, episodes).
    """

    group: str
    rules: dict[str, NDArray[np.float64]]
    learned: NDArray[np.float64]

    @property
    def best(self) -> str:
        """The rule that costs least."""
        return min(self.rules, key=lambda name: float(np.log(self.rules[name]).mean()))

    def rule(self, name: str, against: str) -> Percent:
        """A rule beside another; the interval is over episodes."""
        return percent_of(np.log(self.rules[name] / self.rules[against]))

    def network(self, against: str) -> Percent:
        """The networks beside a rule; the interval is over runs, or over episodes where there is one run."""
        logs = np.log(self.learned / self.rules[against])
        return percent_of(logs.mean(axis=1) if len(logs) >= _FEWEST else logs[0])


def judged(directories: Sequence[Path], episodes: int, seed: int) -> tuple[Judge, list[Judged]]:
    """Have the networks of runs, and the rules of their environment, act in the same episodes.

    :param seed: of the episodes; a seed of a run draws others.

    Raises :class:`UsageError` for runs of different environments, for one without rules, and as
    :func:`~schedtel.training.learner.checkpoint.load`.
    """
    runs = [load(directory) for directory in directories]
    names = {run.settings.environment for run in runs}
    if len(names) > 1:
        raise UsageError(f"cannot judge runs of {' and '.join(sorted(names))} together: their costs differ")
    make = entry_of(names.pop()).judge
    if make is None:
        raise UsageError(f"cannot judge runs of {runs[0].settings.environment}: nothing is there to compare them with")
    judge = make()
    return judge, [_judged(judge, group, runs, episodes, seed) for group in judge.groups]


def _judged(judge: Judge, group: str, runs: Sequence[Checkpoint], episodes: int, seed: int) -> Judged:
    environments = judge.make(episodes, group)
    rules = {name: costs_of(environments, rule(environments), seed) for name, rule in judge.rules.items()}
    return Judged(group, rules, np.stack([_network_costs(environments, run, seed) for run in runs]))


def _network_costs(environments: Scored, run: Checkpoint, seed: int) -> NDArray[np.float64]:
    algorithm = algorithm_of(run.settings, environments)
    try:
        algorithm.fill(run.arrays)
    except ValueError as error:
        raise UsageError(f"cannot judge a run: its {error} is of another size (train it again)") from error
    return costs_of(environments, partial(best_actions, algorithm.network), seed)
