"""Windows with their costs in; what policies would cost on workloads that they were not trained on, out.

Each workload in turn is left out of the training, in all experiments that have it. What a policy then gives the windows
of that workload under the default arm is its first decision on an unknown load: the mean cost by its chances. The unit
of the intervals is a workload, since windows of one are alike; a difference is one of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schedtel.agent.context import Context
from schedtel.agent.policies.policy import Policy
from schedtel.agent.replay import CostTable
from schedtel.analysis.bootstrap import student_reach
from schedtel.errors import UsageError
from schedtel.training.fitting import fitted, without

#: Fewer workloads do not tell how much they differ.
LEAST_WORKLOADS = 3
RANDOM, STATIC, HINDSIGHT, ORACLE = "random", "best static of the others", "best static in hindsight", "oracle"


@dataclass(frozen=True)
class Percent:
    """A cost against another in percent, and its 95 % interval over workloads."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.1f} % [{self.low:+.1f}, {self.high:+.1f}]"


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Costs by workload: logarithms, where 0 is the default arm's.

    :param costs: name of a policy or yardstick → shape (workloads,).
    :param covered: part of the arms of left-out workloads whose true mean lay in the interval that the policy believed;
        by name of the policy, where it has intervals.
    """

    workloads: tuple[str, ...]
    costs: dict[str, np.ndarray]
    covered: dict[str, float]

    def against(self, name: str, other: str | None = None) -> Percent:
        """A cost against another's, or against the default arm's."""
        return percent_of(self.costs[name] - (self.costs[other] if other else 0.0))

    def worst(self, name: str) -> tuple[str, float]:
        """The workload that costs most beside the default arm, and how much in percent."""
        place = int(self.costs[name].argmax())
        return self.workloads[place], 100 * math.expm1(self.costs[name][place])


def percent_of(logs: np.ndarray) -> Percent:
    """The mean of logarithms of ratios, shape (n,), as a change in percent, with Student's interval."""
    mean, reach = float(logs.mean()), student_reach(logs)
    return Percent(*(100 * math.expm1(value) for value in (mean, mean - reach, mean + reach)))


def judge(names: Sequence[str], tables: Sequence[CostTable], features: Sequence[str]) -> HeldOut:
    """Train each policy without each workload, and let it decide there.

    :param names: of policies.

    Raises :class:`UsageError` for fewer than ``LEAST_WORKLOADS`` workloads, and the errors of :func:`fitted`.
    """
    workloads = tuple(sorted({workload for table in tables for workload in table.workloads}))
    if len(workloads) < LEAST_WORKLOADS:
        raise UsageError(
            f"cannot judge by {len(workloads)} workloads: each is left out in turn, and {LEAST_WORKLOADS} are needed"
        )
    costs: dict[str, list[float]] = {}
    hits: dict[str, list[float]] = {name: [] for name in names}
    for workload in workloads:
        others, its = (
            without(tables, [workload]),
            [table.of([workload]) for table in tables if workload in table.workloads],
        )
        for name in names:
            policy = fitted(name, others, features)
            costs.setdefault(name, []).append(_mean([_cost(policy, table) for table in its]))
            hits[name] += [hit for table in its for hit in _hits(policy, table)]
        for name, each in _yardsticks(others, its, tables).items():
            costs.setdefault(name, []).append(each)
    covered = {name: _mean(found) for name, found in hits.items() if found}
    return HeldOut(workloads, {name: np.array(each) for name, each in costs.items()}, covered)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _under_default(table: CostTable) -> list[Context]:
    """The windows of a table under its default arm."""
    contexts, _ = table.experiments()
    return [context for context in contexts if context.running == table.arms[0]]


def _cost(policy: Policy, table: CostTable) -> float:
    """The mean cost of the first decision in a table of one workload."""
    allowed = [arm for arm in table.arms if arm in policy.arms]
    by_arm = dict(zip(table.arms, table.means[0].tolist(), strict=True))
    rows = [policy.chances(context, allowed) for context in _under_default(table)]
    return _mean([sum(chance * by_arm[arm] for arm, chance in row.items()) for row in rows])


def _hits(policy: Policy, table: CostTable) -> list[float]:
    """For each window under the default arm and each arm: whether its true mean lies in the interval of the belief."""
    found = []
    for context in _under_default(table):
        beliefs = policy.beliefs(context)
        for arm, cost in zip(table.arms, table.means[0].tolist(), strict=True):
            if arm in beliefs and math.isfinite(beliefs[arm].width):
                found.append(float(abs(beliefs[arm].mean + cost) <= beliefs[arm].width))
    return found


def _yardsticks(others: Sequence[CostTable], its: Sequence[CostTable], all_: Sequence[CostTable]) -> dict[str, float]:
    """What no features tell, by the costs of a workload in each experiment that has it."""
    found: dict[str, list[float]] = {RANDOM: [], STATIC: [], HINDSIGHT: [], ORACLE: []}
    for table in its:
        row = dict(zip(table.arms, table.means[0].tolist(), strict=True))
        found[RANDOM].append(_mean(list(row.values())))
        found[STATIC].append(row[_best_static(others, table.arms)])
        found[HINDSIGHT].append(row[_best_static(all_, table.arms)])
        found[ORACLE].append(min(row.values()))
    return {name: _mean(values) for name, values in found.items()}


def _best_static(tables: Sequence[CostTable], arms: Sequence[str]) -> str:
    """The arm of the least mean cost over the workloads of these tables, of those that a machine has."""
    costs: dict[str, list[float]] = {}
    for table in tables:
        for place, arm in enumerate(table.arms):
            costs.setdefault(arm, []).extend(table.means[:, place].tolist())
    known = [arm for arm in arms if arm in costs]
    return min(known or arms[:1], key=lambda arm: _mean(costs.get(arm, [0.0])))


def text_of(held_out: HeldOut, chosen: Sequence[str]) -> list[str]:
    """A line for each policy and yardstick, and for each chosen policy its differences to what matters."""
    width = max(map(len, held_out.costs))
    lines = [f"{len(held_out.workloads)} workloads, each left out of the training in turn; cost of the first decision:"]
    lines += [f"  {name:{width}}  {held_out.against(name)}" for name in held_out.costs]
    for name in chosen:
        for other in (RANDOM, STATIC):
            lines.append(f"{name} against {other}: {held_out.against(name, other)}")
        workload, cost = held_out.worst(name)
        lines.append(f"{name} costs most in {workload}: {cost:+.1f} %")
    return lines
