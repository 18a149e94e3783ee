"""Estimates of policies that never ran, judged by an environment whose truth is known on paper."""

import math
from dataclasses import replace

import numpy as np
import pytest
from agents import ARMS, ENVIRONMENT, NOISE, lived, made

import schedtel
from schedtel.agent.estimates import estimates, predicted_rewards
from schedtel.agent.evaluation import Evaluator, evaluate, text_of

RUNS = 300


def log_of(random, rows, floor=0.1, phase=1):
    """Contexts, chances, arms and rewards of a policy that mostly takes the worst arm of the second kind."""
    kind = np.repeat(random.integers(2, size=-(-rows // phase)), phase)[:rows]
    logged = np.full((rows, 3), floor / 3)
    logged[np.arange(rows), np.where(random.random(rows) < 0.5, 0, 2)] += 1 - floor
    arm = (random.random((rows, 1)) > logged.cumsum(axis=1)).sum(axis=1).clip(max=2)
    reward = ENVIRONMENT[kind, arm] + random.normal(0, NOISE, rows)
    return kind, logged, arm, reward


def covered(rows, floor, phase):
    """How often each estimator's interval holds the truth: of a policy that takes the best arm nine times in ten."""
    hits = dict.fromkeys(("ips", "snips", "dr"), 0)
    best = np.full((2, 3), 0.05)
    best[[0, 1], ENVIRONMENT.argmax(axis=1)] += 0.85
    truth = float((best * ENVIRONMENT).sum(axis=1).mean())
    for seed in range(RUNS):
        random = np.random.default_rng(seed)
        kind, logged, arm, reward = log_of(random, rows, floor, phase)
        # The regression sees the kind with an error, so it is not the truth itself.
        x = np.column_stack([np.ones(rows), kind + random.normal(0, 1, rows)])
        found = estimates(best[kind], logged, arm, reward, predicted_rewards(x, arm, reward, 3))
        for name in hits:
            one = getattr(found, name)
            hits[name] += one.low <= truth <= one.high
    return {name: count / RUNS for name, count in hits.items()}


@pytest.mark.parametrize(("rows", "floor", "phase"), [(300, 0.3, 1), (600, 0.3, 1), (1500, 0.3, 10)])
def test_the_intervals_hold_the_truth_as_often_as_they_say(rows, floor, phase):
    assert min(covered(rows, floor, phase).values()) >= 0.93


def test_estimates_are_what_their_formulas_say():
    random = np.random.default_rng(1)
    _, logged, arm, reward = log_of(random, 200)
    target, predicted = random.dirichlet([1, 1, 1], 200), random.normal(0, 1, (200, 3))
    found = estimates(target, logged, arm, reward, predicted)
    w = [target[n, a] / logged[n, a] for n, a in enumerate(arm)]
    assert found.ips.value == pytest.approx(sum(w * reward) / 200)
    assert found.snips.value == pytest.approx(sum(w * reward) / sum(w))
    doubly = [target[n] @ predicted[n] + w[n] * (reward[n] - predicted[n, a]) for n, a in enumerate(arm)]
    assert found.dr.value == pytest.approx(np.mean(doubly))
    assert found.ess == pytest.approx(sum(w) ** 2 / sum(np.square(w)))
    same = estimates(logged, logged, arm, reward, predicted)
    assert same.ips.value == pytest.approx(reward.mean())
    assert same.ess == pytest.approx(200)


def test_the_doubly_robust_one_is_right_with_a_wrong_regression_and_narrower_with_a_good_one():
    """Over many logs: the mean of each estimator is the truth, and the scatter shrinks with what is predicted."""
    truth = float(ENVIRONMENT[:, 1].mean())
    values = {"wrong": [], "good": [], "ips": []}
    for seed in range(200):
        random = np.random.default_rng(seed)
        kind, logged, arm, reward = log_of(random, 300, floor=0.3)
        target = np.tile([0.0, 1.0, 0.0], (300, 1))
        wrong = estimates(target, logged, arm, reward, np.full((300, 3), 5.0))
        good = estimates(target, logged, arm, reward, ENVIRONMENT[kind])
        values["wrong"].append(wrong.dr.value)
        values["good"].append(good.dr.value)
        values["ips"].append(wrong.ips.value)
    for each in values.values():
        assert np.mean(each) == pytest.approx(truth, abs=4 * np.std(each) / math.sqrt(200))
    assert np.std(values["good"]) < np.std(values["ips"])


@pytest.fixture(scope="module")
def log():
    return lived(made("random", seed=1), 1500, seed=7, learn=False)


def test_a_log_tells_what_each_arm_earns_and_which_is_best(log):
    judged = {one.name: one.estimates for one in evaluate(log).judged}
    kinds = [int(entry.context.busiest_cpu > 0.9) for entry in log]  # as frequent as they are in this log
    for number, arm in enumerate(ARMS):
        one = judged[f"always {arm}"]
        assert one.dr.low <= ENVIRONMENT[kinds, number].mean() <= one.dr.high
        assert one.ess == pytest.approx(500, rel=0.1)
    best = max(ARMS, key=lambda arm: judged[f"always {arm}"].dr.value)
    wide, narrow = judged[f"best static arm: {best}"].dr, judged[f"always {best}"].dr
    assert wide.high - wide.low > narrow.high - narrow.low
    assert judged["random"].ips.value == pytest.approx(judged["as logged"].ips.value)


def test_the_rule_of_scx_loader_is_judged_by_what_it_would_have_done(log):
    """A CPU is busy in the second kind of load, whose phases are 10 windows of a second: 4 calm ones and then 6."""
    (rule,) = [one for one in evaluate(log, busy_arm=ARMS[1]).judged if one.name.startswith("busy-cpu")]
    streak, expected = 0, []
    for entry in log:
        kind = int(entry.context.busiest_cpu > 0.9)
        streak = streak + 1 if kind else 0
        expected.append(ENVIRONMENT[kind, 1 if streak >= 5 else 0])
    assert rule.estimates.dr.low <= np.mean(expected) <= rule.estimates.dr.high
    assert evaluate([replace(e, context=replace(e.context, busiest_cpu=None)) for e in log]).judged[-1].name == "random"


def test_a_policy_that_learns_from_a_log_is_worth_more_than_the_best_arm(log):
    policy = made("linucb", budget=None)
    learned = evaluate(log, lambda _: policy, "linucb", learn=True).judged[0].estimates.dr
    static, oracle = ENVIRONMENT.mean(axis=0).max(), ENVIRONMENT.max(axis=1).mean()
    assert static < learned.low
    assert learned.low <= oracle
    assert policy.counters[2] == len(log)
    still = made("linucb")
    evaluate(log[:100], lambda _: still, "linucb")
    assert still.counters[2] == 0


def test_arms_in_quarantine_are_not_given_to_a_policy(log):
    some = [replace(e, propensities={ARMS[0]: 0.5, ARMS[2]: 0.5}, arm=ARMS[2 * (n % 2)]) for n, e in enumerate(log)]
    found = {one.name: one for one in evaluate(some).judged}
    assert found["random"].estimates.ess == pytest.approx(len(some))
    assert found["random"].estimates.without_support == 0


def test_what_the_log_says_nothing_about_is_marked(log):
    drawn = [
        replace(e, arm=ARMS[0], propensities={ARMS[0]: 1.0, ARMS[1]: 0.0, ARMS[2]: 0.0}) if n % 50 else e
        for n, e in enumerate(log)
    ]
    found = {one.name: one for one in evaluate(drawn).judged}
    assert not found[f"always {ARMS[1]}"].trusted
    assert found[f"always {ARMS[1]}"].estimates.without_support > 0.9
    assert " ?" in text_of(evaluate(drawn))


def test_logs_that_cannot_tell_are_refused(log):
    for entries, why in (
        ([replace(e, propensities={}) for e in log], "no decision has propensities"),
        ([replace(e, propensities={e.arm: 1.0, **{a: 0.0 for a in ARMS if a != e.arm}}) for e in log], "chance"),
        (log[:10], "10 decisions with a reward"),
        ([replace(e, reward=None) for e in log], "0 decisions with a reward"),
        ([], "no decision has propensities"),
    ):
        with pytest.raises(schedtel.UsageError, match=f"cannot evaluate.*{why}"):
            Evaluator(entries)
    with pytest.raises(schedtel.UsageError, match="cannot use arm 'moon'"):
        evaluate(log, busy_arm="moon")
    with pytest.raises(schedtel.UsageError, match="no arm 'scx:simple'"):
        evaluate(log, lambda _: made(arms=ARMS[:2]))


def test_decisions_of_a_guard_and_without_reward_are_counted_and_left_out(log):
    mixed = [
        *log[:100],
        *(replace(e, propensities={}, reason="slo") for e in log[:7]),
        *(replace(e, reward=None) for e in log[:3]),
    ]
    found = evaluate(mixed)
    assert (found.rows, found.guarded, found.unrewarded) == (100, 7, 3)
    assert "100 decisions count; left out: 7 of a guard, 3 without a reward" in text_of(found)
