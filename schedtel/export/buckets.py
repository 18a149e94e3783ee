"""Histograms of schedtel in, the fewer buckets of an exported metric out: edges nest, so nothing is estimated.

Exported buckets begin at 1.024 µs and end at 68.7 s, 4 an octave for the host (105 bounds) and 2 an octave for a cgroup
(53), as many as its tasks have. What is shorter is in the first, what is longer in the last, which has no bound. A
quantile interpolated from them is off by less than the bucket it falls into is wide: 25 % and 50 % of its lower bound.

The bounds of schedtel's buckets belong to the bucket above, those of Prometheus and OpenTelemetry to the one below;
durations are whole nanoseconds, so the difference is of one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schedtel.records.histogram import FINE_EDGES_NS
from schedtel.records.layout import FINE_BUCKETS, TASK_BUCKET_SHIFT

#: Fine buckets in an exported one.
HOST_STEP, CGROUP_STEP = 4, 1 << TASK_BUCKET_SHIFT
#: Fine buckets below 1.024 µs: they are linear, and what they tell apart nobody looks at.
_FIRST = 16


@dataclass(frozen=True)
class Histogram:
    """``counts``: shape (bounds + 1,), samples in each bucket and not up to it; ``sum_s``: of all samples, seconds."""

    bounds_s: tuple[float, ...]
    counts: np.ndarray
    sum_s: float


def _bounds_s(step: int) -> tuple[float, ...]:
    """Upper bounds of all buckets but the last, in seconds."""
    return tuple(int(edge) / 1e9 for edge in FINE_EDGES_NS[_FIRST : FINE_BUCKETS - _FIRST + 1 : step])


_BOUNDS = {step: _bounds_s(step) for step in (HOST_STEP, CGROUP_STEP)}


def exported(counts: np.ndarray, sum_ns: int, step: int) -> Histogram:
    """A fine or a task's histogram, shape (buckets,), with ``step`` fine buckets in one."""
    of_one = FINE_BUCKETS // len(counts)
    starts = np.array([0, *range(_FIRST, FINE_BUCKETS - _FIRST + 1, step)]) // of_one
    return Histogram(_BOUNDS[step], np.add.reduceat(counts, starts), int(sum_ns) / 1e9)
