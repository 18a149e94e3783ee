"""Replays of an environment whose truth is known, and of the committed examples beside the committed runs."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from agents import ARMS, ENVIRONMENT, vector
from click.testing import CliRunner

from schedtel.agent.context import Context
from schedtel.agent.policies.files import save_policy
from schedtel.agent.policies.registry import policy_of
from schedtel.agent.replay import CostTable, Measured, Phases
from schedtel.cli import group
from schedtel.errors import SchedtelError
from schedtel.training.episodes import GIVEN, ONLINE, ORACLE, RANDOM, RULE, STATIC, TRAINED, Told, play
from schedtel.training.examples import Examples
from schedtel.training.packed import pack, unpack

DATASETS = Path(__file__).parents[3] / "datasets"
EXAMPLES = DATASETS / "examples/heatmaps.parquet"
REPEATS = 4


def made_up(scatter=0.1):
    """Workloads of two kinds; a repeat is off by as much under all arms but the default one."""
    random = np.random.default_rng(1)
    luck = random.normal(0, scatter, REPEATS)
    return CostTable(
        Measured(
            f"w{number}", arm, 0.0 if place == 0 else float(luck[repeat] - ENVIRONMENT[number % 2, place]),
            vector(number % 2, random), 0.95 if number % 2 else 0.5, repeat + 1,
        )
        for number in range(4)
        for place, arm in enumerate(ARMS)
        for repeat in range(REPEATS)
    )  # fmt: skip


@pytest.fixture(scope="module")
def episodes():
    return play(made_up(), Told(Phases(windows=144, phase=6, episodes=1), swap_cost=0.0))


def test_yardsticks_are_those_of_the_table_and_the_unit_of_an_interval_is_a_repeat(episodes):
    table = made_up()
    by_repeat = np.array([table.runs([repeat]).means for repeat in table.repeats])
    assert episodes.curves[ORACLE].mean(axis=1) == pytest.approx(by_repeat.min(axis=2).mean(axis=1))
    always = episodes.curves[f"always {ARMS[1]}"]
    place = table.arms.index(ARMS[1])
    expected = by_repeat[:, :, place].mean(axis=1)
    assert always.mean(axis=1) == pytest.approx(expected)
    found = episodes.last_third(f"always {ARMS[1]}")
    # Student's quantile with 3 degrees of freedom is 3.182.
    reach = 3.182 * expected.std(ddof=1) / math.sqrt(REPEATS)
    assert math.log1p(found.high / 100) == pytest.approx(expected.mean() + reach, rel=1e-3)
    for third in np.split(always, 3, axis=1):
        assert third.mean(axis=1) == pytest.approx(expected), "each workload comes as often as the others"


def test_policies_that_see_features_come_close_to_the_oracle_and_random_choice_does_not(episodes):
    names = {*ONLINE, *(f"{name}, trained" for name in TRAINED), ORACLE, STATIC, RANDOM, RULE}
    assert names <= set(episodes.curves)
    late = {name: episodes.last_third(name).value for name in episodes.curves}
    assert late[ORACLE] < late["thompson, trained"] < late[RANDOM]
    assert late["classifier, trained"] < (late[ORACLE] + late[STATIC]) / 2
    first = episodes.first_third("thompson").value
    assert late["thompson"] < first, "it learns"
    worst, cost = episodes.worst(f"always {ARMS[1]}")
    assert worst in ("w0", "w2")
    assert cost.value > 0


def test_a_policy_that_was_trained_elsewhere_plays_as_it_is_and_learning_on(tmp_path):
    """It has learned that one arm is by far the best, which is so in two of four workloads."""
    table, path = made_up(scatter=0), tmp_path / "policy.safetensors"
    policy = policy_of("linucb", ARMS, table.windows()[0].features.names)
    for one in table.windows():
        policy.learn(Context(one.features, "eevdf"), one.arm, 1.0, 2.0 if one.arm == ARMS[1] else -2.0)
    save_policy(policy, path)
    told = Told(Phases(windows=72, phase=6, episodes=1), swap_cost=0.0, given=str(path))
    found = play(table, told)
    assert found.curves[GIVEN].mean() == pytest.approx(found.curves[f"always {ARMS[1]}"].mean(), abs=0.1)
    assert found.last_third(f"{GIVEN}, learning on").value < found.last_third(GIVEN).value
    other = policy_of("thompson", ARMS, table.windows()[0].features.names[:3])
    save_policy(other, path)
    with pytest.raises(SchedtelError, match="it sees other features"):
        play(table, told)


def test_what_cannot_be_replayed_is_one_line():
    table = made_up()
    told = Told(Phases(240, 10, 1))
    for wrong, why in (
        (table.runs([1, 2]), "cannot replay 2 repeats"),
        (table.choosing([ARMS[0]]), "1 arms"),
        (CostTable([one for one in table.windows() if (one.arm, one.repeat) != (ARMS[1], 3)]), "cannot replay"),
    ):
        with pytest.raises(SchedtelError, match=why):
            play(wrong, told)
    with pytest.raises(SchedtelError, match="120 are the least"):
        play(table, Told(Phases(119, 10, 1)))
    with pytest.raises(SchedtelError, match="where a CPU is busy"):
        play(table, Told(Phases(240, 10, 1), busy_arm="scx:moon"))
    with pytest.raises(SchedtelError, match="for a swap"):
        Told(swap_cost=-1.0)


# ---- the command ----


def run(*words):
    return CliRunner().invoke(group, ["agent", "replay", *map(str, words)], catch_exceptions=True)


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "examples"
    path.write_bytes(pack([Examples("made up", made_up(), {}, {})]))
    return path


def test_the_command_says_it_as_text_as_json_and_as_a_page(packed, tmp_path):
    words = (packed, "--windows", 36, "--phase", 3, "--episodes", 1, "--arm", ARMS[2])
    told = run(*words, "--page", tmp_path / "page.html")
    assert told.exit_code == 0, told.exception
    assert f"arms eevdf, {ARMS[2]}" in told.stdout
    assert "thompson, trained" in told.stdout
    said = json.loads(run(*words, "--format", "json").stdout)
    assert (said["repeats"], said["arms"]) == ([1, 2, 3, 4], ["eevdf", ARMS[2]])
    assert np.array(said["costs"][ORACLE]).shape == (4, 12)
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    for name in said["costs"]:
        assert name.partition(":")[0] in page


def test_arms_that_no_experiment_has_and_files_that_hold_none_are_one_line(packed, tmp_path):
    for words, why in (
        ((packed, "--arm", "scx:moon"), "none of its 1 experiments have these arms"),
        ((EXAMPLES,), "2 of its 2 experiments"),
        ((tmp_path / "none",), "cannot read"),
        ((packed, "--busy-arm", "scx:moon"), "where a CPU is busy"),
        ((packed, "--windows", 0), "cannot replay"),
        ((packed, "--policy", tmp_path / "none"), "cannot read"),
    ):
        error = run(*words).exception
        assert isinstance(error, SchedtelError), words
        assert why in str(error)


# ---- the committed ones ----


def test_the_examples_of_the_lab_cost_what_its_runs_say():
    """By the figures of the runs, with another program's arithmetic."""
    rows = pq.read_table(DATASETS / "heatmap-lab.parquet").to_pylist()
    table = next(one.table for one in unpack(EXAMPLES) if "scx:bpfland" in one.table.arms)
    parts = ("figures.tat_mean_ns", "figures.rt_mean_ns", "figures.share_cv")
    by = {(row["workload"], row["scheduler"], row["repeat"]): [row[part] for part in parts] for row in rows}
    for one in table.windows():
        its, base = by[one.workload, one.arm, one.repeat], by[one.workload, "eevdf", one.repeat]
        cost = sum(a / b for a, b in zip(its, base, strict=True)) / 3
        assert one.cost == pytest.approx(max(-math.log(8), min(math.log(8), math.log(cost))))
