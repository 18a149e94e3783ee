"""Intervals and needed repeats, against simulations of a known truth and arithmetic on paper."""

import math

import numpy as np
import pytest

from schedtel.experiments.statistics import LEAST_PAIRS, compare, needed_pairs, variability


def pairs_of(ratios):
    return [(float(ratio), 1.0) for ratio in ratios]


def test_mean_standard_deviation_and_cv():
    found = variability([2.0, 4.0, 6.0])
    assert (found.runs, found.mean, found.std, found.cv_percent) == (3, 4.0, 2.0, 50.0)
    assert variability([5.0]).std is None


def test_the_ratio_is_the_geometric_mean_of_the_pairs():
    found = compare({"arm": [(2.0, 1.0), (8.0, 1.0), (4.0, 1.0)]})["arm"]
    assert found.ratio == pytest.approx(4.0)
    assert found.low < 4.0 < found.high


def test_pairs_that_are_missing_or_not_positive_do_not_count():
    found = compare({"arm": [(2.0, 1.0), None, (2.0, 0.0), (2.2, 1.0), (1.9, 1.0)]})["arm"]
    assert found.pairs == 3
    assert compare({"arm": [None, None]})["arm"].ratio is None


def test_too_few_pairs_have_a_ratio_and_no_interval():
    found = compare({"arm": pairs_of([2, 3])})["arm"]
    assert found.ratio == pytest.approx(math.sqrt(6))
    assert (found.low, found.shown, found.needed) == (None, False, None)


@pytest.mark.parametrize(("repeats", "arms"), [(5, 1), (5, 7), (12, 7), (30, 3)])
def test_all_intervals_of_a_family_hold_at_once_as_often_as_they_say(repeats, arms):
    """The truth is 1. In 200 experiments of skewed, dependent figures, 95 % must hold; 90 % is 3 errors below."""
    random, held = np.random.default_rng(repeats * 100 + arms), 0
    for _ in range(200):
        base = random.gamma(4.0, size=repeats)
        figures = {f"arm {arm}": [(x * math.exp(random.normal(0, 0.3)), x) for x in base] for arm in range(arms)}
        held += not any(difference.shown for difference in compare(figures).values())
    assert held / 200 >= 0.90


def test_a_difference_that_is_there_is_shown():
    random = np.random.default_rng(3)
    found = compare({"half": pairs_of(0.5 * np.exp(random.normal(0, 0.05, 8))), "same": pairs_of([1.01, 0.99] * 4)})
    assert found["half"].shown
    assert found["half"].high < 1
    assert not found["same"].shown


def test_the_needed_pairs_show_a_difference_four_times_in_five():
    """Simulated with the number that is told, a true difference of 5 % is found in about 80 % of experiments."""
    random, scatter, shown = np.random.default_rng(7), 0.06, 0
    pairs = needed_pairs(scatter, family=1)
    for _ in range(200):
        shown += compare({"arm": pairs_of(np.exp(random.normal(math.log(1.05), scatter, pairs)))})["arm"].shown
    assert 0.70 <= shown / 200 <= 0.90


def test_needed_pairs_on_paper():
    """s = 0.1, 5 %: (1.960 + 0.842)^2 x (0.1 / ln 1.05)^2 = 33.0, and two more for Student's distribution."""
    assert needed_pairs(0.1, family=1) in (34, 35, 36)
    assert needed_pairs(0.0, family=1) == LEAST_PAIRS
    assert needed_pairs(0.1, family=10) > needed_pairs(0.1, family=1)


def test_a_scatter_beyond_all_bounds_is_an_interval_without_an_end():
    found = compare({"arm": pairs_of([1e-300, 1, 1e300])})["arm"]
    assert found.high > 1e300  # e^700
    assert not found.shown
