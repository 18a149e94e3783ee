"""Verdicts: there is one where something differs, and none where nothing does or where windows are too few."""

import numpy as np
import pytest
from timelines import autoregressive, make_bin, make_timeline, of_figure, of_samples

from schedtel import UsageError
from schedtel.analysis.compare import BETTER, DIFFERS, FEW, NONE, WORSE, compare
from schedtel.analysis.timeline import FIGURES, SAMPLES
from schedtel.records.histogram import FINE_EDGES_NS


def judged(a, b, name: str, **options):
    (found,) = (m for m in compare(a, b, **{"resamples": 400, **options}).metrics if m.name == name)
    return found


def coverage(make, name: str, times: int = 120) -> float:
    """How often the 95 % interval of two recordings of the same law contains "no change"."""
    held = 0
    for number in range(times):
        random = np.random.default_rng(number)
        found = judged(make(random), make(random), name, seed=number, resamples=200)
        held += found.low <= (1 if found.scale == "ratio" else 0) <= found.high
    return held / times


@pytest.mark.parametrize(("correlation", "least"), [(0.0, 0.91), (0.5, 0.9), (0.8, 0.82)])
def test_intervals_of_skewed_means_hold_the_truth_about_as_often_as_they_say(correlation, least):
    def make(random):
        return of_figure("runqueue_length_avg", np.exp(0.5 * autoregressive(random, 40, correlation)))

    assert least <= coverage(make, "runqueue_length_avg") <= 0.995


def test_intervals_of_percentiles_hold_the_truth_about_as_often_as_they_say():
    """Waits are exponential, with a mean that changes from window to window."""

    def make(random):
        means = 20_000 * np.exp(0.5 * random.standard_normal(40))
        return of_samples("wait", [random.exponential(mean, random.poisson(60)) for mean in means])

    assert 0.89 <= coverage(make, "wait_p95_ns", 40) <= 1.0


def busy(random, n: int, slower: float = 1.0):
    """Windows with a value of every figure and samples of every kind; waits and times ``slower`` times as long."""

    def one(number):
        values = {
            f.name: float(np.exp(0.3 * random.standard_normal())) * (slower if f.unit == "ns" else 1) for f in FIGURES
        }
        samples = {s.name: slower * random.exponential(50_000, 40) for s in SAMPLES}
        return make_bin(number, values, samples)

    return make_timeline([one(number) for number in range(n)])


def test_when_nothing_differs_hardly_ever_even_one_metric_does():
    """By Holm, at most 5 % of comparisons differ in any metric; more than 4 of 20 would in 3 of a thousand tries."""
    wrong = 0
    for number in range(20):
        random = np.random.default_rng(number)
        found = compare(busy(random, 30), busy(random, 30), seed=number, resamples=200)
        wrong += any(m.verdict not in (NONE, FEW) for m in found.metrics)
    assert wrong <= 4


def test_a_recording_does_not_differ_from_itself():
    timeline = busy(np.random.default_rng(1), 30)
    found = compare(timeline, timeline, resamples=200)
    assert {m.verdict for m in found.metrics} == {NONE}
    assert all(m.change == (1 if m.scale == "ratio" else 0) for m in found.metrics)


def test_times_six_times_as_long_are_worse_one_way_and_better_the_other():
    random = np.random.default_rng(2)
    fast, slow = busy(random, 40), busy(random, 40, slower=6)
    for a, b, verdict, change in ((fast, slow, WORSE, 6), (slow, fast, BETTER, 1 / 6)):
        found = {m.name: m for m in compare(a, b, resamples=400).metrics}
        for name in ("wait_p50_ns", "tat_p95_ns", "burst_tat_p50_ns", "rt_mean_ns", "preempt_wait_mean_ns"):
            assert found[name].verdict == verdict, name
            assert found[name].low < change < found[name].high
        assert found["fairness_jain"].verdict == found["wakeups_per_s"].verdict == NONE


def test_higher_is_better_of_jains_index_and_of_some_figures_nothing_is():
    random = np.random.default_rng(3)
    low, high = [mean + 0.05 * random.standard_normal(40) for mean in (0.5, 0.9)]
    assert judged(of_figure("fairness_jain", low), of_figure("fairness_jain", high), "fairness_jain").verdict == BETTER
    assert judged(of_figure("fairness_jain", high), of_figure("fairness_jain", low), "fairness_jain").verdict == WORSE
    assert judged(of_figure("fairness_cv", low), of_figure("fairness_cv", high), "fairness_cv").verdict == WORSE
    assert judged(of_figure("blocked_avg", low), of_figure("blocked_avg", high), "blocked_avg").verdict == DIFFERS


@pytest.mark.parametrize("windows", [1, 7])
def test_fewer_than_eight_windows_tell_nothing(windows):
    found = compare(busy(np.random.default_rng(4), windows, 100), busy(np.random.default_rng(5), 40), resamples=200)
    assert {m.verdict for m in found.metrics} == {FEW}
    assert all(m.p is None and m.low is None for m in found.metrics)


def test_a_metric_that_few_windows_have_tells_nothing_though_the_recording_is_long():
    some = make_timeline([make_bin(i, {"tat_mean_ns": 1e6} if i < 5 else {}, {}) for i in range(60)])
    many = of_figure("tat_mean_ns", np.linspace(9e6, 10e6, 60))
    found = judged(some, many, "tat_mean_ns")
    assert (found.verdict, found.windows) == (FEW, (5, 60))
    assert judged(many, make_timeline([make_bin(i, {}, {}) for i in range(60)]), "tat_mean_ns").b is None


def test_a_percentile_without_samples_beyond_it_tells_nothing():
    short, long = ([np.full(4, ns)] * 40 for ns in (1_000, 9_000_000))
    a, b = of_samples("rt", short), of_samples("rt", long)
    assert judged(a, b, "rt_p99_ns").verdict == FEW  # of 160 samples, 1.6 lie beyond it
    assert judged(a, b, "rt_p95_ns").verdict == WORSE


def test_the_next_bucket_is_no_difference_and_four_further_are_one():
    inside = (FINE_EDGES_NS[1:] + FINE_EDGES_NS[:-1]) // 2
    at = {step: of_samples("wait", [np.append(np.full(200, inside[100 + step]), 10**9)] * 40) for step in (0, 1, 4)}
    assert judged(at[0], at[1], "wait_p50_ns").verdict == NONE
    assert judged(at[0], at[4], "wait_p50_ns").verdict == WORSE


def test_what_never_varies_differs_for_certain_or_not_at_all():
    three, four = of_figure("tasks_active", [3.0] * 20), of_figure("tasks_active", [4.0] * 20)
    assert judged(three, four, "tasks_active").verdict == DIFFERS
    assert judged(three, three, "tasks_active").verdict == NONE


def test_percentiles_are_those_of_all_samples_together():
    """Nine windows with one wait of 1 ms each, and one with 100 waits of 8 ms: the median is no mean of medians."""
    lone = [np.array([1_000_000])] * 9 + [np.full(100, 8_000_000)]
    found = judged(of_samples("wait", lone), of_samples("wait", lone), "wait_p50_ns")
    assert found.a == 8_000_000


def test_a_seed_makes_it_reproducible():
    a, b = (busy(np.random.default_rng(s), 20) for s in (6, 7))
    first, again, other = (compare(a, b, seed=seed, resamples=200) for seed in (1, 1, 2))
    assert first == again
    assert [m.low for m in first.metrics] != [m.low for m in other.metrics]
    assert [m.change for m in first.metrics] == [m.change for m in other.metrics]


def test_the_method_says_what_was_done():
    a = busy(np.random.default_rng(8), 20)
    method = compare(a, a, seed=9, resamples=200).method
    assert "200 resamples" in method
    assert "seed 9" in method
    assert "Holm" in method


@pytest.mark.parametrize("wrong", [{"resamples": 99}, {"confidence": 1.0}, {"confidence": 0.1}])
def test_wrong_arguments_are_refused(wrong):
    timeline = of_figure("running_avg", [1.0] * 9)
    with pytest.raises(UsageError):
        compare(timeline, timeline, **wrong)
