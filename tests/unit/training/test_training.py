"""Training on experiments: costs by hand, held-out workloads whose best arms are known, and the command."""

import json
import math
import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from agents import ARMS, ENVIRONMENT, vector
from click.testing import CliRunner

import schedtel
from schedtel.agent.cold_start import card, pretrained
from schedtel.agent.context import CHOSEN, Context
from schedtel.agent.policies.files import load_policy
from schedtel.agent.policies.registry import policy_of
from schedtel.agent.replay import CostTable, Measured
from schedtel.cli import group
from schedtel.errors import SchedtelError
from schedtel.experiments.design import Cell
from schedtel.experiments.spec import spec_of
from schedtel.experiments.store import Run, Store
from schedtel.training.examples import read_examples
from schedtel.training.fitting import PORTABLE, TRAINABLE, WORTH, fitted, without
from schedtel.training.held_out import HINDSIGHT, ORACLE, RANDOM, STATIC, judge, percent_of
from schedtel.training.packed import pack, unpack

EXAMPLES = Path(__file__).parents[3] / "datasets/examples/heatmaps.parquet"

WORKLOADS = ("one", "two", "three", "four")
SCHEDULERS = ("eevdf", "policy:batch", "placebo")
#: TAT, RT and CV of a run under eevdf, and under policy:batch as multiples of these.
BASE = {"tat_mean_ns": 1000.0, "rt_mean_ns": 10.0, "share_cv": 0.5}
TIMES = {"one": (0.5, 0.5, 0.5), "two": (1.0, 1.0, 4.0), "three": (2.0, 1.0, 0.0), "four": (400.0, 1.0, 1.0)}


def make_store(root, windows, schedulers=SCHEDULERS, workloads=WORKLOADS):
    """An experiment of two repeats whose costs are known: L / 3 is the mean of the multiples above."""
    table = {"workloads": list(workloads), "schedulers": list(schedulers), "repeats": 2, "title": "made up"}
    store = Store(root, spec_of(table, "the experiment"))
    for workload in workloads:
        for scheduler in schedulers:
            for repeat in (1, 2):
                cell = Cell(workload, scheduler, repeat, 7)
                times = TIMES[workload] if scheduler == "policy:batch" else (1.0, 1.0, 1.0)
                figures = {name: repeat * value * by for (name, value), by in zip(BASE.items(), times, strict=True)}
                recorder = schedtel.Recorder(store.begin(cell), window="1s")
                for window in windows:
                    recorder.add(window)
                recorder.flush()
                store.finish(Run(cell, figures, {"kernel": "6.18", "git_commit": "abc", "cpus": 2}))
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory, windows):
    return make_store(tmp_path_factory.mktemp("training") / "store", windows)


def test_the_cost_of_a_run_is_that_of_its_pair(store):
    found = read_examples(store, PORTABLE)
    assert found.table.arms == ("eevdf", "policy:batch")
    assert found.table.workloads == tuple(sorted(WORKLOADS))
    costs = dict(zip(found.table.workloads, found.table.means[:, 1].tolist(), strict=True))
    assert costs == {
        "one": pytest.approx(math.log(0.5)),
        "two": pytest.approx(math.log(6 / 3)),
        "three": pytest.approx(math.log(3 / 3)),
        "four": pytest.approx(math.log(8)),  # as much as a reward can be
    }
    assert found.table.means[:, 0] == pytest.approx(0)
    assert found.placebo == dict.fromkeys(WORKLOADS, pytest.approx(0))
    assert found.provenance == {"runs": 24, "kernel": ["6.18"], "git_commit": ["abc"], "cpus": ["2"]}


def test_the_first_and_the_last_window_of_a_run_do_not_count(store, windows):
    contexts, rewards = read_examples(store, PORTABLE).table.experiments()
    assert rewards.shape == (4 * 2 * 2, 2)
    expected = windows[1].features()
    for context in contexts:
        assert context.features.as_dict() == {name: expected[name] for name in PORTABLE}


def test_features_that_another_machine_has_another_amount_of_are_left_out():
    counts = {"burst_tat_count", "voluntary_switches", "involuntary_switches", "forks"}
    assert set(CHOSEN) - set(PORTABLE) == {*counts, "blocked_avg"}


def synthetic(kinds, windows=12, seed=1, noise=0.05):
    """A table of workloads of two kinds, whose rewards are those of the environment."""
    random = np.random.default_rng(seed)
    return CostTable(
        Measured(f"w{number}", arm, float(random.normal(-ENVIRONMENT[kind, place], noise)), vector(kind, random))
        for number, kind in enumerate(kinds)
        for place, arm in enumerate(ARMS)
        for _ in range(windows)
    )


@pytest.mark.parametrize("name", ["thompson", "linucb"])
def test_a_table_at_once_is_the_same_as_its_rewards_one_by_one(name):
    """Apart from the scales, which are learned from the whole table first: here they are given."""
    contexts, rewards = synthetic([0, 1]).experiments()
    rewards[::3, 1] = np.nan
    whole, single = (policy_of(name, ARMS, CHOSEN) for _ in range(2))
    whole.fit(contexts, rewards)
    for mine, its in (("seen", "seen"), ("centre", "centre"), ("variance", "variance")):
        getattr(single.scaler, mine)[:] = getattr(whole.scaler, its)
    single.scaler.add = lambda _: None
    for context, row in zip(contexts, rewards, strict=True):
        for arm, reward in zip(ARMS, row, strict=True):
            if np.isfinite(reward):
                single.learn(context, arm, 1.0, reward)
    seen = Context(vector(1, np.random.default_rng(3)), ARMS[0])
    for arm in ARMS:
        assert whole.beliefs(seen)[arm].mean == pytest.approx(single.beliefs(seen)[arm].mean)
        assert whole.beliefs(seen)[arm].width == pytest.approx(single.beliefs(seen)[arm].width)
    assert (whole.tally.count == single.tally.count).all()


def test_on_workloads_that_were_left_out_what_looks_at_features_is_better_than_one_arm():
    held_out = judge(TRAINABLE, [synthetic([0, 1, 0, 1, 0, 1, 0, 1])], CHOSEN)
    best, static = ENVIRONMENT.max(axis=1).mean(), ENVIRONMENT.mean(axis=0).max()
    assert held_out.costs[ORACLE].mean() == pytest.approx(-best, abs=0.05)
    assert held_out.costs[HINDSIGHT].mean() == pytest.approx(-static, abs=0.05)
    assert held_out.costs[RANDOM].mean() == pytest.approx(-ENVIRONMENT.mean(), abs=0.05)
    for name in TRAINABLE:
        assert held_out.against(name, RANDOM).high < 0
        assert held_out.against(name, STATIC).high < 0
        assert -held_out.costs[name].mean() > static + 0.3 * (best - static)


def test_where_features_tell_nothing_no_policy_is_shown_to_be_better_than_the_best_arm():
    random = np.random.default_rng(5)
    kinds = random.integers(2, size=10)
    table = CostTable(
        Measured(f"w{number}", arm, float(-ENVIRONMENT[kind, place]), vector(0, random))
        for number, kind in enumerate(kinds)
        for place, arm in enumerate(ARMS)
        for _ in range(8)
    )
    held_out = judge(["thompson"], [table], CHOSEN)
    assert held_out.against("thompson", HINDSIGHT).high > 0


def test_a_workload_that_is_left_out_is_left_out_of_every_experiment():
    tables = [synthetic([0, 1, 0]), synthetic([1, 0], seed=2)]
    kept = without(tables, ["w0"])
    assert [table.workloads for table in kept] == [("w1", "w2"), ("w1",)]
    assert without([synthetic([0])], ["w0"]) == []


def test_arms_of_several_experiments_come_together():
    lab = CostTable(
        Measured("w0", arm, cost, vector(0, np.random.default_rng(4)))
        for arm, cost in (("eevdf", 0.0), ("scx:moon", -1.0))
        for _ in range(4)
    )
    policy = fitted("thompson", [synthetic([0, 1]), lab], CHOSEN)
    assert policy.arms == (*ARMS, "scx:moon")
    assert policy.tally.count[policy.slots()["scx:moon"]] < policy.tally.count[policy.slots()["eevdf"]]


def test_what_was_learned_is_worth_a_few_rewards_a_workload():
    policy = fitted("thompson", [synthetic([0, 1, 0], windows=40)], CHOSEN)
    assert policy.tally.count[policy.slots()[ARMS[0]]] == pytest.approx(3 * WORTH)


def test_a_mean_of_logarithms_is_told_in_percent_with_students_interval():
    found = percent_of(np.log([0.5, 1.0, 2.0]))
    # Their mean is 0, their standard deviation ln 2, and Student's quantile with 2 degrees of freedom 4.303.
    assert found.value == pytest.approx(0, abs=1e-9)
    assert found.high == pytest.approx(100 * math.expm1(4.303 * math.log(2) / math.sqrt(3)), rel=1e-3)
    assert found.low == pytest.approx(100 * math.expm1(-4.303 * math.log(2) / math.sqrt(3)), rel=1e-3)


# ---- the command ----


def run(*words):
    return CliRunner().invoke(group, ["agent", "train", *map(str, words)], catch_exceptions=True)


def test_the_command_writes_a_policy_and_its_card(store, tmp_path):
    done = run(store, "-o", tmp_path / "policy")
    assert done.exit_code == 0, done.exception
    policy, card = load_policy(tmp_path / "policy"), json.loads((tmp_path / "policy.json").read_text())
    assert policy.arms == ("eevdf", "policy:batch")
    assert stat.S_IMODE((tmp_path / "policy").stat().st_mode) == 0o600
    assert card["policy"] == "thompson"
    assert card["held_out"]["workloads"] == sorted(WORKLOADS)
    means = [math.log(0.5), math.log(2), 0.0, math.log(8)]
    assert card["held_out"]["percent"]["random"]["value"] == pytest.approx(
        100 * math.expm1(np.mean(means) / 2), abs=0.01
    )
    assert done.output.startswith("4 workloads, each left out of the training in turn")


def test_what_cannot_be_trained_on_is_one_line(store, windows, tmp_path):
    few = make_store(tmp_path / "few", windows, workloads=WORKLOADS[:2])
    torn = make_store(tmp_path / "torn", windows, workloads=WORKLOADS[:1])
    next((torn / "runs").glob("*/run.json")).write_text('{"cell": 3}')
    for root, why in (
        (tmp_path, "no experiment in it"),
        (few, "3 are needed"),
        (torn, "it is no run"),
    ):
        error = run(root, "-o", tmp_path / "policy").exception
        assert isinstance(error, SchedtelError), root
        assert why in str(error)
    assert isinstance(run(store, "-o", tmp_path).exception, SchedtelError)
    assert not (tmp_path / "policy").exists()


# ---- what ships ----


def test_the_policy_that_ships_is_what_the_committed_examples_teach():
    found = unpack(EXAMPLES)
    again, ours = fitted("thompson", [each.table for each in found], PORTABLE), pretrained()
    assert again.slots() == ours.slots()
    for name, values in ours.arrays().items():
        assert values == pytest.approx(again.arrays()[name], rel=1e-6, abs=1e-9), name


def test_its_card_says_what_the_committed_examples_show():
    said, held_out = card()["held_out"], judge(["thompson"], [each.table for each in unpack(EXAMPLES)], PORTABLE)
    for name, percent in (
        ("against_random", held_out.against("thompson", RANDOM)),
        ("against_best_static", held_out.against("thompson", STATIC)),
    ):
        assert (percent.value, percent.low, percent.high) == pytest.approx(tuple(said[name].values()), abs=0.05)
    assert said["against_random"]["high"] < 0, "on workloads that it has not seen it is shown to be better than chance"


def test_its_card_says_what_each_arm_cost_by_itself():
    frame = pq.read_table(EXAMPLES).to_pandas()
    for number, experiment in enumerate(card()["experiments"]):
        mine = frame[frame["experiment"] == number]
        means = mine.groupby(["workload", "arm"])["cost"].mean().unstack()
        assert set(experiment["by_itself_percent"]) == set(means.columns) - {"eevdf"}
        for arm, said in experiment["by_itself_percent"].items():
            assert said["value"] == pytest.approx(100 * math.expm1(means[arm].mean()), abs=0.006)
            assert said["low"] < said["value"] < said["high"]
            assert said["better_in"] == (means[arm] < 0).sum()
            assert (said["worst"], said["worst_percent"]) == (
                means[arm].idxmax(),
                pytest.approx(100 * math.expm1(means[arm].max()), abs=0.006),
            )


def test_examples_in_a_file_are_those_of_the_runs(store, tmp_path):
    found = read_examples(store, PORTABLE)
    (tmp_path / "examples").write_bytes(pack([found]))
    (again,) = unpack(tmp_path / "examples")
    assert (again.title, again.provenance, again.placebo) == (found.title, found.provenance, found.placebo)
    assert again.table.means == pytest.approx(found.table.means)
    for mine, its in zip(found.table.windows(), again.table.windows(), strict=True):
        assert mine.features.as_dict() == its.features.as_dict()
        named = ("workload", "arm", "repeat", "cost", "busiest_cpu")
        assert [getattr(mine, name) for name in named] == [getattr(its, name) for name in named]


def test_a_file_that_holds_no_examples_is_one_line(tmp_path):
    table = pq.read_table(EXAMPLES)
    said = json.loads(table.schema.metadata[b"schedtel.examples"])
    wrong = {
        "text": b"no parquet",
        "empty": b"",
        "columns": table.drop_columns(["arm"]),
        "metadata": table.replace_schema_metadata({}),
        "version": table.replace_schema_metadata({"schedtel.examples": json.dumps(said | {"features_version": 99})}),
        "infinite": table.set_column(4, "cost", pa.array([math.inf] * len(table))),
        "missing": table.slice(0, 300),
        "none": table.set_column(1, "workload", pa.array([None] * len(table), pa.string())).slice(0, 0),
    }
    for name, content in wrong.items():
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            pq.write_table(content, path)
        with pytest.raises(SchedtelError, match="cannot"):
            unpack(path)
        assert isinstance(run(path, "-o", tmp_path / "policy").exception, SchedtelError)
    assert not (tmp_path / "policy").exists()
