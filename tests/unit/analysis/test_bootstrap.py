"""The statistics, against textbook tables, and against theory for series whose law is known."""

import math
import statistics

import numpy as np
import pytest
from timelines import autoregressive

from schedtel.analysis import bootstrap

#: Two-sided 95 % and 99.9 % points of Student's distribution, from any textbook's table.
TABLE = {1: (12.706, 636.619), 3: (3.182, 12.924), 5: (2.571, 6.869), 10: (2.228, 4.587), 30: (2.042, 3.646)}


@pytest.mark.parametrize("freedom", TABLE)
def test_students_distribution_is_that_of_the_tables(freedom):
    for probability, expected in zip((0.975, 0.9995), TABLE[freedom], strict=True):
        assert bootstrap.student_quantile(probability, freedom) == pytest.approx(expected, abs=6e-4)
        assert bootstrap.student_cdf(-expected, freedom) == pytest.approx(1 - probability, rel=2e-3)


def test_with_one_degree_of_freedom_it_is_cauchys():
    for t in (-3.0, 0.0, 0.5, 40.0):
        assert bootstrap.student_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-9)


@pytest.mark.parametrize("freedom", [50, 1e3, 1e5, 1e7])
def test_with_many_it_becomes_the_normal_one(freedom):
    for t in (0.1, 1.0, 1.96, 3.3):
        assert bootstrap.student_cdf(t, freedom) == pytest.approx(
            statistics.NormalDist().cdf(t), abs=0.4 / freedom + 1e-9
        )


def test_holm_is_that_of_the_paper():
    """Four p-values, by hand: 0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1, which is raised to the value before it."""
    assert bootstrap.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert bootstrap.holm([0.9, 0.8]) == [1.0, 1.0]
    assert bootstrap.holm([]) == []


def test_welchs_degrees_of_freedom():
    """With equal errors and sizes, 2 (n - 1); where one error is tiny, n - 1 of the other; infinite without errors."""
    assert bootstrap.welch_freedom(2, [(1, 10), (1, 10)]) == pytest.approx(18)
    assert bootstrap.welch_freedom(1, [(1, 5), (1e-9, 50)]) == pytest.approx(4)
    assert bootstrap.welch_freedom(1, [(0, 5), (0, 5)]) == math.inf


@pytest.mark.parametrize("block", [1, 4, 20])
def test_a_resample_is_as_long_as_the_series(block):
    drawn = bootstrap.weights(60, block, 200, np.random.default_rng(1))
    assert (drawn.sum(axis=1) == 60).all()
    assert drawn.sum(axis=0).min() > 100  # every window, at the ends of the series as well, 200 times on average
    assert drawn.sum(axis=0).max() < 320


def test_the_error_of_a_mean_of_independent_values_is_sigma_over_root_n():
    random = np.random.default_rng(7)
    x = random.standard_normal((400, 1))
    replicates = bootstrap.resampled(x, 1, 4000, (7,))[:, 0] / 400
    assert bootstrap.standard_error(replicates, 400) == pytest.approx(x.std(ddof=1) / 20, rel=0.05)


def test_the_error_of_a_mean_of_an_autoregressive_series_is_that_of_theory():
    """Its variance is (1 + c) / (1 - c) / n: for c = 0.5, 3 times that of independent values, as a mean over series."""
    found = []
    for seed in range(40):
        x = autoregressive(np.random.default_rng(seed), 1000, 0.5)
        block = bootstrap.block_length(x)
        found.append(bootstrap.resampled(x[:, None], block, 400, (seed,))[:, 0].var() / 1000**2)
    assert np.mean(found) == pytest.approx(3 / 1000, rel=0.12)


def test_what_the_ends_of_blocks_cut_off_is_what_theory_says():
    """Neighbours correlate by 0.5: 3 times the variance of independent values; blocks of 5 show c = 0.4, 1.4 / 0.6."""
    found = [bootstrap.missed_variance(autoregressive(np.random.default_rng(s), 2000, 0.5), 5) for s in range(20)]
    assert np.mean(found) == pytest.approx(3 / (1.4 / 0.6), rel=0.02)
    assert bootstrap.missed_variance(np.arange(100) % 2.0, 5) == 1  # neighbours unlike each other: nothing is cut off
    assert bootstrap.missed_variance(np.ones(100), 5) == 1


def test_the_same_seed_gives_the_same_resamples():
    x = np.random.default_rng(3).random((50, 3))
    first, again, other = (bootstrap.resampled(x, 3, 100, (seed, 1)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_blocks_are_longer_where_neighbours_are_alike():
    lengths = {
        correlation: [
            bootstrap.block_length(autoregressive(np.random.default_rng(s), 500, correlation)) for s in range(20)
        ]
        for correlation in (0.0, 0.6, 0.9)
    }
    least = round(2 * 500 ** (1 / 3))
    assert np.median(lengths[0.0]) <= least + 4
    assert min(map(min, lengths.values())) >= least
    assert np.median(lengths[0.0]) < np.median(lengths[0.6]) < np.median(lengths[0.9])


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 50])
@pytest.mark.parametrize("shape", ["constant", "trend", "spike", "alternating"])
def test_a_block_is_at_most_a_third_of_any_series(n, shape):
    x = {
        "constant": np.full(n, 0.1),
        "trend": np.arange(n, dtype=float),
        "spike": np.eye(1, n)[0],
        "alternating": np.arange(n) % 2.0,
    }[shape]
    assert 1 <= bootstrap.block_length(x) <= max(1, n / 3)
