"""Log-linear histograms: bucket edges, exact merging, percentiles.

Durations are counted in units of 64 ns: 16 linear buckets below 1.024 µs, then 16 an octave up to 137 s
(``bpf/records.h``). A percentile is read at its bucket's upper edge, so it is never low and at most 6.25 % high from
1.024 µs on. A task's own histogram has 2 buckets an octave (at most 50 % high); each of them is exactly eight fine
buckets. Histograms are merged by adding counts; percentiles are never averaged.
"""

import numpy as np

from schedtel.records.layout import FINE_BUCKETS, TASK_BUCKET_SHIFT, TASK_BUCKETS

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
    """Samples of shape (n,) as a fine histogram, shape (FINE_BUCKETS,); the last bucket has all longer ones."""
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


def between_edges_ns(counts: np.ndarray, quantile: float) -> float | None:
    """The quantile if a bucket's samples lie evenly between its edges; None without samples.

    It is near, and may be low: to compare two histograms of wide buckets, and never to bound what was seen.
    """
    cumulative = np.cumsum(counts, dtype=np.int64)
    if cumulative[-1] == 0:
        return None
    rank = quantile * cumulative[-1]
    bucket = int(np.searchsorted(cumulative, max(rank, 1)))
    low, high = edges_ns(len(counts))[bucket : bucket + 2]
    before = cumulative[bucket] - counts[bucket]
    return float(low + (high - low) * (rank - before) / counts[bucket]) if rank > before else float(low)


def percentiles_ns(counts: np.ndarray, quantile: float, max_ns: np.ndarray) -> np.ndarray:
    """As :func:`percentile_ns`, of histograms of shape (n, buckets): shape (n,), -1 where there is no sample."""
    cumulative = np.cumsum(counts, axis=1, dtype=np.int64)
    total = cumulative[:, -1]
    rank = np.maximum(1, np.ceil(quantile * total))
    edges = edges_ns(counts.shape[1])[1:][np.minimum((rank > cumulative.T).sum(axis=0), counts.shape[1] - 1)]
    return np.where(total > 0, np.minimum(edges, max_ns), -1)


def add_spills(banks: np.ndarray, *histograms: np.ndarray) -> None:
    """Add to histograms the counts that overflowed the kernel's 16-bit buckets, 65,536 samples each time.

    :param banks: shape (n,) of ``layout.BANK``.
    :param histograms: those of wait and of burst turnaround time, made from the banks: each of shape (n or more,
        TASK_BUCKETS), of wider integers; changed in place.
    """
    spilled = np.flatnonzero(banks["spilled"])
    if not len(spilled):
        return
    spills = banks["spills"][spilled]
    row, entry = np.nonzero(spills["times"])
    bucket, times = spills["bucket"][row, entry], spills["times"][row, entry].astype(np.uint32)
    for number, counts in enumerate(histograms):
        of_this = bucket // TASK_BUCKETS == number
        counts[spilled[row[of_this]], bucket[of_this] % TASK_BUCKETS] += times[of_this] << 16
