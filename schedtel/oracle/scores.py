"""Forecasts and answers in; top-1, top-5, the negative log-likelihood and the calibration error out, with intervals.

Workloads are the unit: rows of a run are alike, and runs of a workload nearly so. What is resampled for an interval are
workloads, runs within each, and the seeds of a trained forecaster. Each run of a workload counts the same, and so does
each workload.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schedtel.oracle.samples import OTHER, Samples

#: Bins of the chance that is given to the first choice; the calibration error is over these.
BINS = 15
_FIRST = 5
_RESAMPLES, _LEVEL = 2000, 0.95


@dataclass(frozen=True)
class Score:
    """How good the forecasts of a run are. NLL in nats; ``bins``, shape (3, BINS): the share of forecasts whose first
    choice has such a chance, the sum of these chances, and of those that came true, by the number of forecasts.
    """

    n: int
    top1: float
    top5: float
    nll: float
    bins: np.ndarray


def score(forecasts: np.ndarray, samples: Samples, rows: np.ndarray | None = None) -> Score:
    """The score of forecasts.

    :param forecasts: logarithms of chances, shape (n, MOST_CANDIDATES + 1). The last column is never a choice: where
        none of the candidates comes, a forecast is wrong.
    :param rows: which forecasts count; None: all.
    """
    chosen = np.arange(len(samples)) if rows is None else np.flatnonzero(rows)
    own, answers = forecasts[chosen], samples.answers[chosen]
    if not len(own):
        return Score(0, np.nan, np.nan, np.nan, np.zeros((3, BINS)))
    choices = np.argsort(-own[:, :OTHER], axis=1, kind="stable")[:, :_FIRST]
    right = choices == answers[:, None]
    first = np.exp(own[np.arange(len(own)), choices[:, 0]])
    which = np.minimum((first * BINS).astype(np.int64), BINS - 1)
    bins = np.stack([np.bincount(which, weights, BINS) for weights in (None, first, right[:, 0])]) / len(own)
    nll = -float(own[np.arange(len(own)), answers].clip(min=-50).mean())
    return Score(len(own), float(right[:, 0].mean()), float(right.any(axis=1).mean()), nll, bins)


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval."""

    value: float
    low: float
    high: float


class Figures:
    """Scores of a forecaster: by seed and by run.

    :param scores: shape (seeds, runs); a forecaster that is not trained has one seed.
    :param workloads: that of each run.
    """

    def __init__(self, scores: Sequence[Sequence[Score]], workloads: Sequence[str]) -> None:
        self._scores = scores
        names = list(dict.fromkeys(workloads))
        #: For each workload, the places of its runs that have forecasts at all.
        self._places = [
            np.array([at for at, of in enumerate(workloads) if of == name and scores[0][at].n], np.int64)
            for name in names
        ]
        self.by_workload = {name: at for name, at in zip(names, self._places, strict=True) if len(at)}

    @property
    def n(self) -> int:
        return sum(one.n for one in self._scores[0])

    def values(self, name: str) -> np.ndarray:
        """A number of all runs: shape (seeds, runs)."""
        return np.array([[getattr(one, name) for one in row] for row in self._scores], np.float64)

    def mean(self, name: str, beside: Figures | None = None) -> Interval:
        """The mean over workloads; of the difference to another forecaster in the same runs, if one is given."""
        return _interval(self.values(name), None if beside is None else beside.values(name), self._usable())

    def of_workload(self, name: str, workload: str) -> float:
        """The mean over the runs of a workload and over seeds."""
        return float(self.values(name)[:, self.by_workload[workload]].mean())

    def calibration_error(self) -> float:
        """The expected difference between the chance of the first choice and how often it comes true; over seeds."""
        found = []
        for row in self._scores:
            together = np.mean([np.mean([row[at].bins for at in places], axis=0) for places in self._usable()], axis=0)
            found.append(float(np.abs(together[1] - together[2]).sum()))
        return float(np.mean(found))

    def reliability(self) -> list[list[float]]:
        """Of each bin: share of forecasts, mean chance, share that came true; over all seeds."""
        together = np.mean(
            [np.mean([row[at].bins for at in places], axis=0) for row in self._scores for places in self._usable()],
            axis=0,
        )
        share = together[0]
        return [
            [float(share[b]), *(float(together[k][b] / share[b]) for k in (1, 2))] for b in range(BINS) if share[b] > 0
        ]

    def _usable(self) -> list[np.ndarray]:
        return list(self.by_workload.values())


def _interval(values: np.ndarray, beside: np.ndarray | None, places: list[np.ndarray]) -> Interval:
    """The mean over workloads of the means over their runs and over seeds; by resamples of all three, its interval.

    :param values: of shape (seeds, runs); ``beside``, which is taken from it, may have other seeds.
    """
    random = np.random.default_rng(0)
    runs = np.zeros((_RESAMPLES + 1, values.shape[1]))
    workloads = _drawn(len(places), random)
    for place, own in enumerate(places):
        runs[:, own] = workloads[:, place, None] * _drawn(len(own), random)
    found = _means(values, runs, random)
    if beside is not None:
        found -= _means(beside, runs, random)
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(found[1:], [tail, 1 - tail])
    return Interval(float(found[0]), float(low), float(high))


def _means(values: np.ndarray, runs: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Means by weights of runs, shape (resamples + 1, runs): the first with all seeds, the others with drawn ones."""
    seeds = _drawn(len(values), random)
    return np.einsum("ks,sr,kr->k", seeds, np.nan_to_num(values), runs, optimize=True)


def _drawn(number: int, random: np.random.Generator) -> np.ndarray:
    """Weights of so many things, shape (resamples + 1, number): each the same first, and then as often as drawn."""
    drawn = random.multinomial(number, np.full(number, 1 / number), _RESAMPLES)
    return np.concatenate([np.ones((1, number)), drawn]) / number
