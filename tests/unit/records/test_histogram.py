"""Histograms: the programs' buckets have the edges of the Python side, and percentiles err only as documented."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from player import view

from schedtel.records import layout
from schedtel.records.histogram import (
    FINE_EDGES_NS,
    TASK_EDGES_NS,
    add_spills,
    between_edges_ns,
    edges_ns,
    percentile_ns,
    percentiles_ns,
)
from schedtel.records.layout import FINE_BUCKETS, TASK_BUCKET_SHIFT, TASK_BUCKETS
from schedtel.windows import metrics

durations = st.one_of(st.integers(0, 2_000), st.integers(0, 10_000_000), st.integers(0, 130_000_000_000))
many = st.lists(durations, min_size=1, max_size=60)


def fine(samples) -> np.ndarray:
    return np.histogram(np.array(samples), FINE_EDGES_NS)[0]


def nearest_rank(samples, quantile: float) -> int:
    """The smallest sample that at least this part of the samples does not exceed."""
    ordered = sorted(samples)
    return next(s for rank, s in enumerate(ordered, 1) if rank >= quantile * len(ordered))


def test_edges_rise_from_0_and_cover_a_microsecond_to_over_a_minute():
    assert FINE_EDGES_NS[0] == 0
    assert (np.diff(FINE_EDGES_NS) > 0).all()
    assert FINE_EDGES_NS[1] < 1_000
    assert FINE_EDGES_NS[-2] > 60e9
    assert len(FINE_EDGES_NS) == FINE_BUCKETS + 1


def test_a_bucket_is_at_most_a_sixteenth_wide_from_1024_ns_on():
    lower, upper = FINE_EDGES_NS[16:-1], FINE_EDGES_NS[17:]
    assert lower[0] == 1_024
    assert ((upper - lower) * 16 <= lower).all()


def test_edges_worked_on_paper():
    # 64 ns units; bucket 16 is the first logarithmic one, 32 the next octave: 2.048 µs, in steps of 128 ns.
    assert FINE_EDGES_NS[[1, 15, 16, 17, 32, 33]].tolist() == [64, 960, 1_024, 1_088, 2_048, 2_176]


def test_a_tasks_buckets_are_eight_fine_ones_each():
    assert len(TASK_EDGES_NS) == TASK_BUCKETS + 1
    assert TASK_EDGES_NS.tolist() == [FINE_EDGES_NS[i << TASK_BUCKET_SHIFT] for i in range(TASK_BUCKETS + 1)]
    assert edges_ns(TASK_BUCKETS) is TASK_EDGES_NS


def test_a_task_has_two_buckets_an_octave_from_1024_ns_on():
    octaves = TASK_EDGES_NS[2::2]
    assert (octaves[1:] == 2 * octaves[:-1]).all()


def bucket_of(library, ns: np.ndarray) -> np.ndarray:
    ns, buckets = np.ascontiguousarray(ns, np.uint64), np.zeros(len(ns), np.uint32)
    library.host_buckets_of(ns.ctypes.data, buckets.ctypes.data, len(ns))
    return buckets


def test_the_kernel_side_puts_every_edge_into_its_own_bucket(library):
    edges = FINE_EDGES_NS[:-1]
    assert bucket_of(library, edges).tolist() == list(range(FINE_BUCKETS))
    assert bucket_of(library, edges[1:] - 1).tolist() == list(range(FINE_BUCKETS - 1))


@pytest.mark.parametrize("ns", [int(FINE_EDGES_NS[-1]), 2**40, 2**63, 2**64 - 1])
def test_what_is_too_long_goes_into_the_last_bucket(library, ns):
    assert library.host_bucket_of(ns) == FINE_BUCKETS - 1


@given(ns=st.lists(durations, min_size=1))
def test_the_kernel_side_agrees_with_the_edges(library, ns):
    assert bucket_of(library, np.array(ns)).tolist() == (np.searchsorted(FINE_EDGES_NS, ns, "right") - 1).tolist()


# ---- 16 bits a bucket ----

SPILLS = layout.BANK["spills"].shape[0]
buckets = st.tuples(st.integers(0, 1), st.integers(0, TASK_BUCKETS - 1))
counts = st.one_of(st.integers(0, 10), st.integers(65_530, 65_540), st.integers(131_070, 140_000))


def counted(library, samples: dict[tuple[int, int], int]) -> np.ndarray:
    """A bank, shape (1,), into which the C side has put ``samples``: (histogram, bucket) → number."""
    bank = np.zeros(1, layout.BANK)
    for (kind, bucket), number in samples.items():
        library.host_count(bank.ctypes.data, kind, bucket, number)
    return bank


def widened(bank: np.ndarray) -> list[np.ndarray]:
    histograms = [bank[name].astype(np.uint32) for name in ("wait_histogram", "burst_tat_histogram")]
    add_spills(bank, *histograms)
    return histograms


def non_zero(histograms) -> dict[tuple[int, int], int]:
    found = np.concatenate([h.reshape(1, -1) for h in histograms])
    return {(int(k), int(b)): int(found[k, b]) for k, b in np.argwhere(found)}


@given(samples=st.dictionaries(buckets, counts, max_size=SPILLS))
def test_a_tasks_bucket_counts_past_16_bits(library, samples):
    bank = counted(library, samples)
    folded = np.zeros(1, layout.WIDE_BANK)
    library.host_fold(folded.ctypes.data, bank.ctypes.data)
    expected = {where: number for where, number in samples.items() if number}
    assert non_zero(widened(bank)) == expected
    assert non_zero([folded["wait_histogram"], folded["burst_tat_histogram"]]) == expected


def test_spills_of_one_row_stay_with_it(library):
    banks = np.concatenate([counted(library, {(0, 3): n}) for n in (7, 65_536, 200_000)])
    histograms = widened(banks)
    assert histograms[0][:, 3].tolist() == [7, 65_536, 200_000]
    assert histograms[1].sum() == 0


def test_samples_that_no_spill_is_left_for_are_counted_as_discarded(library):
    library.host_reset(1, 1, 2_000)
    losses = view(library.host_control(), layout.CONTROL, 1)[0]["losses"]
    everywhere = {(kind, bucket): 65_536 for kind in (0, 1) for bucket in range(SPILLS)}
    bank = counted(library, everywhere)
    discarded = losses["samples_discarded"].sum()
    assert sum(h.sum() for h in widened(bank)) + discarded == 65_536 * 2 * SPILLS
    assert discarded == SPILLS


@given(samples=many, quantile=st.floats(0.001, 1))
def test_a_percentile_is_never_low_and_at_most_a_sixteenth_high(samples, quantile):
    exact, read = nearest_rank(samples, quantile), percentile_ns(fine(samples), quantile)
    assert exact <= read
    if exact >= 1_024:
        assert read <= exact * 1.0625
    else:
        assert read <= exact + 64


@given(samples=many, quantile=st.floats(0.001, 1))
def test_a_percentile_does_not_exceed_the_largest_sample(samples, quantile):
    exact = nearest_rank(samples, quantile)
    assert exact <= percentile_ns(fine(samples), quantile, max(samples)) <= max(samples)


@given(samples=many, quantile=st.floats(0.001, 1))
def test_a_percentile_of_a_tasks_histogram_is_never_low_and_at_most_half_high(samples, quantile):
    counts = np.histogram(np.array(samples), TASK_EDGES_NS)[0]
    exact, read = nearest_rank(samples, quantile), percentile_ns(counts, quantile)
    assert exact <= read
    if exact >= 1_024:
        assert read <= exact * 1.5


@given(one=many, other=many)
def test_merging_is_adding_and_loses_nothing(one, other):
    merged = fine(one) + fine(other)
    assert merged.tolist() == fine(one + other).tolist()
    assert percentile_ns(merged, 0.99) == percentile_ns(fine(one + other), 0.99)


@given(samples=many)
def test_eight_fine_buckets_make_a_tasks_bucket_exactly(samples):
    nested = fine(samples).reshape(TASK_BUCKETS, -1).sum(axis=1)
    assert nested.tolist() == np.histogram(np.array(samples), TASK_EDGES_NS)[0].tolist()


def test_a_histogram_without_samples_has_no_percentile():
    empty = np.zeros(FINE_BUCKETS, np.uint32)
    assert percentile_ns(empty, 0.5) is None
    assert metrics.of_histogram(empty, 0, 0) == metrics.Distribution(0)


def test_counts_beyond_32_bits_add_up():
    counts = np.zeros(FINE_BUCKETS, np.uint32)
    counts[[20, 40]] = 4_000_000_000
    assert metrics.of_histogram(counts, 8_000_000_000, 3_000).count == 8_000_000_000
    assert percentile_ns(counts, 0.75) == FINE_EDGES_NS[41]


@given(st.lists(st.tuples(st.lists(st.integers(0, 3), min_size=56, max_size=56), st.integers(0, 10**9)), max_size=5))
def test_percentiles_of_many_histograms_are_those_of_each(rows):
    counts = np.array([counts for counts, _ in rows], np.int64).reshape(-1, TASK_BUCKETS)
    for quantile in (0.5, 0.99, 1.0):
        found = percentiles_ns(counts, quantile, np.array([most for _, most in rows], np.int64))
        each = [percentile_ns(one, quantile, most) for one, (_, most) in zip(counts, rows, strict=True)]
        assert [None if n < 0 else n for n in found.tolist()] == each


@given(many, st.floats(0.01, 0.99))
def test_a_quantile_between_edges_is_in_the_bucket_of_the_percentile(samples, quantile):
    counts = fine(samples)
    above = percentile_ns(counts, quantile)
    below = FINE_EDGES_NS[np.searchsorted(FINE_EDGES_NS, above) - 1]
    assert below <= between_edges_ns(counts, quantile) <= above


def test_samples_lie_evenly_between_edges():
    """Four in [1024, 1088) ns: two of them are below the middle."""
    counts = fine([1024, 1030, 1050, 1087])
    assert [between_edges_ns(counts, share) for share in (0.5, 1.0)] == [1056, 1088]
    assert between_edges_ns(fine([]), 0.5) is None
