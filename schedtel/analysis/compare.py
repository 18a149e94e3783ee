"""Two timelines in; the change of every figure, its interval, and a verdict that admits "no difference shown" out.

Figures are quotients of sums over windows; percentiles are read from added histograms. Both are computed again from
each resample. The standard error comes from :mod:`schedtel.analysis.bootstrap`. The interval and the p-value come from
Student's distribution with as many degrees of freedom as there are blocks (Welch). The p-values of all figures are
adjusted together (Holm).

Durations, rates and averages are compared by their ratio: waits are skewed, their logarithms less so. Indices from 0
to 1, and figures that are 0 in any resample, are compared by their difference. A percentile is known only up to its
bucket. So its interval is wider by what the buckets leave open, and its p-value is that of the part of the change that
the buckets cannot explain.

A comparison cannot see how much runs of the same load differ. Its intervals are those of these two recordings.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from schedtel.analysis import bootstrap
from schedtel.analysis.timeline import FIGURE_INDEX, FIGURES, SAMPLES, Figure, Timeline, quotient
from schedtel.errors import UsageError
from schedtel.records.histogram import edges_ns

CONFIDENCE = 0.95
RESAMPLES = 2000
#: Fewer windows than this do not show how much they vary.
LEAST_WINDOWS = 8
#: A percentile needs this many samples beyond it.
LEAST_BEYOND = 5
#: The share of resamples that may lack a rare figure.
MOST_EMPTY = 0.05
QUANTILES = (0.50, 0.95, 0.99)
#: Verdicts: B is better, B is worse, they differ (neither is better), no difference shown, too few windows or samples.
BETTER, WORSE, DIFFERS, NONE, FEW = "better", "worse", "differs", "none", "few"


@dataclass(frozen=True)
class Difference:
    """One figure of two recordings. ``change``: b / a where ``scale`` is "ratio", b - a where it is "difference".

    ``low`` and ``high``: the interval of ``change``, of this figure alone. ``p_adjusted``, which decides on the
    verdict, takes all figures into account. Each of these is None if it cannot be computed. ``windows``: the number of
    bins that have the figure, in A and in B. ``block``: the mean length of a block of the bootstrap, in bins, in A and
    in B.
    """

    name: str
    label: str
    unit: str
    better: str
    a: float | None
    b: float | None
    scale: str = "difference"
    change: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    verdict: str = FEW
    windows: tuple[int, int] = (0, 0)
    block: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Comparison:
    """All differences, and the parameters of the method."""

    metrics: list[Difference]
    confidence: float
    resamples: int
    seed: int

    @property
    def method(self) -> str:
        """The method in one paragraph, for the reader of a report."""
        tested, level = sum(m.p is not None for m in self.metrics), 1 - self.confidence
        return (
            f"The change from A to B with its {100 * self.confidence:g} % interval, from {self.resamples} resamples of "
            f"blocks of windows (stationary bootstrap, seed {self.seed}; percentiles from the added histograms of each "
            f"resample). A verdict needs a p-value below {level:.2g} once adjusted for {tested} metrics (Holm): "
            f"if nothing differed, about {100 * level:.2g} % of comparisons would give any verdict, and more where "
            "windows are much alike. The intervals are those of each metric alone, and of these two recordings: they "
            "cannot tell how much two runs of the same load differ."
        )

    def as_document(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "confidence": self.confidence,
            "resamples": self.resamples,
            "seed": self.seed,
            "method": self.method,
            "metrics": [asdict(metric) for metric in self.metrics],
        }


class _Sums:
    """The sums of a timeline's bins, stacked once.

    ``pairs``: numerators and denominators, shape (bins, figures, 2); ``histograms``: name → shape (bins, buckets).
    """

    def __init__(self, timeline: Timeline) -> None:
        self.pairs = np.stack([timeline.stacked("numerators"), timeline.stacked("denominators")], axis=2)
        self.histograms = {s.name: timeline.histograms(s.name) for s in SAMPLES}
        self.largest_ns = {s.name: max(b.largest_ns[s.name] for b in timeline.bins) for s in SAMPLES}


@dataclass(frozen=True)
class _Metric:
    """A figure, or a percentile of a kind of samples (where ``quantile`` is not 0)."""

    figure: Figure
    quantile: float = 0.0

    def sums(self, of: _Sums) -> np.ndarray:
        """The sums of each bin: shape (bins, 2), or (bins, buckets) of a percentile."""
        return of.histograms[self.figure.column] if self.quantile else of.pairs[:, FIGURE_INDEX[self.figure.name]]

    def of(self, sums: np.ndarray) -> np.ndarray:
        """The figure of each row of sums, shape (rows,); NaN for a row without samples or time."""
        return _percentiles(sums, self.quantile) if self.quantile else quotient(sums[:, 0], sums[:, 1])

    def influence(self, sums: np.ndarray, value: float) -> np.ndarray:
        """Each bin's contribution to the figure, to first order and up to a factor: shape (bins,), mean near 0."""
        if not self.quantile:
            return sums[:, 0] - value * sums[:, 1]
        below = edges_ns(sums.shape[1])[1:] <= value
        return sums[:, below].sum(axis=1) - self.quantile * sums.sum(axis=1)


def _percentiles(histograms: np.ndarray, quantile: float) -> np.ndarray:
    """Upper edges of the buckets with the sample of rank ceil(quantile x n); histograms of shape (rows, buckets)."""
    cumulative = np.cumsum(histograms, axis=1)
    n = cumulative[:, -1]
    rank = np.maximum(1, np.ceil(quantile * n))
    edges = edges_ns(histograms.shape[1])[1:][np.argmax(cumulative >= rank[:, None], axis=1)]
    return np.where(n > 0, edges, np.nan)


@dataclass(frozen=True)
class _Estimate:
    """One metric of one recording.

    ``replicates``: its value in each resample; None if there are too few windows or samples. ``missed``: the factor of
    :func:`schedtel.analysis.bootstrap.missed_variance`. ``least``: the lowest value that a percentile's bucket allows.
    """

    value: float | None
    windows: int = 0
    block: int = 0
    replicates: np.ndarray | None = None
    missed: float = 1.0
    least: float = 0.0

    @property
    def blocks(self) -> float:
        """The number of independent blocks that its bins are worth."""
        return self.windows / self.block

    def error(self, logarithmic: bool) -> float:
        """Standard error of the value, or of its logarithm, from the resamples."""
        assert self.replicates is not None
        return bootstrap.standard_error(
            np.log(self.replicates) if logarithmic else self.replicates, self.blocks, self.missed
        )

    def slack(self, logarithmic: bool) -> float:
        """How far below the value a percentile may lie."""
        assert self.value is not None
        if not logarithmic or self.value == self.least:
            return self.value - self.least
        # The lowest bucket begins at 0, which has no logarithm: half of the value is taken instead.
        return math.log(self.value / (self.least or self.value / 2))


def _metrics() -> list[_Metric]:
    percentiles = [
        _Metric(Figure(f"{s.name}_p{round(100 * q)}_ns", f"{s.label}, p{round(100 * q)}", "ns", "", s.name, "lower"), q)
        for s in SAMPLES
        for q in QUANTILES
    ]
    means = [_Metric(figure) for figure in FIGURES if figure.kind == "mean"]
    return percentiles + means + [_Metric(figure) for figure in FIGURES if figure.kind != "mean"]


def compare(
    a: Timeline, b: Timeline, seed: int = 0, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Comparison:
    """Compare two recordings, figure by figure. The same seed gives the same result.

    Raises :class:`UsageError` for fewer than 100 resamples, or a confidence below 0.5 or not below 1.
    """
    if resamples < 100:
        raise UsageError(f"cannot resample {resamples} times: an error needs at least 100 (use some thousands)")
    if not 0.5 <= confidence < 1:
        raise UsageError(f"cannot use confidence {confidence}: it must be from 0.5 to below 1 (use 0.95)")
    sums = [_Sums(timeline) for timeline in (a, b)]
    differences = []
    for metric in _metrics():
        of_a, of_b = (_estimate(metric, of, (seed, side), resamples) for side, of in enumerate(sums))
        differences.append(_difference(metric, of_a, of_b, confidence))
    # A figure that is the same in every window of both has no p-value, and is not tested.
    tested = [i for i, difference in enumerate(differences) if difference.p is not None]
    for i, p in zip(tested, bootstrap.holm([differences[i].p or 0.0 for i in tested]), strict=True):
        differences[i] = _judged(differences[i], p, 1 - confidence)
    return Comparison(differences, confidence, resamples, seed)


def _estimate(metric: _Metric, of: _Sums, seed: tuple[int, int], resamples: int) -> _Estimate:
    sums = metric.sums(of)
    windows = int((sums.any(axis=1) if metric.quantile else sums[:, 1] > 0).sum())
    total = sums.sum(axis=0)
    value = float(metric.of(total[np.newaxis])[0])
    if math.isnan(value):
        return _Estimate(None, windows)
    shown = _shown(metric, of, value)
    beyond = total.sum() * (1 - metric.quantile) if metric.quantile else math.inf
    if windows < LEAST_WINDOWS or beyond < LEAST_BEYOND:
        return _Estimate(shown, windows)
    influence = metric.influence(sums, value)
    block = min(bootstrap.block_length(influence), windows // 4)
    # Blocks are drawn from all bins, also from those without the figure: how long it is missing varies too.
    replicates = metric.of(bootstrap.resampled(sums, block, resamples, (*seed, block)))
    if np.isnan(replicates).mean() > MOST_EMPTY:
        return _Estimate(shown, windows)
    missed = bootstrap.missed_variance(influence, block)
    least = _lower_edge(metric, value) if metric.quantile else shown
    return _Estimate(shown, windows, block, replicates, missed, least)


def _shown(metric: _Metric, of: _Sums, value: float) -> float:
    """A percentile as the summary would show it: not above the largest sample, if that is known."""
    if not metric.quantile:
        return value
    largest = of.largest_ns[metric.figure.column]
    return min(value, largest) if largest else value


def _lower_edge(metric: _Metric, upper: float) -> float:
    edges = edges_ns({s.name: s.buckets for s in SAMPLES}[metric.figure.column])
    return float(edges[int(np.searchsorted(edges, upper)) - 1])


def _difference(metric: _Metric, a: _Estimate, b: _Estimate, confidence: float) -> Difference:
    figure = metric.figure
    facts = (figure.name, figure.label, figure.unit, figure.better, a.value, b.value)
    difference = Difference(*facts, windows=(a.windows, b.windows), block=(a.block, b.block))
    if a.value is None or b.value is None:
        return difference
    if a.replicates is None or b.replicates is None:
        return replace(difference, change=b.value - a.value)
    ratio = figure.unit != "1" and bool((a.replicates > 0).all() and (b.replicates > 0).all())
    if a.value == b.value and not a.error(ratio) and not b.error(ratio):
        return replace(difference, change=0.0, low=0.0, high=0.0, verdict=NONE)
    change = math.log(b.value / a.value) if ratio else b.value - a.value
    low, high, p = _interval(a, b, change, ratio, confidence)
    change, low, high = (math.exp(x) if ratio else x for x in (change, low, high))
    return replace(difference, scale="ratio" if ratio else "difference", change=change, low=low, high=high, p=p)


def _interval(a: _Estimate, b: _Estimate, change: float, ratio: bool, confidence: float) -> tuple[float, float, float]:
    """Interval of a change and its two-sided p-value; p is 0 or 1 for a figure that varies in neither recording."""
    errors = a.error(ratio), b.error(ratio)
    error = math.hypot(*errors)
    freedom = bootstrap.welch_freedom(error**2, [(errors[0], a.blocks), (errors[1], b.blocks)])
    reach = error * bootstrap.student_quantile((1 + confidence) / 2, freedom)
    # Both percentiles may lie below the value that is read, each by up to the width of its own bucket.
    below, above = b.slack(ratio), a.slack(ratio)
    beyond = max(0.0, change - below, -change - above)
    p = 2 * (1 - bootstrap.student_cdf(beyond / error, freedom)) if error else float(beyond == 0)
    return change - below - reach, change + above + reach, p


def _judged(difference: Difference, p_adjusted: float, level: float) -> Difference:
    lower = (difference.b or 0.0) < (difference.a or 0.0)
    verdict = NONE
    if p_adjusted < level:
        verdict = DIFFERS if not difference.better else BETTER if lower == (difference.better == "lower") else WORSE
    return replace(difference, p_adjusted=p_adjusted, verdict=verdict)
