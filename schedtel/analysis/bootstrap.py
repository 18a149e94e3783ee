"""Sums over windows in; standard errors and p-values out, by a block bootstrap, since neighbouring windows are alike.

A resample draws blocks of neighbouring windows, of random length, until it is as long as the recording (the stationary
bootstrap: D. Politis, J. Romano, "The Stationary Bootstrap", JASA 89, 1994). So it keeps the dependence between
neighbours. The mean length of a block follows from the series itself (D. Politis, H. White, "Automatic Block-Length
Selection for the Dependent Bootstrap", Econometric Reviews 23, 2004; corrected by A. Patton, D. Politis, H. White,
ibid. 28, 2009), and is at least the cube root of the number of windows. Both lengths are doubled: that rule minimises
the error of the variance, and intervals cover better with longer blocks.

A resample is stored as the number of times that each window is in it. So every figure that is made from sums over
windows is a product of matrices.
"""

from __future__ import annotations

import functools
import math
import statistics

import numpy as np

#: Resamples are drawn in pieces of this many weights (8 bytes each), to bound memory.
_PIECE = 4_000_000


def block_length(series: np.ndarray) -> int:
    """Mean length of a block, in windows, for a series of shape (n,): the automatic one, within 2 n^(1/3) and n/3."""
    n = len(series)
    least, most = round(2 * n ** (1 / 3)), max(1, n // 3)
    x = series - series.mean()
    # In a constant series only rounding errors are left, which say nothing about neighbours.
    constant = x.std() <= 1e-12 * float(np.abs(series).max(initial=0))
    automatic = 0.0 if n < 8 or constant else 2 * _automatic(x)
    return min(most, max(least, math.ceil(automatic)))


def _automatic(x: np.ndarray) -> float:
    """Politis and White's length for the stationary bootstrap, (n G² / g(0)²)^(1/3), with a flat-top taper.

    With covariances R(k): g(0) = sum of taper x R(k), G = sum of taper x |k| R(k), over all k from -n to n.
    """
    n = len(x)
    lags = min(n - 1, math.ceil(math.sqrt(n)) + _run(n))
    covariance = np.array([float(x[: n - k] @ x[k:]) / n for k in range(lags + 1)])
    reach = min(lags, 2 * _last_correlated(covariance / covariance[0], n))
    k = np.arange(1, reach + 1)
    tapered = np.clip(2 * (1 - k / max(1, reach)), 0, 1) * covariance[1 : reach + 1]
    spectrum, slope = covariance[0] + 2 * float(tapered.sum()), 2 * float(k @ tapered)
    return float((n * slope**2 / spectrum**2) ** (1 / 3)) if spectrum > 0 else 0.0


def _run(n: int) -> int:
    """The number of small correlations in a row after which all later ones count as 0."""
    return max(5, math.ceil(math.sqrt(math.log10(n))))


def _last_correlated(correlation: np.ndarray, n: int) -> int:
    """The lag after which :func:`_run` correlations in a row are no larger than chance makes them."""
    run = _run(n)
    small = np.abs(correlation[1:]) < 2 * math.sqrt(math.log10(n) / n)
    for lag in range(len(small)):
        if small[lag : lag + run].all():
            return lag
    return len(small)


def resampled(sums: np.ndarray, block: int, resamples: int, seed: tuple[int, ...]) -> np.ndarray:
    """Sums over resampled windows: shape (resamples, k) from per-window sums of shape (n, k).

    The same seed gives the same result.
    """
    n = len(sums)
    random = np.random.default_rng(seed)
    used = sums.any(axis=0)  # most buckets of a histogram are empty
    added = np.zeros((resamples, sums.shape[1]))
    piece = max(1, _PIECE // n)
    for done in range(0, resamples, piece):
        drawn = weights(n, block, min(piece, resamples - done), random)
        added[done : done + len(drawn), used] = drawn @ sums[:, used].astype(np.float64)
    return added


def weights(n: int, block: int, resamples: int, random: np.random.Generator) -> np.ndarray:
    """The number of times that each of n windows is in each resample: shape (resamples, n), rows sum to n.

    :param block: mean length of a block, in windows.
    """
    at = np.arange(n)
    begins = random.random((resamples, n)) < 1 / block
    begins[:, 0] = True
    last_begin = np.maximum.accumulate(np.where(begins, at, 0), axis=1)
    starts = random.integers(n, size=(resamples, n))
    chosen = (np.take_along_axis(starts, last_begin, axis=1) + at - last_begin) % n
    flat = np.bincount((chosen + n * np.arange(resamples)[:, None]).ravel(), minlength=n * resamples)
    return flat.reshape(resamples, n).astype(np.float64)


def standard_error(replicates: np.ndarray, blocks: float, missed: float = 1.0) -> float:
    """Standard deviation of replicates without NaN, with the correction for a sample of independent blocks.

    :param replicates: shape (resamples,).
    :param blocks: the number of independent blocks that the sample is worth.
    :param missed: the factor by which blocks make the variance too small: :func:`missed_variance`.
    """
    return float(np.nanstd(replicates)) * math.sqrt(missed * blocks / (blocks - 1))


def missed_variance(series: np.ndarray, block: int) -> float:
    """The factor by which the variance of a mean is larger than blocks of this mean length show; at least 1.

    The end of a block cuts its correlation with the next one. If neighbours in a series correlate by c, and all other
    values only through them, the variance is (1 + c) / (1 - c) times that of independent values. Blocks of mean length
    b show it with c (1 - 1/b) in place of c. The estimate of c is too low in short series, and is corrected for that
    (M. Kendall, "Note on Bias in the Estimation of Autocorrelation", Biometrika 41, 1954).
    """
    x, n = series - series.mean(), len(series)
    total = float(x @ x)
    if n < 8 or total <= 0:
        return 1.0
    estimated = float(x[1:] @ x[:-1]) / total
    c = min(0.95, max(0.0, (n * estimated + 1) / (n - 3)))
    shown = c * (1 - 1 / block)
    return (1 + c) / (1 - c) * (1 - shown) / (1 + shown)


def welch_freedom(variance: float, parts: list[tuple[float, float]]) -> float:
    """Degrees of freedom of a variance that has estimated parts; infinite if it has none.

    B. Welch, "The Generalization of 'Student's' Problem when Several Different Population Variances are Involved",
    Biometrika 34, 1947.

    :param variance: the whole variance. A part of it that is known, not estimated, is not in ``parts``.
    :param parts: standard error of each estimated part, and the number of blocks that it was estimated from.
    """
    below = sum(error**4 / (blocks - 1) for error, blocks in parts)
    return max(1.0, variance**2 / below) if below > 0 else math.inf


#: Nodes and weights on [-1, 1]; the integrand below is smooth.
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(96)


def student_cdf(t: float, freedom: float) -> float:
    """P(T <= t) of Student's distribution with at least 1 degree of freedom, to about 1e-9.

    With t = sqrt(freedom) tan(angle) the density is a constant times cos(angle)^(freedom - 1). With very many degrees
    of freedom the normal distribution is used.
    """
    if freedom > 1e7:
        return statistics.NormalDist().cdf(t)
    angle = math.atan2(abs(t), math.sqrt(freedom))
    # With many degrees of freedom nearly all of the density lies near 0; beyond `end` nothing is left to integrate.
    end = min(angle, 12 / math.sqrt(freedom)) if freedom > 64 else angle
    half = end / 2
    inside = half * float(_NODE_WEIGHTS @ np.cos(half * (_NODES + 1)) ** (freedom - 1))
    log_constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(math.pi)
    area = min(0.5, math.exp(log_constant) * inside)
    return 0.5 + math.copysign(area, t)


@functools.lru_cache(maxsize=1024)
def student_quantile(probability: float, freedom: float) -> float:
    """The t for which P(T <= t) of Student's distribution is ``probability``, which is at least 0.5; by bisection."""
    low, high = 0.0, 1.0
    while student_cdf(high, freedom) < probability:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def student_reach(values: np.ndarray, level: float = 0.95) -> float:
    """Half of the width of Student's interval around the mean of values, shape (n,) with n of at least 2."""
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return student_quantile((1 + level) / 2, len(values) - 1) * error


def holm(p_values: list[float]) -> list[float]:
    """Adjust p-values for their number, so that the chance of any false claim among all stays below the level.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted
