"""Advice for recordings: by hand for windows whose run queue is known, and as the command gives it."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from foreign import ACTING, recorded
from texts import TEXTS

import schedtel
from schedtel.agent.advice import advise, cost_text, running_arm, table_of, text_of
from schedtel.agent.cold_start import pretrained
from schedtel.agent.context import context_of
from schedtel.agent.policies.files import load_policy, save_policy
from schedtel.agent.policies.protocol import Settings
from schedtel.agent.policies.registry import policy_of
from schedtel.agent.proposal import missing_here, proposals
from schedtel.cli import group
from schedtel.errors import SchedtelError

ONE = ("runqueue_length_avg",)
#: Between the second and the third largest run queue of the sample windows.
ARMS = ("eevdf", "policy:batch", "scx:new")


def by_run_queue(edge):
    """A policy whose second arm is worth ln(1 + queue) - ln(1 + edge), and the others nothing; without intervals."""
    policy = policy_of("linucb", ARMS, ONE, Settings(floor=0.0, budget=None))
    policy.scaler.centre[:], policy.scaler.variance[:], policy._weight[:] = 0, 1, 1
    policy._theta[1, :2] = [-math.log1p(edge), 1.0]
    policy._covariance[:] = 0
    policy.tally.count[:2] = 3
    return policy


def queues_of(windows):
    return [window.summary["runqueue_length_avg"][0].as_py() for window in windows]


def test_the_arm_of_each_window_is_the_one_whose_weights_say_so(windows):
    queues = queues_of(windows)
    edge = sorted(queues)[1]  # the largest of three is above it
    policy = by_run_queue(edge + 1e-6)
    found = advise(windows, policy)
    expected = ["policy:batch" if queue > edge + 1e-6 else "eevdf" for queue in queues]
    by_arm = {one.arm: one for one in found.arms}
    assert found.windows == 3
    assert by_arm["policy:batch"].first_in == expected.count("policy:batch") == 1
    assert by_arm["eevdf"].chance == pytest.approx(2 / 3)
    told = [one.arm for one in found.stretches for _ in range(one.windows)]
    assert told == expected
    assert by_arm["policy:batch"].mean == pytest.approx(
        np.mean([math.log1p(q) - math.log1p(edge + 1e-6) for q in queues])
    )
    assert found.arm == "eevdf"
    assert "advice: stay with eevdf" in text_of(found)


def test_an_arm_that_is_believed_better_is_advised_with_its_cost(windows):
    policy = by_run_queue(-0.5)  # worth more than 0 whatever the queue
    found = advise(windows, policy)
    assert found.arm == "policy:batch"
    lines = text_of(found)
    assert "advice: try policy:batch: it is believed to be better than the default" in lines
    assert any(line.startswith("scx:new") and "not known" in line for line in lines)


def test_that_an_arm_needs_sched_ext_is_told(windows):
    policy = policy_of("fixed", ARMS, ONE, Settings(floor=0.0), {"arm": "scx:new"})
    assert any(
        line.startswith("advice: try scx:new (it needs a kernel with sched_ext)")
        for line in text_of(advise(windows, policy))
    )


def test_a_classifier_advises_what_it_has_learned_and_tells_what_it_believes_of_each_arm(windows):
    queues = queues_of(windows)
    contexts = [context_of(window, "eevdf", ONE) for window in windows]
    best = np.array(queues) == max(queues)
    policy = policy_of("classifier", ARMS, ONE, Settings(floor=0.0))
    policy.fit(contexts * 20, np.tile(np.column_stack([~best, best, best * 0]).astype(float), (20, 1)))
    found = advise(windows, policy)
    assert [one.arm for one in found.stretches for _ in range(one.windows)] == [ARMS[int(one)] for one in best]
    believed = {one.arm: one.mean for one in found.arms}
    assert [believed[arm] for arm in ARMS] == pytest.approx([2 / 3, 1 / 3, 0], abs=0.02)
    assert "has not seen it" not in "\n".join(text_of(found))


def test_it_changes_nothing_of_the_policy(windows):
    policy = by_run_queue(0.1)
    before = {name: values.copy() for name, values in policy.arrays().items()}
    advise(windows, policy)
    assert all((before[name] == values).all() for name, values in policy.arrays().items())


@pytest.mark.parametrize(
    ("scheduler", "arm"),
    [("eevdf", "eevdf"), ("cfs", "eevdf"), ("new", "scx:new"), ("new_1.2", "scx:new"), ("other", ""), (None, "")],
)
def test_which_arm_ran_is_told_by_the_schedulers_name(scheduler, arm):
    assert running_arm(scheduler, ARMS) == arm


def test_a_scheduler_may_show_its_version():
    assert running_arm("bpfland_1.1.2", ["scx:bpfland", "eevdf"]) == "scx:bpfland"


@pytest.mark.parametrize(
    ("reward", "text"),
    [
        ((0.0, 0.0, 0.0), "+0.0 % [+0.0, +0.0]"),
        ((math.log(2), 0.0, math.log(4)), "-50.0 % [-75.0, +0.0]"),
        ((None, None, None), "not known"),
    ],
)
def test_a_reward_is_told_as_a_change_of_cost(reward, text):
    assert cost_text(*reward) == text


def test_without_windows_there_is_no_advice():
    with pytest.raises(schedtel.UsageError, match="there is no window"):
        advise([], by_run_queue(1))


# ---- the command ----


@pytest.fixture
def recording(tmp_path, windows):
    recorder = schedtel.Recorder(tmp_path / "recording", window="1s")
    for window in windows:
        recorder.write(window)
    return tmp_path / "recording"


def run(*words):
    return CliRunner().invoke(group, ["agent", "advise", *map(str, words)], catch_exceptions=True)


def test_the_command_says_the_same_as_the_library(recording, windows, tmp_path):
    save_policy(by_run_queue(0.1), tmp_path / "policy")
    done = run(recording, "--policy", tmp_path / "policy", "--format", "json")
    said = json.loads(done.output)
    assert said == table_of(advise(windows, load_policy(tmp_path / "policy")))


def test_the_policy_that_ships_advises_and_leaves_arms_that_it_does_not_know(recording):
    known = pretrained().arms
    table = json.loads(run(recording, "--format", "json").output)
    assert {one["arm"] for one in table["arms"]} == set(known)
    assert [one["arm"] for one in table["proposed"]] == [one.arm for one in proposals(known, missing_here)]
    table = json.loads(run(recording, "--arm", "eevdf", "--arm", "scx:moon", "--format", "json").output)
    by_arm = {one["arm"]: one for one in table["arms"]}
    assert set(by_arm) == {"eevdf", "scx:moon"}
    assert not by_arm["scx:moon"]["known"]
    assert by_arm["scx:moon"]["mean"] == pytest.approx(0)
    assert table["proposed"] == []


def test_what_is_proposed_first_is_told_before_what_the_policy_would_try(recording):
    lines = run(recording, "--arm", "scx:interactive", "--arm", "policy:hogs:idle").output.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("first: scx:interactive by itself: "))
    assert lines[first + 1].startswith("then: try ")
    assert "cannot have it" not in "\n".join(lines), "arms that are named can be had"


def test_what_cannot_be_advised_is_one_line(recording, tmp_path):
    for words, why in (
        ((tmp_path / "none",), "no such directory"),
        ((recording, "--policy", "thompson"), "it knows no arms by itself"),
        ((recording, "--policy", recording), "Is a directory"),
        ((recording, "--arm", "moon"), "cannot read 'moon' as an arm"),
        ((recording, "--arm", "scx:moon"), "it knows none of these arms"),
    ):
        error = run(*words).exception
        assert isinstance(error, SchedtelError), words
        assert why in str(error)


def test_names_of_schedulers_in_a_recording_do_not_act_on_a_terminal(tmp_path, windows):
    texts = [text.decode(errors="replace") for text in TEXTS.values()]
    done = run(recorded(tmp_path / "hostile", windows, texts, "host"))
    assert done.exit_code == 0
    assert not ACTING.search(done.output)
    assert f"another scheduler in {len(texts)}" in done.output
