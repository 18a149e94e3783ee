"""Forecasts of a run: who came, what is left out at gaps, and that nothing of the future is in the features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import drawn_run, gap, run_of, switch, wakeup

from schedtel.oracle.candidates import MOST_CANDIDATES
from schedtel.oracle.rules import NAMING, RULES, rule, without_idle
from schedtel.oracle.runs import IDLE, Run
from schedtel.oracle.samples import OTHER, samples_of
from schedtel.oracle.scores import Figures, score


def test_a_forecast_is_answered_by_the_next_switch_of_its_cpu():
    run = run_of([switch(0, 0, IDLE, 1), switch(1, 1, IDLE, 2), switch(2, 0, 1, IDLE), switch(3, 1, 2, 3)])
    samples = samples_of(run, warm=0)
    assert samples.came.tolist() == [IDLE, 3]
    assert samples.switches.tolist() == [0, 1]
    assert samples.tasks[0, samples.answers[0]] == IDLE
    assert samples.answers[1] == OTHER  # task 3 has not been heard of
    assert samples.to_a_task.tolist() == [False, True]


@pytest.mark.parametrize(
    "between", [[gap(1, 0)], [gap(1, -1)], []], ids=["told on this CPU", "told on any", "the task that leaves"]
)
def test_a_forecast_whose_answer_is_not_seen_is_left_out(between):
    leaves = 1 if between else 3
    run = run_of([switch(0, 0, IDLE, 1), *between, switch(2, 0, leaves, 2), switch(3, 0, 2, IDLE)])
    assert samples_of(run, warm=0).came.tolist() == [IDLE]


def test_what_other_jobs_do_among_themselves_is_not_asked_for():
    run = run_of([switch(0, 0, IDLE, 1), switch(1, 0, 1, 2), switch(2, 0, 2, 3), switch(3, 0, 3, IDLE)], tasks=3)
    beside = Run("web", 1, ("idle", "own#1", "other#1", "other#2"), run.events)
    assert samples_of(beside, warm=0).came.tolist() == [2]


def test_a_gap_on_another_cpu_leaves_it_in():
    run = run_of([switch(0, 0, IDLE, 1), gap(1, 1), switch(2, 0, 1, IDLE)])
    assert samples_of(run, warm=0).came.tolist() == [IDLE]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.integers(40, 300))
def test_nothing_of_the_future_is_in_a_forecast(seed, kept):
    """The forecasts of the first events of a run are those of the whole run, to the bit."""
    run = drawn_run(seed, 200)
    whole = samples_of(run, warm=20)
    part = samples_of(Run(run.workload, 1, run.roles, run.events[:kept]), warm=20)
    at = {switch: place for place, switch in enumerate(whole.switches.tolist())}
    rows = [at[switch] for switch in part.switches.tolist()]
    assert np.array_equal(part.features, whole.features[rows])
    assert np.array_equal(part.tasks, whole.tasks[rows])
    assert np.array_equal(part.answers, whole.answers[rows])


def test_each_rule_gives_chances_to_the_candidates_and_to_another_task():
    samples = samples_of(drawn_run(1))
    for name in RULES:
        forecasts = rule(samples, name)
        assert forecasts.shape == (len(samples), MOST_CANDIDATES + 1)
        assert np.exp(forecasts).sum(axis=1) == pytest.approx(1)
        assert np.isneginf(forecasts[:, :OTHER][samples.tasks < 0]).all()
        left = without_idle(forecasts, samples)
        assert np.exp(left).sum(axis=1) == pytest.approx(1)
        assert np.isneginf(left[:, :OTHER][samples.tasks == IDLE]).all()


def test_rules_that_name_a_task_name_the_one_of_their_name():
    """2 waits longest, 3 came last, and 1 was there before."""
    ran = [switch(0, 0, IDLE, 1), wakeup(1, 0, 2, 0), wakeup(2, 0, 3, 0), switch(3, 0, 1, 4), switch(4, 0, 4, IDLE)]
    samples = samples_of(run_of(ran), warm=1)
    named = {name: samples.tasks[0, rule(samples, name)[0, :OTHER].argmax()] for name in NAMING}
    assert named == {"last": 1, "head of queue": 2, "newest of queue": 3}


def test_with_an_empty_queue_they_name_the_idle_task_or_what_ran_before_it():
    samples = samples_of(run_of([switch(0, 0, IDLE, 1), switch(3, 0, 1, IDLE), switch(4, 0, IDLE, 2)]), warm=0)
    for name in ("head of queue", "newest of queue"):
        named = rule(samples, name)[:, :OTHER].argmax(axis=1)
        assert [samples.tasks[row, at] for row, at in enumerate(named)] == [IDLE, 1]


# ---- scores, by hand ----


def forecasts_of(samples, first):
    """The first candidate has the chance ``first``, the second one the rest, but for a millionth for all others."""
    chances = np.full((len(samples), MOST_CANDIDATES + 1), 1e-6)
    chances[:, 0], chances[:, 1] = first, 1 - first
    return np.log(chances)


@pytest.fixture
def four():
    """Four forecasts whose first candidate came, and then one each whose second, sixth and none of them came."""
    samples = samples_of(drawn_run(3)).of(np.arange(7))
    samples.answers[:] = [0, 0, 0, 0, 1, 5, OTHER]
    return samples


def test_scores_are_those_of_arithmetic(four):
    found = score(forecasts_of(four, 0.75), four)
    assert (found.n, found.top1, found.top5) == (7, 4 / 7, 5 / 7)
    assert found.nll == pytest.approx((-4 * np.log(0.75) - np.log(0.25) - 2 * np.log(1e-6)) / 7)
    # All are in the bin of 0.75, where 4 of 7 come true.
    figures = Figures([[found]], ["web"])
    assert figures.calibration_error() == pytest.approx(0.75 - 4 / 7)
    assert figures.reliability() == [pytest.approx([1, 0.75, 4 / 7])]


def test_each_workload_counts_the_same_and_a_difference_has_no_width_where_all_runs_agree(four):
    good, bad = score(forecasts_of(four, 0.75), four), score(forecasts_of(four, 0.25), four)
    figures = Figures([[good, good, bad]], ["web", "web", "pipe"])
    assert figures.mean("top1").value == pytest.approx((4 / 7 + 1 / 7) / 2)
    gain = Figures([[good, good]], ["web", "web"]).mean("top1", Figures([[bad, bad]], ["web", "web"]))
    assert (gain.value, gain.low, gain.high) == pytest.approx((3 / 7, 3 / 7, 3 / 7))
    apart = Figures([[good, bad]], ["web", "web"]).mean("top1")
    assert (apart.low, apart.high) == pytest.approx((1 / 7, 4 / 7))


def test_a_row_that_does_not_count_is_in_no_figure(four):
    rows = np.array([False] * 4 + [True] * 3)
    assert score(forecasts_of(four, 0.75), four, rows).top1 == 0
