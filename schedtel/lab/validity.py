"""Runs of one experiment on this machine and in the lab in; how far the lab's ratios are those of the machine, out.

A pair is a workload under an arm. Its ratios are those of the arm's figures to the baseline's of the same repeat,
averaged over the repeats that both sides have: the same seeds, and so the same plans.
"""

import math
import os
import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schedtel.errors import UsageError
from schedtel.experiments.findings import COST, Figures, disturbances, figures_of
from schedtel.experiments.store import Run, machines_of, read_store
from schedtel.lab.jobs import CPUS
from schedtel.lab.packages import DEFAULT_KERNEL, KERNEL_SUITES

#: The experiment that is run unless another one is given.
GRID = Path(__file__).with_name("validity.toml")
#: Directories of the two sides.
LIVE, LAB = "live", "lab"
#: The figures that are compared, by the names that they are reported under.
FIGURES = {"L": COST, "TAT": "tat_mean_ns", "RT": "rt_mean_ns"}
#: What makes no other experiment: see ExperimentSpec.digest().
_MAY_DIFFER = {"title": "", "repeats": 0}
#: Fewer pairs have no ranks worth a correlation.
_LEAST_PAIRS = 3
#: Fewer repeats do not tell how much they scatter.
_LEAST_REPEATS = 3


@dataclass(frozen=True)
class Pair:
    """A workload under an arm: the ratios of one figure to the baseline's, on this machine and in the lab."""

    workload: str
    scheduler: str
    live: float
    lab: float

    @property
    def same_sign(self) -> bool:
        """Whether both ratios are on one side of 1."""
        return (self.live - 1) * (self.lab - 1) > 0 or self.live == self.lab


@dataclass(frozen=True)
class Agreement:
    """How far the lab's ratios of a figure are those of this machine.

    :param figure: one of ``FIGURES``.
    :param rank_correlation: Spearman's, over the pairs; None for fewer than three, or if one side has no order.
    :param standard_error: of the rank correlation, by leaving out each repeat in turn (the jackknife; B. Efron, The
        Jackknife, the Bootstrap and Other Resampling Plans, 1982, chapter 3): what other plans would change. None for
        fewer than three repeats.
    :param same_sign: pairs whose ratios are on one side of 1.
    :param median_error: median over pairs of the larger of lab / live and live / lab, less 1; None without pairs.
    :param live_halves: rank correlation of the machine with itself: even repeats against odd ones. Where a side does
        not repeat its own order, the other can hardly have it. None for fewer than two repeats.
    :param lab_halves: the same of the lab.
    """

    figure: str
    pairs: tuple[Pair, ...]
    rank_correlation: float | None
    standard_error: float | None
    same_sign: int
    median_error: float | None
    live_halves: float | None
    lab_halves: float | None


@dataclass(frozen=True)
class Validity:
    """The agreements of all figures, and of what.

    :param repeats: repeats of which both sides have runs.
    :param live, lab: what made the runs.
    :param notes: what a reader has to know before the figures.
    """

    title: str
    baseline: str
    repeats: int
    live: str
    lab: str
    agreements: tuple[Agreement, ...]
    notes: tuple[str, ...]


def kernel_like_this_one() -> str:
    """The lab's kernel of this machine's version, or its default one where it has none."""
    return next((version for version in KERNEL_SUITES if platform.release().startswith(f"{version}.")), DEFAULT_KERNEL)


def cpus_like_here() -> int:
    """This machine's number of CPUs, or the largest number that the lab has."""
    return min(len(os.sched_getaffinity(0)), max(CPUS))


def validity_of(root: str | os.PathLike[str]) -> Validity:
    """What the runs below a directory show, as far as both sides have them.

    Raises :class:`RecordingError` for a side that is missing or damaged, :class:`UsageError` if the sides have no run
    in common.
    """
    (spec, live), (other, lab) = (read_store(Path(root) / side) for side in (LIVE, LAB))
    if spec | _MAY_DIFFER != other | _MAY_DIFFER:
        raise UsageError(f"cannot compare the sides of {root}: they ran different experiments (run both with one SPEC)")
    common = {run.cell for run in live} & {run.cell for run in lab}
    live, lab = ([run for run in runs if run.cell in common] for runs in (live, lab))
    if not common:
        raise UsageError(f"cannot compare the sides of {root}: no run is whole on both (go on with -o {root})")
    arms = [str(arm) for arm in spec["schedulers"]]
    sides = [figures_of(runs, arms[0]) for runs in (live, lab)]
    repeats = sorted({cell.repeat for cell in common})
    return Validity(
        str(spec.get("title", "experiment")),
        arms[0],
        len(repeats),
        machines_of(live),
        machines_of(lab),
        tuple(_agreement(name, _Grid(FIGURES[name], arms, *sides), repeats) for name in FIGURES),
        tuple(_notes(live, lab)),
    )


@dataclass(frozen=True)
class _Grid:
    """One figure of all runs of both sides."""

    figure: str
    arms: Sequence[str]
    live: Figures
    lab: Figures

    def pairs(self, repeats: Collection[int]) -> list[Pair]:
        """All workloads under all arms beside the baseline, by some repeats, as far as both sides have ratios."""
        live, lab = self._ratios(self.live, repeats), self._ratios(self.lab, repeats)
        return [Pair(*place, live[place], lab[place]) for place in live if place in lab]

    def halves(self, side: Figures, repeats: Sequence[int]) -> float | None:
        """The rank correlation of a side's even repeats with its odd ones."""
        even, odd = (self._ratios(side, [n for n in repeats if n % 2 == rest]) for rest in (0, 1))
        both = [place for place in even if place in odd]
        return rank_correlation([even[place] for place in both], [odd[place] for place in both])

    def _ratios(self, side: Figures, repeats: Collection[int]) -> dict[tuple[str, str], float]:
        found = {}
        for workload in sorted(side):
            runs = side[workload]
            for arm in (arm for arm in self.arms[1:] if arm in runs):
                pairs = [(runs[arm].get(n, {}).get(self.figure), runs[self.arms[0]].get(n, {}).get(self.figure))
                         for n in repeats]  # fmt: skip
                logs = [math.log(value / base) for value, base in pairs if value and base]
                if logs:
                    found[workload, arm] = math.exp(sum(logs) / len(logs))
        return found


def _agreement(name: str, grid: _Grid, repeats: Sequence[int]) -> Agreement:
    pairs = grid.pairs(repeats)
    errors = [max(pair.lab / pair.live, pair.live / pair.lab) - 1 for pair in pairs]
    without_one = [_correlation(grid.pairs([n for n in repeats if n != out])) for out in repeats]
    return Agreement(
        name,
        tuple(pairs),
        _correlation(pairs),
        _jackknife_error([each for each in without_one if each is not None]),
        sum(pair.same_sign for pair in pairs),
        float(np.median(errors)) if errors else None,
        grid.halves(grid.live, repeats),
        grid.halves(grid.lab, repeats),
    )


def _jackknife_error(without_one: Sequence[float]) -> float | None:
    n = len(without_one)
    return math.sqrt((n - 1) * float(np.var(without_one))) if n >= _LEAST_REPEATS else None


def _correlation(pairs: Sequence[Pair]) -> float | None:
    return rank_correlation([pair.live for pair in pairs], [pair.lab for pair in pairs])


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's: the correlation of ranks, in which equal values share the mean of theirs.

    None for fewer than three values, and where one side has but one value.
    """
    if len(a) < _LEAST_PAIRS or len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray:
    _, place, count = np.unique(np.array(values), return_inverse=True, return_counts=True)
    last = np.cumsum(count)  # the rank of the last of equal values
    return (last - (count - 1) / 2)[place]


def _notes(live: Sequence[Run], lab: Sequence[Run]) -> list[str]:
    notes = []
    kernels = [{_version(run) for run in runs} for runs in (live, lab)]
    if kernels[0] != kernels[1]:
        notes.append("the kernels are not of one version: schedulers change between versions")
    if {run.provenance.get("cpus") for run in live} != {run.provenance.get("cpus") for run in lab}:
        notes.append("the numbers of CPUs are not the same: workloads load one side more than the other")
    return notes + [f"on this machine, {note}" for note in disturbances(live)]


def _version(run: Run) -> str:
    """Such as ``6.18``."""
    return ".".join(str(run.provenance.get("kernel")).split(".")[:2])
