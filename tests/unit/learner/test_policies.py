"""Learners of policies: sums on paper, chances that are counted, and instances whose optimum is known."""

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (pip install 'schedtel[learn]')")

import torch

from schedtel.dags.families import preset
from schedtel.environments.dag_policy import CHOICES, makespan
from schedtel.environments.dag_sim import DagSim
from schedtel.environments.layout import Layout
from schedtel.environments.periodic_sim import PeriodicSim
from schedtel.errors import UsageError
from schedtel.models.network import Network
from schedtel.training.learner import checkpoint, ppo, reinforce
from schedtel.training.learner.algorithms import algorithm_of
from schedtel.training.learner.experience import ALIKE, EPISODES, Chunk, Collector
from schedtel.training.learner.exported import layers_of
from schedtel.training.learner.network import network_of
from schedtel.training.learner.policy import Sampling
from schedtel.training.learner.run import Run
from schedtel.training.learner.settings import Settings


def test_an_episode_is_compared_with_the_best_quarter_of_its_own_instance():
    """Of 1, 2, 3, 4 and 9, three quarters are at most 4, and what is above is 5, with a spread of 2; then one of 7."""
    found = reinforce.advantages(np.array([1, 2, 3, 4, 9, 10, 10, 10, 10, 10, 7], np.float32), 5)
    assert found == pytest.approx([0, 0, 0, 0, 2.5, 0, 0, 0, 0, 0, 0], abs=1e-5)


@pytest.mark.parametrize(
    ("truncates", "behind_end"),
    [(False, 0.0), (True, 4.0)],
)
def test_what_turned_out_better_is_summed_backwards_and_not_over_an_end(truncates, behind_end):
    """Three steps, of which the second is the last of an episode; all values are 4."""
    shape = (3, 1)
    chunk = Chunk(
        np.zeros((4, 1, 1), np.float32),
        np.ones((4, 1, 1), np.bool_),
        np.zeros(shape, np.int32),
        np.zeros(shape, np.float32),
        np.array([[1], [2], [3]], np.float32),
        np.array([[False], [True], [False]]),
    )
    last = 3 + 0.5 * 4 - 4
    second = 2 + 0.5 * behind_end - 4
    first = (1 + 0.5 * 4 - 4) + 0.5 * 0.95 * second
    found = ppo.advantages(chunk, np.full((4, 1), 4, np.float32), 0.5, truncates=truncates)
    assert found[:, 0] == pytest.approx([first, second, last])


def test_actions_are_drawn_by_the_chances_that_are_told():
    network, masks = network_of(3, 4, 8, 1), np.tile([True, True, False, True], (4000, 1))
    with torch.no_grad():
        network.layers[2].weight *= 30
    seen = np.tile(np.array([1, -1, 0.5], np.float32), (4000, 1))
    actions, chances = Sampling(network, 1)(seen, masks)
    told = {int(action): float(np.exp(chance)) for action, chance in zip(actions, chances, strict=True)}
    assert sum(told.values()) == pytest.approx(1, abs=1e-5)
    assert max(told.values()) > 0.4
    shares = np.bincount(actions, minlength=4) / 4000
    assert shares[2] == 0
    assert [shares[action] for action in told] == pytest.approx(list(told.values()), abs=0.03)


def test_each_choice_is_scored_by_its_own_numbers_as_a_model_does():
    layout = Layout(0, 5, 3, 1, 0, alone=True)
    network, draw = network_of(15, 5, 8, 1, layout), np.random.default_rng(3)
    seen = draw.normal(size=(6, 5, 3)).astype(np.float32)
    seen[:, 3:] = 0
    value, scores = (found.detach().numpy() for found in network(torch.from_numpy(seen.reshape(6, 15))))
    assert scores[:, :3] == pytest.approx(Network(layers_of(network))(seen[:, :3])[..., 0], abs=1e-5)
    more = seen.copy()
    more[:, 3] = draw.normal(size=(6, 3))
    assert network(torch.from_numpy(more.reshape(6, 15)))[1].detach().numpy()[:, :3] == pytest.approx(scores[:, :3])
    fewer = np.ascontiguousarray(seen[:, :3]).reshape(6, 9)
    narrow = network_of(9, 3, 8, 1, layout._replace(things=3))
    assert narrow(torch.from_numpy(fewer))[0].detach().numpy() == pytest.approx(value, abs=1e-5)


def test_a_chunk_of_episodes_has_one_of_each_and_groups_have_the_same():
    """An episode's rewards are its makespan; environments of a group that act alike have the same noisy times."""
    sim = DagSim([preset("wait"), preset("cholesky-3")], 2 * ALIKE + 3, noise=0.3)

    def first(_, masks):
        return masks.argmax(axis=1), np.zeros(len(masks), np.float32)

    chunk = Collector(sim, 1).collect(first, EPISODES)
    ends = chunk.ended.argmax(axis=0)
    assert chunk.steps == (ends + 1).sum() == chunk.live.sum()
    assert (chunk.rewards[~chunk.live] == 0).all()
    returns = chunk.rewards.sum(axis=0)
    for group in (returns[:ALIKE], returns[ALIKE : 2 * ALIKE], returns[2 * ALIKE :]):
        assert np.ptp(group) == 0
    assert len(set(returns.tolist())) == 3


def learned(settings, environment, chunks):
    algorithm = algorithm_of(settings, environment)
    collector, act = Collector(environment, settings.seed), algorithm.acting(environment.count, settings.seed)
    for _ in range(chunks):
        algorithm.take(collector.collect(act, algorithm.chunk))
    return algorithm


@pytest.mark.parametrize(("name", "chunks", "steps"), [("reinforce", 60, 11), ("ppo", 12, 64)])
def test_both_find_the_optimum_that_needs_a_wait(name, chunks, steps):
    """13, where every schedule that never waits takes 16."""
    usual = {"count": 64, "discount": 1.0, "rate": 2e-3}
    settings = Settings("DagSim", name, chunks * steps * 64, options={"graph": ["wait"]}, **usual)
    sim = DagSim([preset("wait")], 64, choices=CHOICES)
    network = learned(settings, sim, chunks).network
    assert makespan(Network(layers_of(network)), preset("wait")) == 13


@pytest.mark.parametrize(
    ("environment", "algorithm", "why"),
    [
        ("DagSim", "dqn", r"cannot train DagSim by dqn: .* \(choose reinforce or ppo\)"),
        ("MigrateSim", "reinforce", r"cannot train MigrateSim by reinforce: .* \(choose dqn or ppo\)"),
    ],
)
def test_what_an_algorithm_cannot_learn_is_refused(environment, algorithm, why):
    with pytest.raises(UsageError, match=why):
        Settings(environment, algorithm)


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ("DagSim", {"graph": ["/etc/passwd"]}),
        ("DagSim", {"graph": ["./x.toml"]}),
        ("DagSim", {"graph": []}),
        ("DagSim", {"graph": "wait"}),
        ("DagSim", {"graph": ["wait", "wait"]}),
        ("DagSim", {"graph": [{"jobs": {}}]}),
        ("DagSim", {"noise": 2}),
        ("DagSim", {"noise": True}),
        ("DagSim", {"scale": 1.6}),
        ("PeriodicSim", {"scale": float("nan")}),
        ("MigrateSim", {"scale": 1.6}),
    ],
)
def test_options_that_cannot_be_are_refused_also_from_a_checkpoint(environment, options):
    with pytest.raises(UsageError, match=r"^cannot use"):
        Settings(environment, "ppo", options=options)


def test_settings_are_whole_and_equal_however_they_were_said():
    said = Settings("DagSim", "ppo", options={"noise": 0})
    assert said == Settings("DagSim", "ppo", options={"graph": ["cholesky-5"], "noise": 0.0})
    assert dataclasses.asdict(said)["options"] == {"graph": ["cholesky-5"], "noise": 0.0}


def test_all_configurations_are_judged_and_edf_meets_what_is_published_of_it():
    """97.7 and 89.9 % of 2,054 deadlines."""
    from schedtel.environments.periodic_rules import judge_of  # noqa: PLC0415

    for scale, met in ((1.6, 2007), (2.0, 1846)):
        judge = judge_of(scale)
        sim = judge.make(1, "all")
        assert isinstance(sim, PeriodicSim)
        assert judge.rules["EDF"](sim, 1).mean() == pytest.approx(100 * (2054 - met) / 2054)


@pytest.mark.parametrize("name", ["reinforce", "ppo"])
def test_a_run_goes_on_where_it_was(tmp_path, name):
    settings = Settings("DagSim", name, steps=6000, count=32, hidden=8, options={"graph": ["wait"]})
    first = Run(settings, tmp_path)
    for counters in first:
        if counters.steps > 2000:
            first.stop()
    stopped = checkpoint.load(tmp_path).counters.steps
    assert 2000 < stopped < 6000
    second = Run(settings, tmp_path)
    parts = {}
    for counters in second:
        parts.setdefault(counters.begun, []).append(second.algorithm.left)
    assert list(parts) == [2]
    assert parts[2][0] < 1 - stopped / 6000
    assert parts[2][-1] == 0
    found = checkpoint.load(tmp_path)
    assert found.counters.steps == int(found.arrays["learned.steps"]) >= 6000
    assert found.arrays.keys() == second.algorithm.arrays().keys()
    for part, values in second.algorithm.arrays().items():
        assert values.tobytes() == found.arrays[part].tobytes(), part


def test_what_was_learned_becomes_a_model_that_costs_what_was_judged(run, tmp_path):
    words = ("train", "DagSim", "-o", tmp_path / "run", "--graph", "cholesky-3", "--noise", "0.1", "--steps", "1", "-q")
    assert run(*words, "--environments", "32")[0] == 0
    words = ("--graph", "wait", "--graph", "cholesky-3", "--noise", "0", "--episodes", "2", "--format", "json")
    status, out, err = run("train", "judge", tmp_path / "run", *words)
    assert (status, err) == (0, "")
    judged = json.loads(out)["costs"]
    assert judged["wait"]["HEFT's order"] == [16, 16]
    assert judged["wait"]["PEFT's order"] == [13, 13]
    assert run("train", "export", tmp_path / "run", "-o", tmp_path / "weights")[0] == 0
    words = ("--graph", "wait", "--graph", "cholesky-3", "--registry", tmp_path / "models", "--format", "json")
    status, out, _ = run("models", "update", "learned", tmp_path / "weights", *words)
    assert status == 0
    assert json.loads(out)["after"] == {name: costs["learned"][0][0] for name, costs in judged.items()}


def test_what_cannot_be_exported_or_judged_is_refused_in_one_line(run, tmp_path):
    for _ in Run(Settings("PeriodicSim", "ppo", steps=1, count=2, hidden=8), tmp_path / "run"):
        pass
    for words in (("export", "-o", tmp_path / "weights"), ("judge", "--graph", "wait"), ("judge", "--scale", "0")):
        status, out, err = run("train", words[0], tmp_path / "run", *words[1:])
        assert (status, out, err.count("\n")) == (2, "", 1), err
    assert not (tmp_path / "weights").exists()
