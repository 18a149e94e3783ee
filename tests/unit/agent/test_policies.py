"""Policies: propensities by frequencies, learning by an environment whose best arms are known, files, and refusals."""

import numpy as np
import pytest
from agents import ARMS, ENVIRONMENT, context, lived, made, reward

import schedtel
from schedtel.agent.context import Scaler
from schedtel.agent.policies.drift import Drift
from schedtel.agent.policies.linear import Thompson, chance_of_best
from schedtel.agent.policies.policy import MOST_ARMS
from schedtel.agent.policies.protocol import Settings
from schedtel.agent.policies.registry import POLICIES, policy_of
from schedtel.agent.policies.simple import EpsilonGreedy
from schedtel.agent.policies.tally import Memory, Tally
from schedtel.agent.record import believed_worse
from schedtel.windows.features import FeatureVector

ALL = list(POLICIES)
LEARNING = ["epsilon-greedy", "ucb1", "linucb", "thompson", "policy-gradient"]
CONTEXTUAL = ["linucb", "thompson"]
REGRESSED = [*CONTEXTUAL, "classifier", "policy-gradient"]
MEMORIES = [Memory(), Memory(window=150), Memory(discount=0.98)]


@pytest.mark.parametrize("name", ALL)
def test_arms_are_drawn_as_often_as_their_propensities_say(name):
    policy = made(name, seed=5, floor=0.3, budget=None)
    lived(policy, 60, seed=1)
    random = np.random.default_rng(2)
    contexts = [context(number % 2, random, ARMS[number % 3]) for number in range(3000)]
    expected, drawn, variance = np.zeros(3), np.zeros(3), np.zeros(3)
    for one in contexts:  # it does not learn, but its chances differ from context to context
        decision = policy.decide(one)
        chances = np.array([decision.propensities[arm] for arm in ARMS])
        assert chances.sum() == pytest.approx(1)
        assert chances.min() >= 0.3 / 3 - 1e-12
        assert decision.propensity == decision.propensities[decision.arm]
        expected, variance = expected + chances, variance + chances * (1 - chances)
        drawn[ARMS.index(decision.arm)] += 1
    assert (np.abs(drawn - expected) < 4.5 * np.sqrt(variance)).all()


def test_thompsons_chances_are_those_of_drawing_values_and_taking_the_largest():
    random = np.random.default_rng(3)
    for _ in range(60):
        arms = int(random.integers(2, 10))
        means, deviations = random.normal(0, 1, arms), 10 ** random.uniform(-3, 1, arms)
        largest = (means + deviations * random.standard_normal((20_000, arms))).argmax(axis=1)
        assert chance_of_best(means, deviations) == pytest.approx(
            np.bincount(largest, minlength=arms) / 20_000, abs=0.02
        )


@pytest.mark.parametrize("name", CONTEXTUAL)
def test_what_looks_at_features_finds_the_best_arm_of_each_load(name):
    policy = made(name, seed=1)
    entries = lived(policy, 800, seed=4)
    late = [entry.reward for entry in entries[500:]]
    best, static = ENVIRONMENT.max(axis=1).mean(), ENVIRONMENT.mean(axis=0).max()
    assert np.mean(late) > static + 0.7 * (best - static)


@pytest.mark.parametrize("name", LEARNING)
@pytest.mark.parametrize("memory", MEMORIES, ids=["all", "window", "discount"])
def test_what_learns_finds_the_arm_that_is_best_in_one_load(name, memory):
    policy = made(name, seed=1, memory=memory)
    random = np.random.default_rng(5)
    taken = []
    for _ in range(900 if name == "policy-gradient" else 300):
        seen = context(1, random)
        decision = policy.decide(seen)
        policy.learn(seen, decision.arm, decision.propensity, reward(1, decision.arm, random))
        taken.append(decision.arm)
    assert taken[-100:].count(ARMS[1]) > 60


@pytest.mark.parametrize("budget", [None, 0.02])
@pytest.mark.parametrize("name", ["classifier", "policy-gradient", "linucb"])
def test_experiments_teach_the_best_arm_of_a_load_that_was_not_seen_then(name, budget):
    """A budget does not keep it from an arm that is the best of its load, and worse than another over all loads."""
    random = np.random.default_rng(6)
    contexts = [context(number % 2, random, ARMS[number % 3]) for number in range(120)]
    policy = made(name, floor=0.0, budget=budget)
    policy.fit(contexts, np.array([ENVIRONMENT[number % 2] for number in range(120)]))
    for kind in (0, 1):
        chances = [policy.chances(context(kind, random))[ARMS[int(ENVIRONMENT[kind].argmax())]] for _ in range(50)]
        assert np.mean(chances) > 0.9


def test_epsilon_is_one_by_the_root_of_n():
    policy = made("epsilon-greedy", floor=0.0, budget=None, drift=False)
    random = np.random.default_rng(7)
    for number in range(99):
        policy.learn(context(1, random), ARMS[number % 3], 1.0, [0.0, 1.0, 0.5][number % 3])
    assert policy.chances(context(1, random)) == pytest.approx(
        {ARMS[0]: 0.1 / 3, ARMS[1]: 0.9 + 0.1 / 3, ARMS[2]: 0.1 / 3}
    )


def test_round_robin_goes_round_those_that_are_allowed():
    policy = made("round-robin", floor=0.0)
    random = np.random.default_rng(8)
    assert [policy.decide(context(0, random)).arm for _ in range(4)] == [*ARMS, ARMS[0]]
    without = [policy.decide(context(0, random), [ARMS[0], ARMS[2]]).arm for _ in range(4)]
    assert sorted(without) == sorted([ARMS[0], ARMS[2]] * 2)


def test_the_rule_waits_until_a_cpu_was_busy_long_enough():
    policy = made("busy-cpu", floor=0.0, options={"calm": ARMS[0], "busy": ARMS[2], "windows": 3})
    random, taken = np.random.default_rng(9), []
    for busy in (0.95, 0.95, 0.5, 0.95, 0.91, 0.99, 0.95, 0.9):
        seen = context(0, random, busiest_cpu=busy)
        taken.append(policy.decide(seen).arm)
        policy.learn(seen, taken[-1], 1.0, 0.0)
    assert [arm == ARMS[2] for arm in taken] == [False] * 5 + [True, True, False]


@pytest.mark.parametrize("name", ALL)
def test_arms_come_go_and_stand_aside_at_any_decision(name):
    policy = made(name, seed=2)
    entries = lived(policy, 40, seed=10)
    random = np.random.default_rng(11)
    for _ in range(50):
        decision = policy.decide(context(0, random), ARMS[:2])
        assert decision.arm in ARMS[:2]
        assert set(decision.propensities) == set(ARMS[:2])
    policy.remove_arm(ARMS[2])
    policy.add_arm("scx:other")
    assert policy.arms == (*ARMS[:2], "scx:other")
    assert policy.tally.count[policy.slots()["scx:other"]] == 0
    assert set(policy.decide(entries[0].context).propensities) == {*ARMS[:2], "scx:other"}
    policy.learn(entries[0].context, "scx:other", 0.5, 1.0)
    assert np.isfinite(policy.beliefs(context(0, random, "scx:other"))["scx:other"].mean)


@pytest.mark.parametrize("name", REGRESSED)
def test_a_new_arm_in_the_place_of_an_old_one_inherits_nothing(name):
    policy, other = made(name), made(name)
    random = np.random.default_rng(12)
    contexts = [context(number % 2, random, ARMS[2]) for number in range(40)]
    for one in contexts:
        policy.learn(one, ARMS[2], 1.0, 5.0)
        other.scaler.add(one.features)
    policy.remove_arm(ARMS[2])
    policy.add_arm("new")
    seen = context(1, random, "new")
    belief = policy.beliefs(seen)["new"]
    assert belief.mean == pytest.approx(0)
    assert belief.width == pytest.approx(other.beliefs(context(1, np.random.default_rng(0)))[ARMS[2]].width, rel=0.5)


@pytest.mark.parametrize("base", [EpsilonGreedy, Thompson])
def test_little_time_goes_to_arms_that_are_believed_worse(base):
    """By the mean of all loads, or by that of the context."""

    class Even(base):
        def _chances(self, view):
            return np.full(len(view.slots), 1 / len(view.slots))

    spent = {}
    for budget in (None, 0.05):
        policy, random = Even(ARMS, settings=Settings(floor=0.03, budget=budget)), np.random.default_rng(13)
        for _ in range(100):
            for arm in ARMS:
                policy.learn(context(1, random), arm, 1.0, reward(1, arm, random))
        seen = [context(1, random) for _ in range(400)]
        decisions = [policy.decide(one) for one in seen]
        assert min(min(one.propensities.values()) for one in decisions) >= 0.01 - 1e-12
        on_worse = [
            sum(decision.propensities[arm] for arm in believed_worse(policy.beliefs(one)))
            for one, decision in zip(seen, decisions, strict=True)
        ]
        spent[budget] = np.mean(on_worse)
    assert 0.5 < spent[None] <= 2 / 3 + 1e-9
    assert 0.04 < spent[0.05] <= 0.05 + 1e-9


def test_one_reward_of_an_arm_does_not_make_it_worse():
    policy, random = made("epsilon-greedy"), np.random.default_rng(13)
    for number, arm in enumerate(ARMS):
        policy.learn(context(1, random), arm, 1.0, float(number))
    assert {belief.width for belief in policy.beliefs(context(1, random)).values()} == {np.inf}
    assert policy.chances(context(1, random))[ARMS[0]] > 0.1  # epsilon is 1 / sqrt(4)


def test_a_change_of_the_load_is_seen_and_exploring_begins_again():
    caught = {}
    for watches in (True, False):
        policy = made("ucb1", seed=4, drift=watches)
        random, taken = np.random.default_rng(14), []
        for number in range(2000):
            kind = int(number < 1000)  # the arm that was best is the worst from then on
            seen = context(0, random)
            decision = policy.decide(seen)
            policy.learn(seen, decision.arm, decision.propensity, reward(kind, decision.arm, random))
            taken.append(decision.arm)
        caught[watches] = taken[1000:].count(ARMS[1])
        assert (policy.drift.alarms > 0) == watches
    assert caught[True] < 200
    assert caught[True] < caught[False] / 2


def test_drift_is_rarely_seen_where_there_is_none_and_soon_where_there_is():
    false, delays = 0, []
    for seed in range(100):
        random, drift = np.random.default_rng(seed), Drift()
        false += any(drift.add(error) for error in random.normal(0, 1, 1000))
        other = Drift()
        assert not any(other.add(error) for error in random.normal(0, 0.1, 101))
        shifted = random.normal(0.2, 0.1, 200)  # by two standard deviations
        delays.append(next(number for number, error in enumerate(shifted, 1) if other.add(error)))
    assert false <= 5
    assert np.median(delays) < 30


def test_scales_are_those_of_the_values_and_an_outlier_moves_them_little():
    random = np.random.default_rng(15)
    logs = random.normal(9, 0.7, (800, 1))
    scaler = Scaler(1)
    for number, value in enumerate(np.expm1(logs)):
        scaler.add(FeatureVector(("x",), value * (1e12 if number == 400 else 1), np.zeros(1, bool)))
    assert scaler.centre[0] == pytest.approx(logs.mean(), abs=0.05)
    assert np.sqrt(scaler.variance[0]) == pytest.approx(logs.std(), rel=0.1)
    out = np.zeros(2)
    scaler.scaled(FeatureVector(("x",), np.zeros(1), np.ones(1, bool)), out)
    assert out.tolist() == [0, 1]
    scaler.scaled(FeatureVector(("x",), np.array([1e300]), np.zeros(1, bool)), out)
    assert out.tolist() == [4, 0]


@pytest.mark.parametrize("memory", MEMORIES, ids=["all", "window", "discount"])
def test_a_tally_is_what_a_list_of_rewards_says(memory):
    random, tally, rewards = np.random.default_rng(16), Tally(MOST_ARMS, memory), []
    for _ in range(300):
        slot, reward_ = int(random.integers(3)), float(random.normal())
        tally.add(slot, reward_)
        rewards.append((slot, reward_))
    kept = rewards[-memory.window :] if memory.window else rewards
    for slot in range(3):
        weights = [memory.discount ** (len(kept) - 1 - n) for n, (its, _) in enumerate(kept) if its == slot]
        mine = [value for its, value in kept if its == slot]
        assert tally.count[slot] == pytest.approx(sum(weights))
        assert tally.means()[slot] == pytest.approx(np.average(mine, weights=weights))


@pytest.mark.parametrize("name", REGRESSED)
@pytest.mark.parametrize("memory", MEMORIES, ids=["all", "window", "discount"])
def test_beliefs_are_those_of_ridge_regression_on_what_is_remembered(name, memory):
    policy = made(name, drift=False, memory=memory)
    random = np.random.default_rng(17)
    rows = []
    for _ in range(220):
        one = context(int(random.integers(2)), random)
        value = float(random.normal())
        policy.learn(one, ARMS[1], 1.0, value)
        rows.append((policy._encoded(one) * policy._weight, value))
    kept = rows[-memory.window :] if memory.window else rows
    weight = memory.discount ** np.arange(len(kept))[::-1]
    x, y = (np.array(part) for part in zip(*kept, strict=True))
    theta = np.linalg.solve((x.T * weight) @ x + 0.3 * np.eye(x.shape[1]), (x.T * weight) @ y)
    seen = context(1, random)
    assert policy.beliefs(seen)[ARMS[1]].mean == pytest.approx(float(policy._encoded(seen) * policy._weight @ theta))


def test_settings_that_cannot_be_kept_are_refused():
    for settings in ({"floor": 1.5}, {"floor": 0.2}, {"budget": -1}, {"seed": -1}):
        with pytest.raises(schedtel.UsageError, match="cannot"):
            Settings(**settings)
    for memory in ({"window": -1}, {"discount": 0}, {"window": 5, "discount": 0.5}):
        with pytest.raises(schedtel.UsageError, match="cannot"):
            Memory(**memory)


def test_wrong_arms_features_and_rewards_are_refused():
    policy, random = made(), np.random.default_rng(18)
    seen = context(0, random)
    with pytest.raises(schedtel.UsageError, match="no arm is allowed"):
        policy.decide(seen, [])
    with pytest.raises(schedtel.UsageError, match="no arm 'other'"):
        policy.decide(seen, ["other"])
    for wrong in ((seen, "other", 0.5, 0.0), (seen, ARMS[0], 0.0, 0.0), (seen, ARMS[0], 0.5, float("nan"))):
        with pytest.raises(schedtel.UsageError, match="cannot"):
            policy.learn(*wrong)
    short = policy_of("thompson", ARMS, ["idle_share"])
    with pytest.raises(schedtel.UsageError, match="cannot use these features"):
        short.decide(seen)
    for arms, names in (([], ["idle_share"]), (["a", "a"], ["idle_share"]), (["a"], ["no such"]), (["a"] * 17, [])):
        with pytest.raises(schedtel.UsageError, match="cannot"):
            policy_of("fixed", arms, names)
    with pytest.raises(schedtel.UsageError, match="none of this name"):
        policy_of("thompson", ARMS, options={"arm": "x"})
