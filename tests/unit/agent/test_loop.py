"""The loop on a machine on paper: what it chooses, when it may, what it tells, and that it acts only where it says so.

What its arms cost is known, and so is what a policy should learn.
"""

import json
import os
from unittest.mock import Mock

import numpy as np
import pytest
from acting import ARMS, TIMES, Acting, World

from schedtel.agent.log import DecisionLog, read_log
from schedtel.agent.policies.protocol import Settings
from schedtel.agent.reward import RewardSettings
from schedtel.agent.slo import parse_slo
from schedtel.agent.words import line_of
from schedtel.errors import RecordingError, StreamError

EEVDF, SMALL, BATCH = ARMS
BEST = {"calm": SMALL, "busy": BATCH}


@pytest.fixture
def world(windows):
    return World(windows[0])


def arms_of(ran):
    return {arm: ran.count(arm) / len(ran) for arm in set(ran)}


def test_it_learns_which_arm_suits_which_load_and_stays_within_its_budget(world):
    acting = Acting(world, exploring=Settings(seed=3))
    for number in range(16):
        world.load = "busy" if number % 2 else "calm"
        acting.live(40)
    costs = [np.log(TIMES["busy" if n // 40 % 2 else "calm"][arm]) for n, arm in enumerate(world.ran)]
    assert np.mean(costs[-320:]) < -0.3, "half of the best is reached, and EEVDF is measured in between"
    for load, part in (("calm", world.ran[-80:-40]), ("busy", world.ran[-40:])):
        assert max(arms_of(part), key=arms_of(part).get) == BEST[load]
    assert acting.seen[-1].exploration_share <= 0.05
    assert "shown to be better than the default" in " ".join(status.words for status in acting.seen)


def test_nothing_better_is_found_where_nothing_is(world):
    world.load = "equal"
    acting = Acting(world, exploring=Settings(seed=1))
    acting.live(100)
    assert world.ran.count(EEVDF) >= 50, "on trial, the default has its half"
    assert not any("has been shown" in status.words for status in acting.seen)


def test_on_trial_the_default_follows_each_choice_of_the_policy(world):
    world.load = "equal"
    seen = Acting(world).live(60)
    by_policy = [n for n, status in enumerate(seen[:-1]) if not status.guard]
    assert len(by_policy) > 10
    for number in by_policy:
        assert (seen[number + 1].chosen, bool(seen[number + 1].guard)) == (EEVDF, True)


def test_another_default_arm_runs_in_the_place_of_eevdf_while_on_trial(world):
    acting = Acting(world, default=BATCH, probe_every=4)
    seen = acting.live(40)
    assert {status.chosen for status in seen if "it is the default" in status.guard} == {BATCH}
    assert any("EEVDF is measured again" in status.guard for status in seen)


def test_eevdf_is_measured_anew_when_the_load_changes_and_rewards_of_the_change_are_none(world):
    acting = Acting(world, is_trusted=True, probe_every=1000, exploring=Settings(seed=2))
    acting.live(60)
    world.load = "busy"
    seen = acting.live(6)
    assert any("the load has changed" in status.words for status in seen)
    anew = next(status for status in seen if "nothing is known of EEVDF under this load" in status.guard)
    assert anew.chosen == EEVDF


def test_a_swap_has_its_dwell_and_the_settled_window_does_not_count(world):
    acting = Acting(world, is_trusted=True, reward=RewardSettings({"throughput": 1.0}, settle=2, dwell=4))
    acting.live(60)
    lengths, before = [], EEVDF
    for arm in world.ran:
        if arm == before and lengths:
            lengths[-1] += 1
        elif arm != before:
            lengths.append(1)
        before = arm
    assert lengths
    assert min(lengths[:-1]) >= 4
    turn = acting.agent._turn
    turn.windows, turn.swapped = list(world.windows(4)), True
    assert turn.counted(acting.settings.reward) == turn.windows[2:]


def test_a_window_of_two_schedulers_does_not_count(world):
    acting = Acting(world, is_trusted=True)
    acting.live(20)
    world.summary = {"scheduler": "eevdf+simple"}
    before = acting.agent._reference.age
    seen = acting.live(8)
    assert acting.agent._reference.age == before
    assert {status.reward for status in seen} == {acting.seen[-len(seen) - 1].reward}


@pytest.mark.parametrize("mode", ["dry-run", "shadow"])
def test_what_only_decides_never_acts(world, mode, tmp_path):
    log = DecisionLog(tmp_path / "log", Acting(world).policy.names) if mode == "shadow" else None
    acting = Acting(world, mode=mode, log=log)
    seen = acting.live(40)
    assert world.calls == []
    assert set(world.ran) == {EEVDF}
    assert {status.mode for status in seen} == {mode}
    assert len({status.chosen for status in seen}) > 1
    assert all(status.words.startswith("would run ") for status in seen)
    if log:
        entries = read_log(tmp_path / "log")
        assert {entry.arm for entry in entries} == {EEVDF}
        assert all(entry.propensity is None for entry in entries)
        assert all("with chance" in entry.reason for entry in entries)


def test_a_broken_objective_brings_eevdf_back_within_one_window(world):
    acting = Acting(world, is_trusted=True, slos=(parse_slo("rt_p99_ns < 20ms"),), exploring=Settings(seed=2))
    world.summary = {"rt_p99_ns": 1_000_000}
    while world.arm == EEVDF:
        acting.live(1)
    arm, calls = world.arm, len(world.calls)
    world.summary = {"rt_p99_ns": 20_000_000}
    (status,) = acting.live(1)
    assert world.arm == EEVDF
    assert world.calls[calls:] == ["restore"]
    assert "rt_p99_ns is 20.0 ms, not < 20.0 ms" in status.guard
    world.summary = {"rt_p99_ns": 1_000_000}
    later = acting.live(20)
    assert arm not in {status.chosen for status in later}
    assert all("quarantine" in view.barred for view in later[0].arms if view.arm == arm)


def test_an_objective_that_eevdf_breaks_as_well_puts_no_arm_into_quarantine(world):
    acting = Acting(world, is_trusted=True, slos=(parse_slo("tasks_active >= 1000000"),), exploring=Settings(seed=2))
    seen = acting.live(30)
    assert any("an objective is broken" in status.guard for status in seen)
    assert not any(view.barred for status in seen for view in status.arms)


def test_an_arm_that_cannot_be_attached_gives_way_to_eevdf_and_waits_longer_each_time(world):
    world.failing = {SMALL: "its loader ended with status 1"}
    acting = Acting(world, is_trusted=True, exploring=Settings(seed=4))
    acting.live(140)
    assert SMALL not in world.ran
    tries = [n for n, status in enumerate(acting.seen) if "has failed" in status.guard]
    assert 1 <= len(tries) <= 4
    gaps = np.diff([acting.seen[n].time_ns for n in tries])
    assert all(gap >= pause for gap, pause in zip(gaps, (30e9, 60e9, 120e9), strict=False))
    for n in tries:
        assert acting.seen[n].chosen == EEVDF


def test_an_ejected_arm_is_noticed_with_the_next_window(world):
    acting = Acting(world, is_trusted=True, exploring=Settings(seed=2))
    while world.arm == EEVDF:
        acting.live(1)
    arm, world.ejected = world.arm, "simple was ejected: the kernel is back to EEVDF (stall)"
    (status,) = acting.live(1)
    assert "ejected" in status.guard
    assert status.chosen == EEVDF
    assert acting.quarantine.why(arm)


def test_after_too_many_failures_it_only_observes(world):
    world.failing = dict.fromkeys(ARMS[1:], "not today")
    acting = Acting(world, is_trusted=True, exploring=Settings(seed=4))
    acting.live(150)
    assert acting.seen[-1].mode == "observe"
    assert "arms have failed 5 times within an hour" in acting.seen[-1].words
    calls = [call for call in world.calls if call != "restore"]
    acting.live(40)
    assert [call for call in world.calls if call != "restore"] == calls


def test_a_scheduler_of_someone_else_is_left_alone(world):
    acting = Acting(world, is_trusted=True, exploring=Settings(seed=2))
    acting.live(20)
    world.foreign = "theirs"
    (status,) = acting.live(1)
    assert "theirs was attached by someone else" in status.guard
    age = acting.agent._reference.age
    seen = acting.live(10)
    assert [call for call in world.calls[-11:] if call != "restore"] == []
    assert {status.scheduler for status in seen} == {"theirs"}
    assert acting.agent._reference.age == age, "their windows are not EEVDF's"
    world.foreign = None
    assert any(not status.guard for status in acting.live(20))


def test_where_the_kernel_does_not_take_things_back_it_only_observes(world):
    acting = Acting(world, is_trusted=True, exploring=Settings(seed=2))
    while world.arm == EEVDF:
        acting.live(1)
    world.refuses_to_restore = True
    acting.live(30)
    assert acting.seen[-1].mode == "observe"
    assert "cannot be put back" in acting.seen[-1].words
    after = acting.seen[[status.mode for status in acting.seen].index("observe") :]
    assert {status.chosen for status in after} == {EEVDF}


def test_a_machine_that_is_lost_ends_the_agent_and_no_arm_is_blamed(world, monkeypatch):
    acting = Acting(world, is_trusted=True, exploring=Settings(seed=2))
    while world.arm == EEVDF:
        acting.live(1)
    for name in ("tell", "rescan", "restore", "switch"):
        with monkeypatch.context() as patched:
            patched.setattr(world, name, Mock(side_effect=StreamError("lost target")))
            with pytest.raises(StreamError, match="lost target"):
                acting.live(40)
    assert acting.seen[-1].mode == "act"
    assert not any(acting.quarantine.why(arm) for arm in ARMS)


def test_a_machine_is_told_the_threads_of_the_classes_that_arms_name(windows):
    world = World(windows[0])
    acting = Acting(world, arms=("eevdf", "policy:hogs:idle"), is_trusted=True)
    acting.live(3)
    assert world.classes == {"hogs": acting.agent._classes.threads("hogs")}
    quiet = World(windows[0])
    Acting(quiet, arms=("eevdf", "policy:hogs:idle"), mode="shadow").live(3)
    assert quiet.classes == {}, "what only decides tells nothing"


def test_an_arm_that_is_worse_is_barred_under_this_load_by_pairs_and_free_under_another(world):
    acting = Acting(world, is_trusted=True, probe_every=1, policy="random")
    seen = acting.live(120)
    barred = [view for status in seen for view in status.arms if "worse than EEVDF under this load" in view.barred]
    assert {view.arm for view in barred} == {BATCH}
    world.load = "busy"
    acting.live(6)
    assert BATCH in {status.chosen for status in acting.live(60)}


def test_every_decision_is_a_row_of_the_log_with_the_chance_that_it_had(world, tmp_path):
    log = DecisionLog(tmp_path / "log", Acting(world).policy.names)
    acting = Acting(world, log=log, exploring=Settings(seed=3))
    seen = acting.live(60)
    entries = read_log(tmp_path / "log")
    assert [entry.arm for entry in entries] == [status.chosen for status in seen]
    assert [entry.window_id for entry in entries] == [status.window_id for status in seen]
    for entry, status in zip(entries, seen, strict=True):
        assert (entry.reason or "") == status.guard
        assert (entry.propensity is None) == bool(status.guard)
    assert sum(entry.reward is not None for entry in entries) > 20
    assert os.stat(next((tmp_path / "log" / "decisions").iterdir())).st_mode & 0o077 == 0


def test_a_full_disk_does_not_end_it(world, tmp_path, monkeypatch):
    log = DecisionLog(tmp_path / "log", Acting(world).policy.names)
    acting = Acting(world, log=log)
    acting.live(10)
    full = RecordingError("cannot write part: No space left on device (free space)")
    with monkeypatch.context() as patched:
        patched.setattr(type(log._place), "write", Mock(side_effect=full))
        assert acting.live(20)
    assert len(acting.told) == 1
    assert "goes on without its log" in acting.told[0]
    assert "No space left" in acting.told[0]
    acting.live(10)
    assert acting.told[1:] == ["the log is written again"]
    assert len(read_log(tmp_path / "log")) == len(acting.seen), "the rows of meanwhile were kept"


def test_a_step_of_the_wall_clock_changes_nothing(windows, tmp_path):
    runs = []
    for step in (0, -3600 * 10**9):
        world = World(windows[0], seed=5)
        acting = Acting(world, log=DecisionLog(tmp_path / f"log{step}", Acting(world).policy.names))
        acting.live(10)
        world.wall_ns += step
        acting.live(15)
        runs.append([(status.chosen, status.words, status.time_ns) for status in acting.seen])
        assert len(read_log(tmp_path / f"log{step}")) == len(acting.seen)
    assert runs[0] == runs[1]


def test_quarantine_outlives_the_agent(world, tmp_path):
    world.failing = dict.fromkeys(ARMS[1:], "not today")
    acting = Acting(world, state=tmp_path, is_trusted=True, exploring=Settings(seed=4))
    acting.live(20)
    banned = json.loads((tmp_path / "quarantine.json").read_text())["arms"]
    other = Acting(world, state=tmp_path, is_trusted=True)
    for arm in banned:
        assert other.quarantine.why(arm)


def test_a_line_says_what_it_saw_what_it_thinks_and_what_it_did(world):
    acting = Acting(world, is_trusted=True, exploring=Settings(seed=3))
    status = acting.live(80)[-1]
    line = line_of(status)
    assert line.startswith(f"window {status.window_id}: saw ")
    assert "waiting 0.5" in line
    assert all(arm in line for arm in ARMS)
    assert line.endswith(status.words)
    assert "\n" not in line


def test_the_view_tells_the_share_of_a_cpu_and_the_gap(world):
    acting = Acting(world, is_trusted=True, exploring=Settings(seed=2))
    seen = acting.live(40)
    assert all(status.cpu_share == pytest.approx(0.01, abs=0.001) for status in seen)
    swapped = [status for status in seen if status.chosen not in (status.running, EEVDF)]
    assert {status.gap_ns for status in swapped} == {10_000_000}
