"""Figures of paired runs in; differences with intervals that hold for all of them at once, and needed repeats, out.

A figure of an arm is compared with the baseline's of the same repeat, by the logarithm of their ratio: durations are
skewed, and a doubling and a halving are equally far from 0. The standard error is that of the mean over repeats. The
interval is mean ± c x standard error, and c is one number for all comparisons of a family: the quantile of the largest
|t| among them in resamples of the repeats, drawn for all arms together (bootstrap-t with the maximum statistic:
P. Westfall, S. Young, "Resampling-Based Multiple Testing", 1993; P. Hall, "The Bootstrap and Edgeworth Expansion",
1992). So the chance that any interval of the family misses its true value is that of one interval. With few repeats,
resamples of which hardly any two values differ say nothing about the scatter and do not count; and c is at least what
Student's distribution with the Bonferroni correction asks for.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from schedtel.analysis.bootstrap import student_quantile

CONFIDENCE = 0.95
POWER = 0.80
RESAMPLES = 4000
#: Different repeats that a resample must have, or all where there are fewer.
_LEAST_DIFFERENT = 4
#: Fewer pairs than this do not show how much they vary.
LEAST_PAIRS = 3
#: The difference that the power line is about: 5 %.
SMALL = 0.05


@dataclass(frozen=True)
class Variability:
    """A figure over repeats: mean, sample standard deviation, and coefficient of variation in percent.

    ``std`` and ``cv_percent`` are None for fewer than two runs, ``cv_percent`` also for a mean of 0.
    """

    runs: int
    mean: float
    std: float | None
    cv_percent: float | None


@dataclass(frozen=True)
class Difference:
    """A figure of an arm, as a multiple of the baseline's; intervals hold for the whole family at once.

    :param ratio: geometric mean over pairs; None without pairs in which both are above 0.
    :param low, high: the interval of the ratio; None for fewer than ``LEAST_PAIRS`` pairs.
    :param shown: whether the interval leaves 1 out.
    :param least_shown: the smallest increase, as a share, that so many pairs with this scatter would show with a
        probability of ``POWER``; None if unknown.
    :param needed: pairs that a difference of 5 % needs for that; None if unknown.
    """

    pairs: int
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    shown: bool = False
    least_shown: float | None = None
    needed: int | None = None


def variability(values: Sequence[float]) -> Variability:
    """Mean and spread of a figure over repeats, at least one."""
    mean = statistics.fmean(values)
    std = statistics.stdev(values) if len(values) > 1 else None
    return Variability(len(values), mean, std, None if std is None or not mean else 100 * std / abs(mean))


def compare(
    pairs: Mapping[str, Sequence[tuple[float, float] | None]], confidence: float = CONFIDENCE, seed: int = 0
) -> dict[str, Difference]:
    """Name → difference, for all comparisons of a family.

    :param pairs: name → the figure and the baseline's in each repeat, None where one of them is missing; all of one
        length.
    """
    logs = {name: np.array([_log_ratio(pair) for pair in each]) for name, each in pairs.items()}
    judged = [name for name, each in logs.items() if np.isfinite(each).sum() >= LEAST_PAIRS]
    factor = _factor(np.array([logs[name] for name in judged]), confidence, seed) if judged else math.nan
    return {name: _difference(each, factor if name in judged else math.nan, len(judged)) for name, each in logs.items()}


def _log_ratio(pair: tuple[float, float] | None) -> float:
    return math.log(pair[0] / pair[1]) if pair and min(pair) > 0 else math.nan


def _factor(logs: np.ndarray, confidence: float, seed: int) -> float:
    """c for all rows of an array of shape (comparisons, repeats), which has NaN where a pair is missing."""
    comparisons, repeats = logs.shape
    drawn = _resamples(repeats, seed)
    means, largest = np.nanmean(logs, axis=1), np.zeros(len(drawn))
    with np.errstate(invalid="ignore", divide="ignore"):
        for values, mean in zip(logs, means, strict=True):
            resampled = values[drawn]
            count = np.isfinite(resampled).sum(axis=1)
            usable = count >= 2
            error = np.full(len(drawn), np.nan)
            error[usable] = np.nanstd(resampled[usable], axis=1, ddof=1) / np.sqrt(count[usable])
            t = np.full(len(drawn), np.nan)
            t[usable] = np.abs(np.nanmean(resampled[usable], axis=1) - mean) / error[usable]
            largest = np.fmax(largest, np.where(np.isfinite(t), t, 0))
    fewest = int(np.isfinite(logs).sum(axis=1).min())
    student = student_quantile(1 - (1 - confidence) / 2 / comparisons, fewest - 1)
    return max(student, float(np.quantile(largest, confidence)))


def _resamples(repeats: int, seed: int) -> np.ndarray:
    """Numbers of repeats, drawn with replacement: shape (up to RESAMPLES, repeats)."""
    drawn = np.random.default_rng(seed).integers(repeats, size=(RESAMPLES, repeats))
    different = 1 + (np.diff(np.sort(drawn, axis=1), axis=1) > 0).sum(axis=1)
    return drawn[different >= min(_LEAST_DIFFERENT, repeats)]


def _difference(logs: np.ndarray, factor: float, family: int) -> Difference:
    known = logs[np.isfinite(logs)]
    if not len(known):
        return Difference(0)
    mean = float(known.mean())
    if not math.isfinite(factor):
        return Difference(len(known), math.exp(mean))
    scatter = float(known.std(ddof=1))
    reach = factor * scatter / math.sqrt(len(known))
    return Difference(
        pairs=len(known),
        ratio=math.exp(mean),
        low=math.exp(mean - reach),
        high=_exp(mean + reach),
        shown=abs(mean) > reach,
        least_shown=_least_shown(scatter, len(known), factor),
        needed=needed_pairs(scatter, family),
    )


def _exp(x: float) -> float:
    """e^x, and e^700 for all that is larger: a finite number."""
    return math.exp(min(x, 700.0))


def _least_shown(scatter: float, pairs: int, factor: float) -> float:
    """With the chance of ``POWER``, the mean lies no more than that quantile below its true value."""
    room = student_quantile(POWER, pairs - 1)
    return _exp((factor + room) * scatter / math.sqrt(pairs)) - 1


def needed_pairs(scatter: float, family: int, small: float = SMALL) -> int:
    """Pairs with which a difference of a share ``small`` is shown with a chance of ``POWER``, among so many others.

    n = ((z(1 - a/2m) + z(power)) s / ln(1 + small))^2 for a standard deviation s of the logarithms of ratios, then
    raised until Student's distribution agrees (J. Cohen, Statistical Power Analysis, 1988, chapter 2).
    """
    normal, level = statistics.NormalDist(), 1 - (1 - CONFIDENCE) / 2 / max(1, family)
    size = scatter / math.log1p(small)
    n = max(LEAST_PAIRS, math.ceil(((normal.inv_cdf(level) + normal.inv_cdf(POWER)) * size) ** 2))
    while n < 10_000 and n < ((student_quantile(level, n - 1) + student_quantile(POWER, n - 1)) * size) ** 2:
        n += 1
    return n
