"""Samples and columns of one window in; numbers out. Pure functions, vectorised, no state."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from schedtel.records import histogram
from schedtel.windows.arrow import rows
from schedtel.windows.schema import DISTRIBUTIONS, STATISTICS

QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
#: Tasks that asked for less CPU time than this in a window say nothing about fairness.
FAIRNESS_LEAST_DEMAND_NS = 1_000_000
#: Policies among which load weight divides CPU time: SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_EXT.
_WEIGHTED_POLICIES = (0, 3, 5, 7)


@dataclass(frozen=True)
class Distribution:
    """Statistics of one kind of duration in one window; all but ``count`` are None if there was no sample."""

    count: int
    mean_ns: int | None = None
    p50_ns: int | None = None
    p95_ns: int | None = None
    p99_ns: int | None = None
    max_ns: int | None = None


@dataclass(frozen=True)
class Fairness:
    """Coefficient of variation and Jain's index, of share and of CPU time per weight; None if there are no tasks."""

    cv: float | None
    jain: float | None
    weighted_cv: float | None
    weighted_jain: float | None


@dataclass(frozen=True)
class Metrics:
    """The metrics of one window, read from its summary row."""

    tat: Distribution
    rt: Distribution
    burst_tat: Distribution
    burst_rt: Distribution
    wakeup_wait: Distribution
    preempt_wait: Distribution
    fairness: Fairness
    runqueue_length_avg: float
    running_avg: float
    blocked_avg: float
    iowait_avg: float | None

    @classmethod
    def from_summary(cls, summary: pa.RecordBatch) -> "Metrics":
        """Read the metrics from a summary of one row."""
        row = rows(summary)[0]
        distributions = {prefix: Distribution(*(row[name] for name in columns(prefix))) for prefix in DISTRIBUTIONS}
        kinds = ("fairness_cv", "fairness_jain", "weighted_fairness_cv", "weighted_fairness_jain")
        averages = {f"{kind}_avg": row[f"{kind}_avg"] for kind in ("runqueue_length", "running", "blocked", "iowait")}
        facts: dict[str, Any] = {**distributions, **averages}
        return cls(**facts, fairness=Fairness(*(row[kind] for kind in kinds)))


def columns(prefix: str) -> list[str]:
    """Names of the summary columns of one distribution, in the order of :class:`Distribution`'s fields."""
    return [f"{prefix}_count" if statistic == "count" else f"{prefix}_{statistic}_ns" for statistic in STATISTICS]


def of_samples(samples_ns: np.ndarray) -> Distribution:
    """Exact statistics of integer samples of shape (n,); percentiles by nearest rank, ceil(q x n)."""
    if len(samples_ns) == 0:
        return Distribution(0)
    ordered, n = np.sort(samples_ns), len(samples_ns)
    p50, p95, p99 = (int(ordered[max(1, int(np.ceil(q * n))) - 1]) for q in QUANTILES.values())
    return Distribution(n, round(int(ordered.sum()) / n), p50, p95, p99, int(ordered[-1]))


def of_histogram(counts: np.ndarray, sum_ns: int, max_ns: int) -> Distribution:
    """Statistics of a histogram of shape (buckets,), given the exact sum and the largest of its samples."""
    n = int(counts.sum(dtype=np.int64))
    if n == 0:
        return Distribution(0)
    p50, p95, p99 = (histogram.percentile_ns(counts, q, max_ns) for q in QUANTILES.values())
    return Distribution(n, round(sum_ns / n), p50, p95, p99, max_ns)


def jain(x: np.ndarray) -> float | None:
    """Jain's index (sum x)^2 / (n sum x^2) of values of shape (n,); None if there are none, or if all are 0.

    R. Jain, D. Chiu, W. Hawe: "A quantitative measure of fairness and discrimination", DEC TR-301, 1984.
    """
    squares = float(np.square(x).sum())
    return float(x.sum()) ** 2 / (len(x) * squares) if len(x) and squares > 0 else None


def coefficient_of_variation(x: np.ndarray) -> float | None:
    """Population standard deviation / mean of values of shape (n,); None if the mean is not positive."""
    mean = float(x.mean()) if len(x) else 0.0
    return float(x.std()) / mean if mean > 0 else None


def fairness_within(
    cpu_ns: np.ndarray, wait_ns: np.ndarray, codes: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficient of variation and Jain's index of share for each group of tasks: two arrays of shape (groups,).

    Computes :func:`fairness` for all groups at once, with NaN in place of None.

    :param codes: shape (tasks,), each task's group from 0 to groups - 1.
    """
    demand = cpu_ns + wait_ns
    asked = demand >= FAIRNESS_LEAST_DEMAND_NS
    share, codes = cpu_ns[asked] / demand[asked], codes[asked]

    def sums(x: np.ndarray) -> np.ndarray:
        return np.bincount(codes, weights=x, minlength=groups)

    with np.errstate(invalid="ignore", divide="ignore"):
        count, total = np.bincount(codes, minlength=groups), sums(share)
        mean = total / count
        deviation = np.sqrt(sums(np.square(share - mean[codes])) / count)
        return np.where(mean > 0, deviation / mean, np.nan), total**2 / (count * sums(np.square(share)))


def fairness(cpu_ns: np.ndarray, wait_ns: np.ndarray, weight: np.ndarray, policy: np.ndarray) -> Fairness:
    """Fairness among the tasks that asked for at least 1 ms of CPU time; all arrays are of shape (tasks,)."""
    demand = cpu_ns + wait_ns
    asked = demand >= FAIRNESS_LEAST_DEMAND_NS
    share = cpu_ns[asked] / demand[asked]
    weighted = asked & np.isin(policy, _WEIGHTED_POLICIES) & (weight > 0)
    per_weight = cpu_ns[weighted] / weight[weighted]
    return Fairness(
        coefficient_of_variation(share), jain(share), coefficient_of_variation(per_weight), jain(per_weight)
    )
