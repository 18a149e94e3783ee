"""Histograms of schedtel in; histograms with the fewer buckets of an exported metric out.

The exported edges are a subset of schedtel's edges, so counts are added and never estimated.

Exported bounds go from 1.024 µs to 68.7 s. The host has 4 buckets an octave (105 bounds); a cgroup has 2 an octave (53
bounds), as many as the histograms of tasks have. Shorter durations are in the first bucket, longer ones in the last,
which has no upper bound. The error of a quantile interpolated within a bucket is smaller than the bucket's width: 25 %
of its lower bound for the host, 50 % for a cgroup.

A bound of schedtel belongs to the bucket above it; a bound of Prometheus or OpenTelemetry to the bucket below it.
Durations are whole nanoseconds, so the two differ by one nanosecond.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from schedtel.records.histogram import FINE_EDGES_NS
from schedtel.records.layout import FINE_BUCKETS, TASK_BUCKET_SHIFT

#: Fine buckets in an exported bucket.
HOST_STEP, CGROUP_STEP = 4, 1 << TASK_BUCKET_SHIFT
#: Fine buckets below 1.024 µs. They are linear; one exported bucket covers them all.
_FIRST = 16


@dataclass(frozen=True)
class Exemplar:
    """One sample of a histogram: ``labels`` say more of it than the series does; ``unix_s`` is when it was taken."""

    labels: Mapping[str, str]
    value_s: float
    unix_s: float


@dataclass(frozen=True)
class Histogram:
    """``counts``: samples of each bucket alone, shape (bounds + 1,). ``sum_s``: sum of all samples, in seconds.

    ``exemplars``: bucket → a sample that it has counted.
    """

    bounds_s: tuple[float, ...]
    counts: np.ndarray
    sum_s: float
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)


def _bounds_s(step: int) -> tuple[float, ...]:
    """Upper bounds of all buckets but the last, in seconds."""
    return tuple(int(edge) / 1e9 for edge in FINE_EDGES_NS[_FIRST : FINE_BUCKETS - _FIRST + 1 : step])


_BOUNDS = {step: _bounds_s(step) for step in (HOST_STEP, CGROUP_STEP)}
#: The upper bounds of the host's buckets, in seconds.
HOST_BOUNDS_S = _BOUNDS[HOST_STEP]


def exported(
    counts: np.ndarray, sum_ns: int, step: int, exemplars: Mapping[int, Exemplar] = MappingProxyType({})
) -> Histogram:
    """Merge a fine histogram or a task's, shape (buckets,), into buckets of ``step`` fine buckets each.

    :param sum_ns: sum of the samples; it is kept, in seconds.
    :param exemplars: bucket of the result → a sample in it.
    """
    fine_per_bucket = FINE_BUCKETS // len(counts)
    starts = np.array([0, *range(_FIRST, FINE_BUCKETS - _FIRST + 1, step)]) // fine_per_bucket
    return Histogram(_BOUNDS[step], np.add.reduceat(counts, starts), int(sum_ns) / 1e9, dict(exemplars))
