"""All runs of an experiment in; what they show, out: variability, comparisons with the baseline, winners, placebos.

The cost of a run is the study's L = TAT / TAT0 + RT / RT0 + CV / CV0, where 0 is the baseline's run of the same
workload and repeat. So L of the baseline is 3. It is compared with 3 in each pair.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schedtel.experiments.spec import PLACEBO
from schedtel.experiments.statistics import Difference, Variability, compare, variability
from schedtel.experiments.store import Run

#: The figures that are added up for the cost.
COST_PARTS = ("tat_mean_ns", "rt_mean_ns", "share_cv")
COST = "cost"


@dataclass(frozen=True)
class Figure:
    """A figure of a run: name, unit, what it is, and whether less or more of it is better (neither: an empty text)."""

    name: str
    unit: str
    meaning: str
    better: str = ""


#: The figures in their order. ``cost`` is made here; the others are in the runs (see :mod:`.outcomes`).
FIGURES = (
    Figure(COST, "1", "L = TAT / TAT0 + RT / RT0 + CV / CV0 beside the baseline's run of the same seed", "less"),
    Figure("tat_mean_ns", "ns", "mean turnaround time of jobs: planned arrival to completion", "less"),
    Figure("tat_p99_ns", "ns", "99th percentile of the turnaround time of jobs", "less"),
    Figure("rt_mean_ns", "ns", "mean response time of jobs: planned arrival to first CPU", "less"),
    Figure("rt_p99_ns", "ns", "99th percentile of the response time of jobs", "less"),
    Figure("share_cv", "1", "coefficient of variation of cpu / (cpu + wait) over the workload's tasks", "less"),
    Figure("share_jain", "1", "Jain's index of cpu / (cpu + wait) over the workload's tasks", "more"),
    Figure("jobs_completed", "1", "jobs completed of those that count", "more"),
    Figure("cpu_ns", "ns", "CPU time of the workload's tasks", "more"),
    Figure("switches", "1", "context switches of the workload's tasks"),
    Figure("migrations", "1", "migrations of the workload's tasks"),
)
#: The figures of a CPU. They are of all tasks that ran on it.
CORE_FIGURES = (
    Figure("core_busy_share", "1", "part of the time in which a task was on the CPU"),
    Figure("core_switches_per_s", "1/s", "context switches on the CPU, to and from idle included"),
    Figure("core_waits_per_s", "1/s", "waits for a CPU that ended on this one"),
    Figure("core_wait_p50_ns", "ns", "median of these waits"),
    Figure("core_wait_p99_ns", "ns", "99th percentile of these waits"),
)
_NAMES = [figure.name for figure in FIGURES]
_CORE_NAMES = {figure.name for figure in CORE_FIGURES}
BY_NAME = {figure.name: figure for figure in (*FIGURES, *CORE_FIGURES)}
#: What a scheduler may be chosen for, in words, and the figure that decides.
OBJECTIVES = {
    "cost L": COST,
    "mean TAT": "tat_mean_ns",
    "p99 response": "rt_p99_ns",
    "fairness": "share_cv",
    "throughput": "jobs_completed",
}


@dataclass(frozen=True)
class Comparison:
    """A figure of a workload under an arm, compared with the baseline."""

    workload: str
    scheduler: str
    figure: str
    difference: Difference


@dataclass(frozen=True)
class Winner:
    """The arm with the best figure of a workload for an objective.

    :param shown: whether its interval shows that it is better than the baseline; False for the baseline itself.
    """

    workload: str
    objective: str
    scheduler: str
    ratio: float | None
    shown: bool


@dataclass(frozen=True)
class Findings:
    """What an experiment shows.

    :param variability: (workload, scheduler, figure) → spread over repeats.
    :param core_variability: (workload, scheduler, CPU, figure of the CPU) → spread over repeats.
    """

    title: str
    baseline: str
    workloads: tuple[str, ...]
    schedulers: tuple[str, ...]
    runs: int
    variability: Mapping[tuple[str, str, str], Variability]
    core_variability: Mapping[tuple[str, str, int, str], Variability]
    comparisons: Sequence[Comparison]
    winners: Sequence[Winner]
    notes: Sequence[str]

    def difference(self, workload: str, scheduler: str, figure: str) -> Difference | None:
        """One comparison; None for the baseline and for what was not run."""
        wanted = (workload, scheduler, figure)
        return next((c.difference for c in self.comparisons if (c.workload, c.scheduler, c.figure) == wanted), None)


#: workload → scheduler → repeat → figures
Figures = dict[str, dict[str, dict[int, dict[str, float]]]]


def findings_of(title: str, runs: Sequence[Run], arms: Sequence[str]) -> Findings:
    """What the runs of one experiment show.

    :param arms: the schedulers of its specification, in their order; the first one is the baseline.
    """
    workloads = tuple(sorted({run.cell.workload for run in runs}))
    present = {run.cell.scheduler for run in runs}
    schedulers = tuple([name for name in arms if name in present] + sorted(present - set(arms)))
    baseline = schedulers[0] if schedulers else ""
    figures = figures_of(runs, baseline)
    comparisons = [c for workload in workloads for c in _compared(workload, figures[workload], schedulers)]
    return Findings(
        title,
        baseline,
        workloads,
        schedulers,
        len(runs),
        _variability(figures),
        _core_variability(runs),
        comparisons,
        [w for workload in workloads for w in _winners(workload, baseline, comparisons)],
        _notes(runs, comparisons),
    )


def figures_of(runs: Sequence[Run], baseline: str) -> Figures:
    """The figures of each run, with its cost where it and the baseline's run have all parts of it."""
    return _with_cost(_by_cell(runs), baseline)


def _by_cell(runs: Sequence[Run]) -> Figures:
    table: Figures = defaultdict(lambda: defaultdict(dict))
    for run in runs:
        table[run.cell.workload][run.cell.scheduler][run.cell.repeat] = dict(run.figures)
    return table


def _with_cost(table: Figures, baseline: str) -> Figures:
    for arms in table.values():
        base = {repeat: dict(figures) for repeat, figures in arms.get(baseline, {}).items()}
        for repeats in arms.values():
            for repeat, figures in repeats.items():
                cost = _cost(figures, base.get(repeat, {}))
                if cost is not None:
                    figures[COST] = cost
    return table


def _cost(figures: Mapping[str, float], base: Mapping[str, float]) -> float | None:
    parts = [(figures.get(name), base.get(name)) for name in COST_PARTS]
    ratios = [part / below for part, below in parts if part is not None and below]
    return sum(ratios) if len(ratios) == len(COST_PARTS) else None


def _variability(table: Figures) -> dict[tuple[str, str, str], Variability]:
    found = {}
    for workload, arms in table.items():
        for scheduler, repeats in arms.items():
            for name in _NAMES:
                values = [figures[name] for figures in repeats.values() if name in figures]
                if values:
                    found[workload, scheduler, name] = variability(values)
    return found


def _core_variability(runs: Sequence[Run]) -> dict[tuple[str, str, int, str], Variability]:
    values = defaultdict(list)
    for run in runs:
        for cpu, figures in run.cpus.items():
            for name in _CORE_NAMES & figures.keys():
                values[run.cell.workload, run.cell.scheduler, int(cpu), name].append(figures[name])
    return {key: variability(each) for key, each in sorted(values.items())}


def _compared(
    workload: str, arms: dict[str, dict[int, dict[str, float]]], schedulers: Sequence[str]
) -> list[Comparison]:
    """All comparisons of a workload. Those of one figure are a family."""
    base, found = arms.get(schedulers[0], {}), []
    others = [scheduler for scheduler in schedulers[1:] if scheduler in arms]
    repeats = sorted({repeat for each in arms.values() for repeat in each})
    for name in _NAMES:
        pairs = {
            arm: [_pair(arms[arm].get(repeat, {}), base.get(repeat, {}), name) for repeat in repeats] for arm in others
        }
        for arm, difference in compare(pairs).items():
            if difference.pairs:
                found.append(Comparison(workload, arm, name, difference))
    return found


def _pair(figures: Mapping[str, float], base: Mapping[str, float], name: str) -> tuple[float, float] | None:
    return (figures[name], base[name]) if name in figures and name in base else None


def _winners(workload: str, baseline: str, comparisons: Sequence[Comparison]) -> list[Winner]:
    return [_winner(workload, baseline, objective, name, comparisons) for objective, name in OBJECTIVES.items()]


def _winner(workload: str, baseline: str, objective: str, name: str, comparisons: Sequence[Comparison]) -> Winner:
    """The arm whose ratio is the best, if it is better than 1; a placebo cannot win."""
    less = BY_NAME[name].better == "less"
    candidates = [
        (c.difference.ratio if less else 1 / c.difference.ratio, c)
        for c in comparisons
        if (c.workload, c.figure) == (workload, name) and c.difference.ratio and c.scheduler != PLACEBO
    ]
    best = min(candidates, key=lambda candidate: candidate[0], default=None)
    if best is None or best[0] >= 1:
        return Winner(workload, objective, baseline, None, shown=False)
    return Winner(workload, objective, best[1].scheduler, best[1].difference.ratio, best[1].difference.shown)


def _notes(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> list[str]:
    """What a reader has to know before the figures: a placebo that does something, machines that were disturbed."""
    notes = _about_the_placebo([c for c in comparisons if c.scheduler == PLACEBO])
    if not any(run.cell.scheduler == PLACEBO for run in runs):
        notes.append(f'no placebo arm was run (add "{PLACEBO}" to the schedulers)')
    late = sum(bool(run.provenance.get("late")) for run in runs)
    if late:
        notes.append(f"in {late} of {len(runs)} runs the generator could not keep its plan")
    return notes + disturbances(runs)


def disturbances(runs: Sequence[Run]) -> list[str]:
    """A line that says in how many runs others took much of the CPUs; none without any."""
    disturbed = sum(float(run.provenance.get("foreign_cpu_share") or 0) > _DISTURBED for run in runs)
    if not disturbed:
        return []
    return [f"in {disturbed} of {len(runs)} runs others took more than {_DISTURBED:.0%} of the CPUs"]


def _about_the_placebo(comparisons: Sequence[Comparison]) -> list[str]:
    """One note, and in it the first of the comparisons in which a placebo differs."""
    differs = [f"{c.figure} of {c.workload}" for c in comparisons if c.difference.shown]
    if not differs:
        return []
    named = ", ".join(differs[:_MOST_NAMED]) + (", …" if len(differs) > _MOST_NAMED else "")
    where = f"{len(differs)} of {len(comparisons)} comparisons ({named})"
    why = "scatter alone raises a cost" if {c.figure for c in comparisons if c.difference.shown} == {COST} else _NARROW
    return [f"the placebo differs from the baseline in {where}: {why}"]


_NARROW = "intervals may be too narrow here"
_DISTURBED = 0.05
_MOST_NAMED = 3
