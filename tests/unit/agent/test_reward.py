"""Rewards: arithmetic on paper over windows whose tables are made by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from samples import replaced

import schedtel
from schedtel.agent.context import CHOSEN, busiest_cpu, context_of
from schedtel.agent.reward import OBJECTIVES, Costs, Reference, RewardSettings, costs_of
from schedtel.schedulers.names import parse_selector


def changed(window, **columns):
    return replace(window, tasks=replaced(window.tasks, **columns))


def reward(settings, default, costs, *, swapped=False):
    reference = Reference(settings)
    reference.add(Costs(default), 0)
    return reference.reward(Costs(costs), swapped=swapped)


def test_the_reward_is_the_logarithm_of_what_was_saved():
    settings = RewardSettings({"mean TAT": 1})
    assert reward(settings, {"tat": 200.0}, {"tat": 100.0}) == pytest.approx(math.log(2))
    assert reward(settings, {"tat": 200.0}, {"tat": 300.0}) == pytest.approx(-math.log(1.5))
    assert reward(settings, {"tat": 200.0}, {"tat": 1e12}) == pytest.approx(-math.log(8))
    assert reward(settings, {"tat": 200.0}, {"tat": 1e-12}) == pytest.approx(math.log(8))


def test_l_is_the_sum_of_three_ratios_so_that_the_default_has_3():
    default = {"burst_tat": 10.0, "burst_rt": 4.0, "share_cv": 0.5}
    assert reward(RewardSettings(), default, default) == pytest.approx(0)
    costs = {"burst_tat": 5.0, "burst_rt": 1.0, "share_cv": 1.0}
    assert reward(RewardSettings(), default, costs) == pytest.approx(-math.log((0.5 + 0.25 + 2) / 3))
    assert reward(RewardSettings(), default, {"burst_tat": 5.0}) is None


def test_weights_mix_objectives_and_one_that_is_not_known_is_left_out():
    settings = RewardSettings({"mean TAT": 1, "fairness": 3}, swap_cost=0.125)
    default, costs = {"tat": 8.0, "share_cv": 1.0}, {"tat": 4.0, "share_cv": 2.0}
    assert reward(settings, default, costs) == pytest.approx((math.log(2) - 3 * math.log(2)) / 4)
    assert reward(settings, default, costs, swapped=True) == pytest.approx(-math.log(2) / 2 - 0.125)
    assert reward(settings, {"tat": 8.0}, costs) == pytest.approx(math.log(2))
    assert reward(settings, {}, costs) is None


def test_the_reference_is_a_mean_at_first_and_then_follows():
    settings = RewardSettings({"mean TAT": 1}, reference_age=5)
    reference = Reference(settings)
    for number, value in enumerate((math.e, math.e**2, math.e**3)):
        reference.add(Costs({"tat": value}), 100 + number)
    assert (reference.age.decisions, reference.age.newest_ns) == (3, 102)
    assert reference.reward(Costs({"tat": 1.0}), swapped=False) == pytest.approx(2)
    for _ in range(100):
        reference.add(Costs({"tat": 1.0}), 200)
    reference.add(Costs({"tat": math.e}), 201)
    assert reference.reward(Costs({"tat": 1.0}), swapped=False) == pytest.approx(1 - 0.5 ** (1 / 5), abs=1e-4)
    reference.restart()
    assert reference.age.decisions == 0
    assert reference.reward(Costs({"tat": 1.0}), swapped=False) is None


def test_windows_after_a_swap_are_left_out(windows):
    settings = RewardSettings(settle=2, dwell=3)
    assert settings.counted(windows[:3], swapped=True) == windows[2:3]
    assert settings.counted(windows[:3], swapped=False) == windows[:3]


def test_costs_are_sums_over_rows_and_waits_that_go_on_count(windows):
    window = windows[0]
    rows = window.tasks.num_rows
    real = np.array([comm != "other" for comm in window.tasks.column("comm").to_pylist()])
    numbers = np.arange(1, rows + 1)
    made = changed(
        window,
        bursts=numbers.tolist(),
        burst_tat_sum_ns=(numbers * 1000).tolist(),
        wakeups=[2] * rows,
        wakeup_wait_ns=(numbers * 10).tolist(),
        open_wait_ns=[7_000 if n == 0 else 0 for n in range(rows)],
    )
    costs = costs_of([made, made])
    both, opened = 2 * numbers[real].sum(), int(real[0])
    assert costs["burst_tat"] == pytest.approx((both * 1000 + 7_000 * opened) / (both + opened))
    assert costs["burst_rt"] == pytest.approx(2 * numbers[real].sum() * 10 / (4 * real.sum()))
    assert costs["time_per_burst"] == pytest.approx(2 * (window.end_ns - window.start_ns) / both)
    assert costs["wait_p99"] is None  # of so few waits, no tail is known
    assert costs_of([])["burst_tat"] is None


def test_costs_of_a_window_are_those_of_its_metrics(windows):
    window = windows[0]
    costs = costs_of([window])
    assert costs["tat"] == pytest.approx(window.metrics.tat.mean_ns)
    assert costs["share_cv"] == pytest.approx(max(window.metrics.fairness.cv, 1e-6))


@pytest.mark.parametrize("selector", ["comm=web", "cgroup=/user.slice", "cgroup=/user.slice/", "pid=100", "comm=none"])
def test_only_the_tasks_of_a_class_count(windows, selector):
    window, chosen = windows[0], parse_selector(selector)
    columns = {"comm": "comm", "cgroup": "cgroup", "pid": "tgid"}
    values = window.tasks.column(columns[chosen.kind]).to_pylist()
    mine = [str(value) == chosen.name.rstrip("/") for value in values]
    bursts = np.array(window.tasks.column("bursts").to_pylist())[mine].sum()
    expected = (window.end_ns - window.start_ns) / bursts if bursts else None
    assert costs_of([window], chosen)["time_per_burst"] == (expected and pytest.approx(expected))


def test_settings_that_reward_nothing_are_refused():
    for wrong in (
        {"weights": {}},
        {"weights": {"L": 0}},
        {"weights": {"L": -1, "fairness": 2}},
        {"weights": {"L": float("nan")}},
        {"weights": {"moon": 1}},
        {"clip": 0},
        {"swap_cost": -1},
        {"settle": 2, "dwell": 2},
        {"tasks": parse_selector("hogs")},
    ):
        with pytest.raises(schedtel.UsageError, match="cannot"):
            RewardSettings(**wrong)
    assert {part for one in OBJECTIVES.values() for part in one.parts} == {
        *("burst_tat", "burst_rt", "share_cv", "wait_p99", "tat", "time_per_burst")
    }


def test_a_context_has_the_features_of_its_window_and_the_busiest_cpu(windows):
    window = windows[0]
    made = context_of(window, "eevdf")
    assert made.features.as_dict() == {name: window.features()[name] for name in CHOSEN}
    busy, idle = (np.array(window.cpus.column(name).to_pylist()) for name in ("busy_ns", "idle_ns"))
    assert made.busiest_cpu == busiest_cpu(window) == pytest.approx(max(busy / (busy + idle)))
    with pytest.raises(schedtel.UsageError, match="there is none"):
        context_of(window, "eevdf", ["moon"])
