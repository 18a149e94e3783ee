"""Pairs with EEVDF, trust, and changes of the load: arithmetic on paper."""

import math

import pytest
from samples import changed

from schedtel.agent.load import Load
from schedtel.agent.pairs import Pairs, shown_by
from schedtel.agent.reward import Costs, RewardSettings
from schedtel.agent.trust import Trust

SETTINGS = RewardSettings({"throughput": 1.0}, swap_cost=0.125)


def costs(time):
    return Costs({"time_per_burst": float(time)})


def test_an_interval_is_student_s():
    shown = shown_by([1.0, 2.0, 3.0, 4.0])
    # s = 1.2910, t(0.975, 3) = 3.1824: reach = 3.1824 * 1.2910 / 2
    assert (shown.mean, shown.pairs) == (2.5, 4)
    assert shown.high - shown.mean == pytest.approx(2.0543, abs=1e-4)
    assert shown_by([1.0, 2.0]).low == -math.inf


def test_an_arm_is_paired_with_the_eevdf_before_and_the_eevdf_after():
    pairs = Pairs(SETTINGS)
    pairs.add(["a"], costs(1), swapped=True)
    pairs.close(costs(4))
    assert pairs.of("a") == [], "nothing is known of EEVDF before it"
    pairs.add(["a", ""], costs(4), swapped=False)
    pairs.add(["a"], costs(8), swapped=True)
    pairs.add(["b"], costs(32), swapped=False)
    pairs.close(costs(16))
    # The mean of the logarithms of 4 and 16 is that of 8.
    assert pairs.of("a") == [pytest.approx((math.log(2) - 0.125) / 2)]
    assert pairs.of("b") == [pytest.approx(-math.log(4))]
    assert pairs.of("") == [pytest.approx(math.log(2))]


def test_another_load_has_pairs_of_its_own():
    pairs = Pairs(SETTINGS)
    for _ in range(3):
        pairs.close(costs(1))
        pairs.add(["a", ""], costs(2), swapped=False)
    pairs.restart(but=[""])
    assert (len(pairs.of("a")), len(pairs.of(""))) == (0, 2)
    pairs.close(costs(1))
    assert len(pairs.of("a")) == 0, "what began under the other load is none"


def test_a_policy_is_trusted_when_it_is_shown_to_be_better_and_no_longer_when_it_is_worse():
    trust = Trust()
    assert trust.is_on_trial
    assert not trust.judge([0.3, 0.4], None)
    assert trust.judge([0.3, 0.4, 0.35], None)
    assert not trust.is_on_trial
    assert not trust.judge([0.1, -0.1, 0.0], None)
    assert not trust.is_on_trial, "nothing is shown against it"
    assert trust.judge([-0.3, -0.4, -0.35], None)
    assert trust.is_on_trial


def test_beside_another_default_it_has_to_beat_that():
    trust = Trust()
    default = [0.5, 0.52, 0.48, 0.5]
    assert not trust.judge([0.3, 0.31, 0.29, 0.3], default)
    assert trust.shown.high < 0
    assert trust.judge([0.7, 0.71, 0.69, 0.7], default)


def test_one_that_is_always_trusted_is_never_on_trial():
    trust = Trust(always=True)
    trust.judge([-1.0, -1.1, -0.9], None)
    trust.withdraw()
    assert not trust.is_on_trial


def test_a_load_is_another_one_by_a_factor_and_small_numbers_are_not(windows):
    usual = {"window_ns": 10**9, "burst_tat_count": 400, "wakeups": 500, "running_avg": 1.5, "runqueue_length_avg": 2.5}
    window = changed(windows[0], **usual)

    def differs(one, other):
        load = Load()
        assert not load.add("a", [one]), "nothing is known yet"
        return load.add("a", [other])

    assert not differs(window, changed(window, burst_tat_count=1000, wakeups=200))
    assert differs(window, changed(window, burst_tat_count=1300))
    assert differs(window, changed(window, wakeups=130))
    assert differs(window, changed(window, runqueue_length_avg=9.0))
    assert not differs(window, changed(window, window_ns=2 * 10**9, burst_tat_count=800, wakeups=1000))
    few = changed(window, burst_tat_count=1, wakeups=2, running_avg=0.0, runqueue_length_avg=0.0)
    assert not differs(few, changed(few, burst_tat_count=5, wakeups=8, running_avg=0.4))


def test_an_arm_is_compared_with_itself_and_with_nothing_of_another_load(windows):
    load, busy = Load(), changed(windows[0], wakeups=10_000)
    assert not load.add("a", [windows[0]])
    assert not load.add("b", [busy]), "an arm may change how many wakeups there are"
    assert not load.add("b", [busy])
    assert load.add("a", [busy])
    assert not load.add("b", [windows[0]]), "what it was like before is of another load"
