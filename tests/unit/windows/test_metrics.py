"""Metrics worked on paper, and the identities that hold for any input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedtel.windows import metrics
from schedtel.windows.metrics import Distribution, coefficient_of_variation, fairness, fairness_within, jain

MS = 1_000_000
positive = st.lists(st.integers(1, 10**12), min_size=1, max_size=50)


def tasks(*rows):
    """cpu_ns, wait_ns, weight, policy of some tasks as the arrays that fairness() takes."""
    return [np.array(column) for column in zip(*rows, strict=True)]


def test_jain_and_cv_worked_on_paper():
    # x = 1, 2, 3: (1+2+3)² / (3 · (1+4+9)) = 36 / 42; mean 2, variance (1+0+1)/3, so CV = √(2/3) / 2.
    x = np.array([1.0, 2.0, 3.0])
    assert jain(x) == pytest.approx(36 / 42)
    assert coefficient_of_variation(x) == pytest.approx((2 / 3) ** 0.5 / 2)


@given(x=positive)
def test_cv_squared_is_one_over_jain_minus_one(x):
    x = np.array(x, float)
    assert coefficient_of_variation(x) ** 2 == pytest.approx(1 / jain(x) - 1, abs=1e-9)


@given(x=positive)
def test_jain_is_between_one_task_has_all_and_all_have_the_same(x):
    assert 1 / len(x) - 1e-9 <= jain(np.array(x, float)) <= 1 + 1e-9


@pytest.mark.parametrize("x", [[], [0.0, 0.0]])
def test_nothing_to_compare_is_none_and_not_a_number(x):
    assert jain(np.array(x)) is None
    assert coefficient_of_variation(np.array(x)) is None


def test_fairness_is_of_shares_and_of_cpu_time_per_weight():
    # Shares 30/40 = 3/4 and 10/40 = 1/4: J = 1² / (2 · (9/16 + 1/16)) = 1 / (20/16) = 0.8.
    # CPU per weight 30/2048 and 10/1024, as 15 and 10: J = 25² / (2 · (225 + 100)) = 625 / 650.
    found = fairness(*tasks((30 * MS, 10 * MS, 2048, 0), (10 * MS, 30 * MS, 1024, 0)))
    assert found.jain == pytest.approx(0.8)
    assert found.cv == pytest.approx(0.5)  # mean 1/2, deviation 1/4
    assert found.weighted_jain == pytest.approx(625 / 650)


def test_a_task_that_asked_for_less_than_a_millisecond_is_left_out():
    one = (10 * MS, 10 * MS, 1024, 0)
    exactly, less = (MS // 2, MS // 2, 1024, 0), (MS // 2, MS // 2 - 1, 1024, 0)
    assert fairness(*tasks(one, (0, MS - 1, 1024, 0))).jain == 1
    assert fairness(*tasks((10 * MS, 0, 1024, 0), exactly)).jain == pytest.approx(1.5**2 / (2 * 1.25))
    assert fairness(*tasks((10 * MS, 0, 1024, 0), less)).jain == 1


@pytest.mark.parametrize("policy", [1, 2, 6])  # SCHED_FIFO, SCHED_RR, SCHED_DEADLINE
def test_realtime_tasks_have_no_weight_to_divide_by(policy):
    found = fairness(*tasks((30 * MS, 0, 1024, policy), (10 * MS, 0, 1024, 0)))
    assert found.weighted_jain == 1
    assert found.jain == 1  # both got all they asked for


def test_fairness_of_no_task_is_none():
    empty = np.array([], np.int64)
    assert fairness(empty, empty, empty, empty) == metrics.Fairness(None, None, None, None)


def test_a_distribution_is_read_by_nearest_rank():
    # 20 samples 1..20: rank ⌈0.5·20⌉ = 10, ⌈0.95·20⌉ = 19, ⌈0.99·20⌉ = 20; mean 10.5 rounds to the even 10.
    samples = np.arange(20, 0, -1)
    assert metrics.of_samples(samples) == Distribution(20, 10, 10, 19, 20, 20)


def test_a_distribution_of_one_sample_is_that_sample():
    assert metrics.of_samples(np.array([7])) == Distribution(1, 7, 7, 7, 7, 7)


def test_a_distribution_of_nothing_has_only_a_count():
    assert metrics.of_samples(np.array([], np.int64)) == Distribution(0, None, None, None, None, None)


@given(x=st.lists(st.integers(0, 10**15), min_size=1, max_size=200))
def test_percentiles_are_samples_in_order(x):
    found = metrics.of_samples(np.array(x))
    assert {found.p50_ns, found.p95_ns, found.p99_ns, found.max_ns} <= set(x)
    assert found.p50_ns <= found.p95_ns <= found.p99_ns <= found.max_ns == max(x)
    assert found.mean_ns == round(sum(x) / len(x))


@pytest.mark.parametrize(("n", "rank"), [(100, 95), (200, 190), (1_000, 950), (20, 19), (40, 38), (60, 57)])
def test_the_rank_of_a_percentile_is_not_off_by_a_rounding_error(n, rank):
    """0.95 has no exact binary form; a rounding error must not push q·n above the whole number that it is."""
    assert metrics.of_samples(np.arange(1, n + 1)).p95_ns == rank
    assert metrics.of_samples(np.arange(1, n + 1)).p99_ns == -(-99 * n // 100)


def test_summary_columns_come_back_as_metrics(windows):
    window = windows[0]
    row = window.summary.to_pylist()[0]
    assert window.metrics.tat.p99_ns == row["tat_p99_ns"]
    assert window.metrics.fairness.jain == row["fairness_jain"]
    assert window.metrics.running_avg == row["running_avg"]


@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 10**10), st.integers(0, 3)), max_size=20))
def test_fairness_within_groups_is_that_of_each_group(tasks):
    cpu, wait, codes = np.array(tasks, np.int64).reshape(-1, 3).T
    cv, index = fairness_within(cpu, wait, codes, 4)
    for group in range(4):
        one = codes == group
        alone = fairness(cpu[one], wait[one], np.ones(one.sum()), np.zeros(one.sum()))
        for found, expected in ((cv[group], alone.cv), (index[group], alone.jain)):
            assert found == pytest.approx(np.nan if expected is None else expected, abs=1e-9, nan_ok=True)
