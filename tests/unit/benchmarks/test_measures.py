"""The benchmarks' arithmetic by numbers worked out on paper: medians, ratios, orders, slopes, the scale model."""

import math

import pytest

from benchmarks.measures import Plan, Target, favouring, point, ratio, rotations, row, slope
from benchmarks.model import Constants, Machine, predict


def test_a_row_is_the_median_of_its_samples_and_keeps_them_all():
    line = row("switch", "schedtel", "ns/run", [3.0, 1.0, 100.0], Target(3))
    assert (line.value, line.samples, line.reached) == (3.0, (3.0, 1.0, 100.0), True)


def test_a_target_that_is_strict_is_missed_by_its_own_limit():
    assert Target(2).reached(2)
    assert not Target(2, strict=True).reached(2)
    assert (str(Target(0.4)), str(Target(0.4, strict=True))) == ("≤ 0.4", "< 0.4")


def test_a_ratio_divides_medians_and_shows_the_ratios_of_each_round():
    line = ratio("pipe", [2.0, 4.0, 6.0], [4.0, 4.0, 8.0], "schedtel / runqlat", Target(1))
    assert line.value == 1.0
    assert line.samples == (0.5, 1.0, 0.75)


def test_what_is_lost_in_the_noise_leaves_a_ratio_unknown_and_its_target_undecided():
    line = ratio("pipe", [1.0, 2.0], [-1.0, -2.0], "schedtel / runqlat", Target(1))
    assert math.isnan(line.value)
    assert line.reached is None
    assert ratio("pipe", [-1.0], [5.0], "schedtel / runqlat", Target(1)).reached is None


def test_every_subject_comes_first_in_turn_and_rounds_alternate_their_direction():
    assert rotations(["a", "b", "c"], 4) == [["a", "b", "c"], ["a", "c", "b"], ["c", "a", "b"], ["c", "b", "a"]]


@pytest.mark.parametrize(
    ("others", "turns"),
    [("vwxyz", "abvwabxyabz"), ("xyz", "abxabyabz"), ("x", "abxabab"), ("", "ababab")],
)
def test_those_whose_difference_counts_have_more_turns_spread_over_the_round(others, turns):
    assert favouring(["a", "b"], list(others), 3) == list(turns)


def test_the_slope_of_a_line_is_its_own_and_of_a_single_point_zero():
    assert slope([0.0, 1.0, 2.0], [5.0, 7.0, 9.0]) == pytest.approx(2.0)
    assert slope([1.0], [5.0]) == 0.0
    assert slope([2.0, 2.0], [1.0, 9.0]) == 0.0


def test_a_point_knows_where_it_lies():
    line = point("flush", "schedtel", "ms", [1.0, 3.0], "threads", 1000)
    assert (line.axis, line.at, line.value) == ("threads", 1000, 2.0)


def test_the_plan_overrules_the_usual_number_of_rounds():
    assert (Plan().rounds(5), Plan(repeats=2).rounds(5)) == (5, 2)


def test_the_scale_model_is_arithmetic_one_can_do_on_paper():
    constant = Constants(
        switch_ns=100,
        wakeup_ns=50,
        fork_ns=2000,
        exit_ns=500,
        flush_active_ns=500,
        walk_sleeper_ns=100,
        arrow_ns=200,
        task_bytes=2000,
        cpu_bytes=20_000,
        record_bytes=700,
        parquet_row_bytes=50,
    )
    found = predict(Machine("m", 10, 10_000, 1_000, 1e6, 5e5, 100, 1.0), constant)
    assert found.hot_percent == pytest.approx(100 * (0.1 + 0.025) / 10)
    assert found.births_percent == pytest.approx(100 * 100 * 2.5e-6 / 10)
    assert found.task_memory_mb == 20
    assert found.flush_ms == pytest.approx(0.5 + 0.9)
    assert found.walk_share == pytest.approx(0.9 / 1.4)
    assert found.arrow_ms == pytest.approx(1100 * 200e-6)
    assert found.collector_percent == pytest.approx(100 * (1.4e-3 + 0.22e-3))
    assert found.ring_mb_s == pytest.approx(100 * 700e-6)
    assert found.parquet_gb_day == pytest.approx(1100 * 50 * 86_400 / 1e9)
    crowd = predict(Machine("m", 10, 20_000, 20_000, 1e6, 5e5, 100, 1.0), constant)
    assert crowd.flush_ms == pytest.approx(20_000 * 500e-6 + (8322 + 2 * 8322) * 100e-6), "two pages of 4 MB were full"
    sparse = predict(Machine("m", 10, 60_000, 20_000, 1e6, 5e5, 100, 1.0), constant)
    passed = 40_000 + 3 * (8322 + 2 * 8322)
    assert sparse.flush_ms == pytest.approx(20_000 * 500e-6 + passed * 100e-6), "two sleepers before each active one"
