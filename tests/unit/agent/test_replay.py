"""A replay of a small table whose figures are known on paper."""

import math

import numpy as np
import pytest
from agents import ARMS, ENVIRONMENT, made, vector

import schedtel
from schedtel.agent.replay import CostTable, Measured, Phases, replay, text_of

WORKLOADS = ("calm", "hogs")


def measured(scatter=0.0, each=12):
    random = np.random.default_rng(3)
    for kind, workload in enumerate(WORKLOADS):
        for place, arm in enumerate(ARMS):
            for _ in range(each):
                cost = -ENVIRONMENT[kind, place] + scatter * random.normal()
                yield Measured(workload, arm, cost, vector(kind, random))


def test_yardsticks_are_those_of_the_table():
    played = replay(CostTable(measured()), {}, Phases(windows=300, phase=10, episodes=6))
    assert played["default"].costs.tolist() == [0] * 6
    (best,) = (one for name, one in played.items() if name.startswith("best static"))
    shares = [np.random.default_rng(e).integers(2, size=30).mean() for e in range(6)]  # of hogs among the phases
    static = int(ENVIRONMENT.mean(axis=0).argmax())
    expected = [-(1 - s) * ENVIRONMENT[0, static] - s * ENVIRONMENT[1, static] for s in shares]
    assert best.costs == pytest.approx(expected)
    assert played["oracle"].costs == pytest.approx([-s * ENVIRONMENT[1].max() for s in shares])
    middle, low, high = played["oracle"].percent
    assert middle == pytest.approx(100 * (math.exp(played["oracle"].costs.mean()) - 1))
    assert low < middle < high
    assert "oracle" in text_of(played)


def test_what_looks_at_features_beats_what_does_not_and_the_best_static_arm():
    table = CostTable(measured(scatter=0.2))
    players = {name: lambda seed, name=name: made(name, seed=seed) for name in ("ucb1", "thompson", "random")}
    played = replay(table, players, Phases(windows=500, phase=20, episodes=6))
    (best,) = (one for name, one in played.items() if name.startswith("best static"))
    late = {name: one.late.mean() for name, one in played.items()}
    assert late["oracle"] <= late["thompson"] < late["ucb1"] < late["random"]
    assert played["thompson"].late_against(best)[2] < 0
    assert played["thompson"].late_against(played["thompson"]) == (0, 0, 0)


def test_the_same_seed_plays_the_same_and_a_swap_costs():
    table, phases = CostTable(measured(scatter=0.2)), Phases(windows=60, phase=10, episodes=3)
    twice = [replay(table, {"p": lambda seed: made("ucb1", seed=seed)}, phases)["p"].costs.tolist() for _ in range(2)]
    assert twice[0] == twice[1]
    turns = {"p": lambda _: made("round-robin", floor=0.0)}
    free, dear = (replay(CostTable(measured()), turns, phases, cost)["p"].costs for cost in (0.0, 0.5))
    assert dear - free == pytest.approx(0.5 * 59 / 60 * np.ones(3))  # the first arm runs already


def test_a_policy_fitted_on_other_workloads_plays_one_that_is_new_to_it():
    table = CostTable(measured(scatter=0.1))
    policy = made("classifier", floor=0.0, budget=None)
    policy.fit(*table.experiments())
    played = replay(table.of(["hogs"]), {"fitted": lambda _: policy}, Phases(windows=40, phase=10, episodes=2))
    assert played["fitted"].costs.mean() == pytest.approx(-ENVIRONMENT[1].max(), abs=0.15)
    assert table.of(["hogs"]).workloads == ("hogs",)


def test_tables_and_players_that_do_not_fit_are_refused():
    rows = list(measured())
    lacking = [one for one in rows if (one.workload, one.arm) != ("hogs", ARMS[1])]
    for wrong in (lacking, [], [Measured("w", "eevdf", math.nan, rows[0].features)]):
        with pytest.raises(schedtel.UsageError, match="cannot replay"):
            CostTable(wrong)
    with pytest.raises(schedtel.UsageError, match="was not measured"):
        replay(CostTable(rows), {"p": lambda _: made("round-robin", arms=("other",))}, Phases(5, 5, 1))
    with pytest.raises(schedtel.UsageError, match="cannot replay"):
        Phases(windows=0)
