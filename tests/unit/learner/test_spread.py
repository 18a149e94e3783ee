"""Runs with workers in one process: what is learned by gradients of several learners, by parts of a server and by a
replay for each worker, and any of them ended at any call. What is expected is worked out on paper.
"""

import itertools
from functools import partial

import numpy as np
import pytest
from refusals import refused

pytest.importorskip("torch", reason="torch is not installed (pip install 'schedtel[learn]')")

from schedtel.environments.registry import entry_of
from schedtel.errors import CollectorError, UsageError
from schedtel.training.learner import checkpoint, spread_run
from schedtel.training.learner.actors import Learner
from schedtel.training.learner.algorithms import algorithm_of
from schedtel.training.learner.dqn import BATCH, DQN, REPLAYED
from schedtel.training.learner.experience import Collector
from schedtel.training.learner.in_turn import InTurn, RayActorError
from schedtel.training.learner.run import Run
from schedtel.training.learner.settings import Settings
from schedtel.training.learner.shards import cut, shards_of, together
from schedtel.training.learner.spread import Spread
from schedtel.training.learner.spread_run import SpreadRun

COUNT, WORKERS = 64, 2
CHUNK = 16 * COUNT
LEAST = 4 * CHUNK
BATCHES = int(CHUNK * REPLAYED / BATCH)
SETTINGS = Settings("PeriodicSim", "dqn", steps=LEAST + 4 * CHUNK, count=COUNT, hidden=8)


@pytest.fixture(autouse=True)
def _begins_early(monkeypatch):
    """What is usual is four times as many, and tells no more."""
    monkeypatch.setattr(DQN, "least", LEAST)


@pytest.fixture(scope="module")
def learned():
    """An algorithm that has learned a little, and a batch that it has not learned from."""
    environment = entry_of("PeriodicSim").make(COUNT)
    algorithm = algorithm_of(SETTINGS, environment)
    collector, replay = Collector(environment, 0), algorithm.replay(0)
    replay.add(collector.collect(algorithm.acting(COUNT, 0), 32))
    for _ in range(3):
        algorithm.update(replay.sample(BATCH))
    return algorithm, replay.sample(BATCH)


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_the_mean_of_gradients_over_parts_of_a_batch_is_the_gradient_of_the_whole(learned, parts):
    algorithm, batch = learned
    errors, whole = (each.copy() for each in algorithm.slopes_of(batch))
    learner = Learner(SETTINGS, algorithm.arrays(), algorithm.updates)
    networks = [(each.weights, each.target) for each in shards_of(algorithm.arrays(), 2)]
    found = [learner.slopes(batch, part, parts, *networks) for part in range(parts)]
    told = [each[-1] for each in found]
    mean = sum(
        len(said.places) / BATCH * np.concatenate(slopes) for said, (*slopes, _) in zip(told, found, strict=True)
    )
    assert np.abs(mean - whole).max() < 1e-5 * np.abs(whole).max()
    assert np.concatenate([said.places for said in told]).tolist() == batch.places.tolist()
    assert np.concatenate([said.errors for said in told]) == pytest.approx(errors, abs=1e-5)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_parts_of_what_was_learned_put_together_are_what_was_learned(learned, count):
    arrays = learned[0].arrays()
    shards = shards_of(arrays, count)
    found = together(shards, arrays)
    assert found.keys() == arrays.keys()
    assert all(found[name].tobytes() == each.tobytes() for name, each in arrays.items())
    assert max(len(each.weights) for each in shards) - min(len(each.weights) for each in shards) <= 1


def test_parts_that_each_take_a_step_have_taken_the_step_of_the_whole(learned):
    arrays, slopes = learned[0].arrays(), learned[0].slopes_of(learned[1])[1].copy()
    whole, parts = (
        together(
            [
                shard.after(own, 1e-3, copies=True)
                for shard, own in zip(shards_of(arrays, count), cut(slopes, count), strict=True)
            ],
            arrays,
        )
        for count in (1, 3)
    )
    assert all(whole[name].tobytes() == each.tobytes() for name, each in parts.items())
    assert any(whole[name].tobytes() != each.tobytes() for name, each in arrays.items())


def run_of(directory, monkeypatch=None, ray=None, **spread):
    if ray:
        monkeypatch.setattr(spread_run, "InTurn", lambda: ray)
    run = SpreadRun(SETTINGS, directory, Spread(WORKERS, in_turn=True, **spread))
    run.seen = [counters.steps for counters in run]
    return run


def weights(run):
    return np.concatenate([each.ravel() for name, each in run.algorithm.arrays().items() if "network" in name])


def test_a_server_in_parts_learns_bit_by_bit_what_one_learner_does(tmp_path):
    one, parts = run_of(tmp_path / "one"), run_of(tmp_path / "parts", servers=3)
    assert one.counters.updates == 5 * BATCHES
    assert weights(one).tobytes() == weights(parts).tobytes()


def test_learners_that_wait_learn_what_one_does_but_for_rounding(tmp_path):
    one, three = (run_of(tmp_path / str(n), waits=True, learners=n) for n in (1, 3))
    assert one.counters.updates == three.counters.updates > 2 * BATCHES
    assert weights(three) == pytest.approx(weights(one), abs=2e-3)
    assert {row["gradient_age"] for row in three.rows} == {0.0}
    assert three.counters.stale == 0


def test_gradients_are_as_old_as_their_history_says(tmp_path):
    """With three learners, the first gradients of a round are 0, 1 and 2 updates old; each later one is 2."""
    run = run_of(tmp_path, learners=3)
    assert run.counters.stale == 0
    assert run.rows[-1]["gradient_age"] == (0 + 1 + 2 * (BATCHES - 2)) / BATCHES


def history(learners, batches, limit):
    """Ages of the gradients that are followed, and how many are not: learners answer in the order of being asked."""
    ages, stale, updates, asked = [], 0, 0, []
    todo = batches
    while len(ages) < batches:
        while todo and len(asked) < learners:
            asked.append(updates)
            todo -= 1
        age = updates - asked.pop(0)
        if age > limit:
            stale, todo = stale + 1, todo + 1
        else:
            ages.append(age)
            updates += 1
    return ages, stale


@pytest.mark.parametrize("limit", [0, 1])
def test_a_gradient_that_is_too_old_is_counted_and_its_batch_learned_from_anew(tmp_path, limit):
    run = run_of(tmp_path, learners=3, most_gradient_age=limit)
    ages, stale = history(3, BATCHES, limit)
    assert max(ages) <= limit
    assert run.rows[-1]["gradient_age"] == np.mean(ages)
    rounds = run.counters.updates // BATCHES
    assert run.counters.updates == rounds * BATCHES
    assert run.counters.stale == rounds * stale > 0


class Ending(InTurn):
    """Ends an actor as it is asked for the n-th time for something, before or after it has done that."""

    def __init__(self, kind, method, at, *, after):
        self._kind, self._method, self._after = kind, method, after
        self._calls = itertools.count(-at)

    def remote(self, **options):
        made = super().remote(**options)
        return lambda kind: made(self._mortal(kind)) if kind.__name__ == self._kind else made(kind)

    def _mortal(self, kind):
        def ends(actor, *given):
            is_now = next(self._calls) == 0
            found = None if is_now and not self._after else getattr(kind, self._method)(actor, *given)
            if is_now:
                raise RayActorError(f"{self._kind} was killed")
            return found

        return type(kind.__name__, (kind,), {self._method: ends})


ENDS = [
    *(("Rollouts", "collect", 5), ("Memory", "add", 5), ("Memory", "sample", 2), ("Memory", "learn", 2)),
    *(("Learner", "slopes", 7), ("Server", "take", 9), ("Server", "follow", 9), ("Server", "shard", 3)),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("kind", "method", "at"), ENDS)
def test_whatever_ends_is_replaced_and_each_step_and_update_is_counted_once(
    tmp_path, monkeypatch, kind, method, at, after
):
    ray = Ending(kind, method, at, after=after)
    run = run_of(tmp_path, monkeypatch, ray, learners=2, servers=2, replay="worker")
    assert run.counters.replaced == 1
    assert all(later - before == CHUNK for before, later in itertools.pairwise([0, *run.seen]))
    assert run.counters.steps == SETTINGS.steps
    owed = (SETTINGS.steps - LEAST) / CHUNK * BATCHES
    lost = owed if kind == "Memory" else BATCHES  # in one round there may be too little to learn from
    assert owed - lost <= run.counters.updates <= owed + BATCHES
    found = checkpoint.load(tmp_path)
    assert vars(found.counters) == vars(run.counters)


@pytest.mark.parametrize("method", ["take", "follow", "shard"])
def test_what_a_part_of_the_server_had_is_learned_again_and_nothing_twice(tmp_path, monkeypatch, method):
    undisturbed = run_of(tmp_path / "a", servers=2)
    ended = run_of(tmp_path / "b", monkeypatch, Ending("Server", method, 3, after=True), servers=2)
    assert (ended.counters.replaced, ended.counters.updates) == (1, undisturbed.counters.updates)
    assert weights(ended).tobytes() == weights(undisturbed).tobytes()


def test_a_replay_that_ends_takes_only_its_own_transitions_with_it(tmp_path, monkeypatch):
    """Both have half of what is learned from. So with one of them empty, there is too little for a while."""
    central, by_worker = (
        run_of(tmp_path / replay, monkeypatch, Ending("Memory", "learn", 1, after=False), replay=replay)
        for replay in ("central", "worker")
    )
    assert central.counters.replaced == by_worker.counters.replaced == 1
    assert central.counters.updates < by_worker.counters.updates


def test_what_ends_again_and_again_ends_the_run(tmp_path, monkeypatch):
    class Never(Ending):
        def _mortal(self, kind):
            return type(kind.__name__, (kind,), {"add": partial(self._refuse)})

        def _refuse(self, *_):
            raise RayActorError("killed")

    error = refused(CollectorError, run_of, tmp_path, monkeypatch, Never("Memory", "add", 0, after=False))
    assert "processes end again and again: killed" in str(error)


def test_a_run_of_many_parts_goes_on_in_one_process_and_the_other_way_round(tmp_path):
    run_of(tmp_path, learners=2, servers=3, replay="worker")
    alone = Run(Settings(**{**vars(SETTINGS), "steps": SETTINGS.steps + CHUNK}), tmp_path)
    assert [counters.steps for counters in alone] == [SETTINGS.steps + CHUNK]
    again = SpreadRun(
        Settings(**{**vars(SETTINGS), "steps": SETTINGS.steps + 2 * CHUNK}),
        tmp_path,
        Spread(WORKERS, in_turn=True, servers=2),
    )
    assert [counters.steps for counters in again] == [SETTINGS.steps + 2 * CHUNK]
    assert again.counters.begun == 3


@pytest.mark.parametrize(
    "spread",
    [{"learners": 0}, {"learners": 65}, {"servers": 0}, {"replay": "nowhere"}, {"in_turn": True, "address": "auto"}],
)
def test_what_cannot_be_spread_so_is_refused(spread):
    refused(UsageError, Spread, 2, **spread)


@pytest.mark.parametrize(
    "words",
    [("--learners", "2"), ("--servers", "2"), ("--replay", "worker"), ("--stale-gradient", "0"), ("--in-turn",)],
)
def test_what_is_for_workers_needs_them(run, tmp_path, words):
    status, out, err = run("train", "PeriodicSim", "-o", tmp_path / "x", *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"cannot use {words[0]} in one process (add --workers)" in err


def test_the_command_learns_with_workers_without_ray_and_the_same_each_time(run, tmp_path):
    words = ("--algo", "dqn", "--steps", "1000", "--environments", "16", "--workers", "2", "--in-turn", "-q")
    for name in ("a", "b"):
        assert (
            run("train", "PeriodicSim", "-o", tmp_path / name, *words, "--replay", "worker", "--servers", "2")[0] == 0
        )
    one, other = (checkpoint.load(tmp_path / name).arrays for name in ("a", "b"))
    assert all(one[name].tobytes() == each.tobytes() for name, each in other.items())
