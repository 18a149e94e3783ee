"""Runs of one environment in; what their networks cost in episodes that they have not learned from, and rules, out.

All act in the same episodes. Costs are compared episode by episode: by the logarithm of their ratio, or by their
difference where they may be 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from schedtel.analysis.bootstrap import student_reach
from schedtel.environments.judging import Costs, Judge, Scored, costs_of
from schedtel.environments.registry import entry_of, options_of
from schedtel.errors import UsageError
from schedtel.training.held_out import Percent, percent_of
from schedtel.training.learner.algorithms import network_in
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
    rules: dict[str, Costs]
    learned: Costs
    by_difference: bool = False

    def rule(self, name: str, against: str) -> Percent:
        """A rule beside another; the interval is over episodes."""
        return self._compared(self._beside(self.rules[name], against))

    def network(self, against: str) -> Percent:
        """The networks beside a rule; the interval is over runs, or over episodes where there is one run."""
        beside = self._beside(self.learned, against)
        return self._compared(beside.mean(axis=1) if len(beside) >= _FEWEST else beside[0])

    def _beside(self, costs: Costs, against: str) -> Costs:
        other = self.rules[against]
        return costs - other if self.by_difference else np.log(costs / other)

    def _compared(self, beside: Costs) -> Percent:
        if not self.by_difference:
            return percent_of(beside)
        mean, reach = float(beside.mean()), student_reach(beside)
        return Percent(mean, mean - reach, mean + reach)


def judged(
    directories: Sequence[Path], episodes: int, seed: int, options: Mapping[str, Any] | None = None
) -> tuple[Judge, list[Judged]]:
    """Have the networks of runs, and the rules of their environment, act in the same episodes.

    :param seed: of the episodes; a seed of a run draws others.
    :param options: of the environment, by which it may differ from that of the runs.

    Raises :class:`UsageError` for runs of different environments, for one without rules, and as
    :func:`~schedtel.training.learner.checkpoint.load`.
    """
    runs = [load(directory) for directory in directories]
    names = {run.settings.environment for run in runs}
    if len(names) > 1:
        raise UsageError(f"cannot judge runs of {' and '.join(sorted(names))} together: their costs differ")
    chosen = [options_of(run.settings.environment, {**run.settings.options, **(options or {})}) for run in runs]
    if any(one != chosen[0] for one in chosen):
        raise UsageError("cannot judge runs of different options together: their costs differ (say in which to judge)")
    judge = entry_of(names.pop()).judge(**chosen[0])
    return judge, [_judged(judge, group, runs, episodes, seed) for group in judge.groups]


def _judged(judge: Judge, group: str, runs: Sequence[Checkpoint], episodes: int, seed: int) -> Judged:
    environments = judge.make(episodes, group)
    rules = {name: rule(environments, seed) for name, rule in judge.rules.items()}
    learned = np.stack([_network_costs(environments, run, seed) for run in runs])
    return Judged(group, rules, learned, judge.by_difference)


def _network_costs(environments: Scored, run: Checkpoint, seed: int) -> Costs:
    return costs_of(environments, partial(best_actions, network_in(run, environments)), seed)
