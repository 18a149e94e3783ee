"""A replay of a small table whose figures are known on paper."""

import math
from dataclasses import replace as replaced

import numpy as np
import pytest
from agents import ARMS, ENVIRONMENT, made, vector

import schedtel
from schedtel.agent.replay import CostTable, Learner, Measured, Phases, Replay, Rule

WORKLOADS = ("calm", "hogs")


def measured(scatter=0.0, each=12):
    random = np.random.default_rng(3)
    for kind, workload in enumerate(WORKLOADS):
        for place, arm in enumerate(ARMS):
            for _ in range(each):
                cost = -ENVIRONMENT[kind, place] + scatter * random.normal()
                yield Measured(workload, arm, cost, vector(kind, random))


def replay(table, phases, swap_cost=0.0, judged=None):
    return Replay(table, judged or table, phases, swap_cost)


def late(played):
    return played.costs[:, -played.costs.shape[1] // 3 :].mean()


def test_yardsticks_are_those_of_the_table():
    game = replay(CostTable(measured()), Phases(windows=300, phase=10, episodes=6))
    oracle, static = game.oracle(), game.best_static()
    assert oracle == [ARMS[place] for place in ENVIRONMENT.argmax(axis=1)]
    assert static == ARMS[int(ENVIRONMENT.mean(axis=0).argmax())]
    played = game.play(lambda _: Rule(oracle.__getitem__))
    # Each of the two workloads has as many windows as the other, and its phases are whole.
    assert played.costs.mean(axis=1) == pytest.approx([-ENVIRONMENT.max(axis=1).mean()] * 6)
    assert played.workloads.mean(axis=1).tolist() == [0.5] * 6
    assert {len(set(row)) for row in played.workloads.reshape(-1, 10).tolist()} == {1}
    always = game.play(lambda _: Rule(lambda _workload: ARMS[1]))
    assert always.costs == pytest.approx(-ENVIRONMENT[:, 1][always.workloads])


def test_what_looks_at_features_beats_what_does_not_and_the_best_static_arm():
    game = replay(CostTable(measured(scatter=0.2)), Phases(windows=480, phase=20, episodes=6))
    oracle, static = game.oracle(), game.best_static()
    found = {
        name: late(game.play(lambda seed, name=name: Learner(made(name, seed=seed))))
        for name in ("ucb1", "thompson", "random")
    }
    assert late(game.play(lambda _: Rule(oracle.__getitem__))) <= found["thompson"] < found["ucb1"] < found["random"]
    assert found["thompson"] < late(game.play(lambda _: Rule(lambda _workload: static)))


def test_what_is_judged_by_is_not_learned_from():
    """Where the runs to judge by say the opposite, a learner does as badly as the others make it believe."""
    rows = list(measured())
    opposite = [replaced(one, cost=-one.cost, repeat=2) for one in rows]
    phases = Phases(windows=480, phase=20, episodes=4)
    game = replay(CostTable(rows), phases, judged=CostTable(opposite))
    learned, always = (
        game.play(make) for make in (lambda seed: Learner(made(seed=seed)), lambda _: Rule(lambda _: ARMS[0]))
    )
    same = replay(CostTable(rows), phases).play(lambda seed: Learner(made(seed=seed)))
    assert (learned.costs == -same.costs).all(), "the costs are told by the ones, and the choices are of the others"
    assert late(learned) > late(always) == 0
    assert game.informed() == [ARMS[place] for place in ENVIRONMENT.argmax(axis=1)]
    assert game.oracle() == [ARMS[place] for place in ENVIRONMENT.argmin(axis=1)]


def test_runs_are_parted_by_their_number():
    rows = [replaced(one, repeat=number % 3 + 1) for number, one in enumerate(measured())]
    table = CostTable(rows)
    assert (table.repeats, table.runs([1, 3]).repeats) == ((1, 2, 3), (1, 3))
    assert len(table.runs([2]).windows()) == len(rows) / 3
    assert table.choosing(ARMS[2:]).arms == (ARMS[0], ARMS[2])


def test_the_same_seed_plays_the_same_and_a_swap_costs():
    table, phases = CostTable(measured(scatter=0.2)), Phases(windows=60, phase=10, episodes=3)
    twice = [replay(table, phases).play(lambda seed: Learner(made("ucb1", seed=seed))).costs.tolist() for _ in range(2)]
    assert twice[0] == twice[1]
    turns = [
        replay(CostTable(measured()), phases, cost).play(lambda _: Learner(made("round-robin", floor=0.0))).costs
        for cost in (0.0, 0.5)
    ]
    assert (turns[1] - turns[0]).mean(axis=1) == pytest.approx(0.5 * 59 / 60 * np.ones(3))  # the first arm runs already


def test_a_policy_fitted_on_other_workloads_plays_one_that_is_new_to_it():
    table = CostTable(measured(scatter=0.1))
    policy = made("classifier", floor=0.0, budget=None)
    policy.fit(*table.experiments())
    played = replay(table.of(["hogs"]), Phases(windows=40, phase=10, episodes=2)).play(lambda _: Learner(policy))
    assert played.costs.mean() == pytest.approx(-ENVIRONMENT[1].max(), abs=0.15)
    assert table.of(["hogs"]).workloads == ("hogs",)


def test_tables_and_players_that_do_not_fit_are_refused():
    rows = list(measured())
    lacking = [one for one in rows if (one.workload, one.arm) != ("hogs", ARMS[1])]
    for wrong in (lacking, [], [Measured("w", "eevdf", math.nan, rows[0].features)]):
        with pytest.raises(schedtel.UsageError, match="cannot replay"):
            CostTable(wrong)
    with pytest.raises(schedtel.UsageError, match="was not measured"):
        replay(CostTable(rows), Phases(5, 5, 1)).play(lambda _: Learner(made("round-robin", arms=("other",))))
    with pytest.raises(schedtel.UsageError, match="other workloads or arms"):
        Replay(CostTable(rows), CostTable(rows).of(["hogs"]))
    with pytest.raises(schedtel.UsageError, match="cannot replay"):
        Phases(windows=0)
