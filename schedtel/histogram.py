"""Log-linear histograms: bucket edges, exact merging, percentiles.

Durations are counted in units of 64 ns: 16 linear buckets below 1.024 µs, then 16 an octave up to 137 s
(``bpf/records.h``). A percentile is read at its bucket's upper edge, so it is never low and at most 6.25 % high from
1.024 µs on. A task's own histogram has 2 buckets an octave (at most 50 % high); eight fine buckets make one of it
exactly. Histograms are merged by adding counts; percentiles are never averaged.
"""

import numpy as np

from schedtel.layout import FINE_BUCKETS, TASK_BUCKET_SHIFT

_UNIT_SHIFT = 6
_LINEAR = 16


def _fine_edges() -> np.ndarray:
    """Edges of the fine buckets in ns, shape (FINE_BUCKETS + 1,); bucket i is [edge i, edge i + 1)."""
    bucket = np.arange(FINE_BUCKETS + 1, dtype=np.int64)
    octave = np.maximum(bucket // _LINEAR - 1, 0)
    units = np.where(bucket < _LINEAR, bucket, (bucket - octave * _LINEAR) << octave)
    return units << _UNIT_SHIFT


FINE_EDGES_NS = _fine_edges()
TASK_EDGES_NS = FINE_EDGES_NS[:: 1 << TASK_BUCKET_SHIFT]


def edges_ns(buckets: int) -> np.ndarray:
    """Edges, shape (buckets + 1,), of the histogram that has that many buckets."""
    return FINE_EDGES_NS if buckets == FINE_BUCKETS else TASK_EDGES_NS


def fine_counts(samples_ns: np.ndarray) -> np.ndarray:
    """Samples of shape (n,) as a fine histogram, shape (FINE_BUCKETS,); what is beyond its end is in the last."""
    buckets = np.clip(np.searchsorted(FINE_EDGES_NS, samples_ns, side="right") - 1, 0, FINE_BUCKETS - 1)
    return np.bincount(buckets, minlength=FINE_BUCKETS)


def percentile_ns(counts: np.ndarray, quantile: float, max_ns: int | None = None) -> int | None:
    """Upper edge of the bucket that holds the sample of rank ceil(quantile x n); None without samples.

    :param counts: shape (buckets,), non-negative integers.
    :param max_ns: the largest sample, where it is known: no percentile is above it.
    """
    cumulative = np.cumsum(counts, dtype=np.int64)
    total = int(cumulative[-1])
    if total == 0:
        return None
    rank = max(1, int(np.ceil(quantile * total)))
    edge = int(edges_ns(len(counts))[1:][np.searchsorted(cumulative, rank)])
    return edge if max_ns is None else min(edge, max_ns)
