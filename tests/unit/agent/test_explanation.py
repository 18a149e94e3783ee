"""Explanations: by hand where scores are sums, by what is known of the environment where they are not."""

import numpy as np
import pytest
from agents import ARMS, ENVIRONMENT, TELLING, context, lived, made

import schedtel
from schedtel.agent.context import Context
from schedtel.agent.explanation import ALWAYS, EXACT, LEFT_OUT, RUNNING, document_of, explain, text_of
from schedtel.agent.policies.registry import policy_of
from schedtel.windows.features import FeatureVector

TWO = ("runqueue_length_avg", "idle_share")


def by_hand():
    """A policy of two features with scales of 1 around 0, and weights that were chosen here."""
    policy = policy_of("linucb", ("eevdf", "policy:batch", "policy:idle"), TWO)
    policy.scaler.centre[:], policy.scaler.variance[:], policy._weight[:] = 0, 1, 1
    # The constant, the two features, their two marks, and which arm runs.
    policy._theta[0, :8] = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    policy._theta[1, :8] = [0.1, 0.5, -9.0, 0.0, 0.2, 0.05, 0.0, 0.0]
    policy._theta[2, :8] = [0.2, 0.25, 9.0, 0.0, -0.1, 0.0, 0.0, 0.0]
    return policy


def seen_by_hand():
    """A run queue of e - 1, whose scaled value is 1, under eevdf; the idle share is missing."""
    values = np.array([np.e - 1, 0.0])
    return Context(FeatureVector(TWO, values, np.array([False, True])), "eevdf")


def test_what_a_linear_policy_says_is_weight_times_scaled_value():
    found = explain(by_hand(), [seen_by_hand()], "policy:batch")
    assert (found.how, found.other) == (EXACT, "policy:idle")
    assert found.chosen_score == pytest.approx(0.1 + 0.5 + 0.2 + 0.05)
    assert found.other_score == pytest.approx(0.2 + 0.25 - 0.1)
    said = {cause.name: (cause.chosen, cause.other) for cause in found.causes}
    assert said == {
        ALWAYS: pytest.approx((0.1, 0.2)),
        "runqueue_length_avg": pytest.approx((0.5, 0.25)),
        "idle_share": pytest.approx((0.2, -0.1)),  # that it is missing
        RUNNING: pytest.approx((0.05, 0.0)),
    }
    assert found.causes[0].name == "idle_share"
    values = {cause.name: (cause.value, cause.away) for cause in found.causes}
    assert values["runqueue_length_avg"] == (pytest.approx(np.e - 1), pytest.approx(1.0))
    assert values["idle_share"] == (None, 0.0)


def test_it_is_told_in_words():
    assert text_of(explain(by_hand(), [seen_by_hand()], "policy:batch")) == [
        "for policy:batch, rather than policy:idle:",
        "  +0.300  idle_share is not known",
        "  +0.250  runqueue_length_avg = 1.718, 1.0 scales above what is usual",
        "  +0.050  the arm that ran before",
        "  -0.100  without any feature",
        "  +0.500  in reward: +0.850 and +0.350",
    ]


def test_only_arms_that_were_allowed_are_compared():
    found = explain(by_hand(), [seen_by_hand()], "policy:batch", ["eevdf", "policy:batch"])
    assert (found.other, found.other_score) == ("eevdf", 0.0)


@pytest.mark.parametrize("name", ["thompson", "linucb"])
def test_the_causes_add_up_to_the_difference_of_the_beliefs(name):
    policy = made(name, seed=1)
    lived(policy, 300, seed=4)
    random = np.random.default_rng(5)
    for number in range(20):
        seen = context(number % 2, random, ARMS[number % 3])
        beliefs = policy.beliefs(seen)
        for arm in ARMS:
            found = explain(policy, [seen], arm)
            assert sum(cause.difference for cause in found.causes) == pytest.approx(
                beliefs[arm].mean - beliefs[found.other].mean
            )
            assert beliefs[found.other].mean == max(beliefs[other].mean for other in ARMS if other != arm)


def test_the_mean_of_two_contexts_is_told():
    policy = by_hand()
    first, second = seen_by_hand(), seen_by_hand()
    second.features.values[0] = 0.0
    causes = {cause.name: cause for cause in explain(policy, [first, second], "policy:batch").causes}
    assert causes["runqueue_length_avg"].chosen == pytest.approx(0.25)
    assert causes["runqueue_length_avg"].value == pytest.approx((np.e - 1) / 2)


@pytest.mark.parametrize(("name", "how"), [("classifier", EXACT), ("policy-gradient", LEFT_OUT)])
def test_the_features_that_tell_the_load_are_the_causes(name, how):
    random = np.random.default_rng(6)
    contexts = [context(number % 2, random, ARMS[number % 3]) for number in range(160)]
    policy = made(name, floor=0.0, budget=None)
    policy.fit(contexts, np.array([ENVIRONMENT[number % 2] for number in range(160)]))
    loaded = [one for number, one in enumerate(contexts) if number % 2]
    found = explain(policy, loaded, ARMS[1])
    assert found.how == how
    strongest = sorted(found.causes, key=lambda cause: -abs(cause.chosen))[:2]
    assert {cause.name for cause in strongest} == set(TELLING)


def test_where_nothing_moved_the_choice_it_says_so():
    policy = made("ucb1")
    found = explain(policy, [context(1, np.random.default_rng(1))], ARMS[0])
    assert found.how == LEFT_OUT
    assert {cause.chosen for cause in found.causes} == {0.0}
    assert "does not look at any" in text_of(found)[0]


def test_an_arm_by_itself_is_compared_with_itself():
    policy = policy_of("thompson", ["eevdf"], TWO)
    found = explain(policy, [seen_by_hand()], "eevdf")
    assert document_of(found)["other"] == "eevdf"
    assert {cause.difference for cause in found.causes} == {0.0}


def test_an_arm_that_the_policy_has_not_is_refused():
    with pytest.raises(schedtel.UsageError, match="cannot explain arm 'moon'"):
        explain(by_hand(), [seen_by_hand()], "moon")
