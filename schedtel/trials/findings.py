"""The runs of a trial in; what each method costs beside EEVDF, round by round, and beside the other methods, out.

The cost of a phase is the study's L = TAT / TAT0 + RT / RT0 + CV / CV0 over 3, where 0 is the phase of the same plan
under EEVDF, so that EEVDF's is 1. A *score* is the geometric mean of the costs of a round's phases in one repeat: each
workload counts alike, however long its jobs are. Scores are compared in pairs, one of each repeat.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schedtel.experiments.findings import COST, COST_PARTS, disturbances, figures_of
from schedtel.experiments.spec import PLACEBO
from schedtel.experiments.statistics import Difference, compare
from schedtel.experiments.store import Run
from schedtel.trials.design import place_of
from schedtel.trials.spec import AGENT

#: An interval of a workload that lies below this shows that it is not more than a fifth worse than EEVDF.
_MUCH_WORSE = 1.2
#: (method, round, workload) → repeat → cost.
_Costs = Mapping[tuple[str, int, str], Mapping[int, float]]


@dataclass(frozen=True)
class Workload:
    """A method's cost of one workload in the last round, as a multiple of EEVDF's."""

    method: str
    workload: str
    difference: Difference


@dataclass(frozen=True)
class Findings:
    """What a trial shows. Ratios are below 1 where a method is better; intervals of one table hold for all of its row.

    :param rounds: numbers of the rounds.
    :param by_round: (method, round) → its score against EEVDF's, which is 1.
    :param against: (agent, other method) → the agent's score as a multiple of the other's, in the last round.
    :param best: the arm that never changes with the best score in the last round; None without one.
    :param by_workload: in the last round.
    :param repeats: that have all rounds under all methods.
    """

    title: str
    methods: tuple[str, ...]
    workloads: tuple[str, ...]
    rounds: tuple[int, ...]
    repeats: int
    by_round: Mapping[tuple[str, int], Difference]
    against: Mapping[tuple[str, str], Difference]
    best: str | None
    by_workload: Sequence[Workload]
    notes: Sequence[str]

    @property
    def agents(self) -> list[str]:
        """The methods that are agents."""
        return [method for method in self.methods if method.startswith(AGENT)]


def findings_of(title: str, runs: Sequence[Run], methods: Sequence[str]) -> Findings:
    """What the runs of a trial show.

    :param methods: those of its specification, in their order; the first is EEVDF.

    Raises :class:`ValueError` for runs that are no phases, and for no run of these methods.
    """
    places = {run.cell.workload: place_of(run.cell.workload) for run in runs}
    present = {run.cell.scheduler for run in runs}
    methods = tuple(method for method in methods if method in present)
    if not methods:
        raise ValueError("no run")
    rounds = tuple(sorted({number for number, _ in places.values()}))
    workloads = tuple(sorted({workload for _, workload in places.values()}))
    costs = _costs(runs, methods[0], places)
    repeats = _whole_repeats(costs, methods, rounds, workloads)
    scores = {
        (method, number): [_score(costs, method, number, workloads, repeat) for repeat in repeats]
        for method in methods
        for number in rounds
    }
    last = rounds[-1]
    others = methods[1:]
    by_round = {
        (method, number): difference
        for number in rounds
        for method, difference in compare({m: _pairs(scores[m, number], None) for m in others}).items()
    }
    still = [m for m in others if not m.startswith(AGENT) and m != PLACEBO and by_round[m, last].ratio]
    return Findings(
        title,
        methods,
        workloads,
        rounds,
        len(repeats),
        by_round,
        _against(scores, others, last),
        min(still, key=lambda method: by_round[method, last].ratio or math.inf, default=None),
        [w for workload in workloads for w in _of_workload(costs, others, last, workload, repeats)],
        _notes(runs, repeats),
    )


def _costs(runs: Sequence[Run], baseline: str, places: Mapping[str, tuple[int, str]]) -> _Costs:
    return {
        (method, *places[name]): {
            repeat: figures[COST] / len(COST_PARTS) for repeat, figures in repeats.items() if COST in figures
        }
        for name, arms in figures_of(runs, baseline).items()
        for method, repeats in arms.items()
    }


def _whole_repeats(costs: _Costs, methods: Sequence[str], rounds: Sequence[int], workloads: Sequence[str]) -> list[int]:
    """The repeats of which every phase has a cost under every method."""
    every = [set(costs.get((m, number, w), ())) for m in methods for number in rounds for w in workloads]
    return sorted(set.intersection(*every)) if every else []


def _score(costs: _Costs, method: str, number: int, workloads: Sequence[str], repeat: int) -> float:
    logs = [math.log(costs[method, number, workload][repeat]) for workload in workloads]
    return math.exp(sum(logs) / len(logs))


def _pairs(scores: Iterable[float], others: Iterable[float] | None) -> list[tuple[float, float] | None]:
    """Scores with those of another method; None: with EEVDF's."""
    values = list(scores)
    return list(zip(values, others if others is not None else [1.0] * len(values), strict=True))


def _against(
    scores: Mapping[tuple[str, int], Sequence[float]], methods: Sequence[str], last: int
) -> dict[tuple[str, str], Difference]:
    """All agents beside all other methods: one family, since the best of them is picked by a reader."""
    named = {
        f"{agent} {method}": (agent, method)
        for agent in methods
        for method in methods
        if agent.startswith(AGENT) and method != agent
    }
    pairs = {key: _pairs(scores[agent, last], scores[method, last]) for key, (agent, method) in named.items()}
    return {named[key]: difference for key, difference in compare(pairs).items()} if pairs else {}


def _of_workload(
    costs: _Costs, methods: Sequence[str], last: int, workload: str, repeats: Sequence[int]
) -> Iterable[Workload]:
    pairs = {m: _pairs((costs[m, last, workload][repeat] for repeat in repeats), None) for m in methods}
    return [Workload(method, workload, difference) for method, difference in compare(pairs).items()]


def _notes(runs: Sequence[Run], repeats: Sequence[int]) -> list[str]:
    notes = []
    left_out = len({run.cell.repeat for run in runs} - set(repeats))
    if left_out:
        notes.append(f"{left_out} repeats are left out: a phase of them is missing, or has no cost")
    if not any(run.cell.scheduler == PLACEBO for run in runs):
        notes.append(f'no placebo was run (add "{PLACEBO}" to the schedulers)')
    late = sum(bool(run.provenance.get("late")) for run in runs)
    if late:
        notes.append(f"in {late} of {len(runs)} phases the generator could not keep its plan")
    return notes + disturbances(runs)


def not_worse(findings: Findings, method: str) -> tuple[int, int, int]:
    """Of the workloads in the last round: how many are not shown to be worse than EEVDF, how many are not worse by
    more than a fifth by their mean, and how many there are.
    """
    each = [w.difference for w in findings.by_workload if w.method == method and w.difference.ratio is not None]
    unharmed = sum(not (difference.shown and (difference.ratio or 0) > 1) for difference in each)
    little = sum((difference.ratio or 0) <= _MUCH_WORSE for difference in each)
    return unharmed, little, len(each)
