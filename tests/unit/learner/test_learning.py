"""Replay and learners: sums on paper, drawing by priority, and environments whose best actions are known."""

import itertools

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (pip install 'schedtel[learn]')")

import torch

from schedtel.environments.layout import Layout
from schedtel.training.learner.dqn import BATCH, DQN, Exploring, best_actions
from schedtel.training.learner.experience import Chunk, Collector
from schedtel.training.learner.network import Optimiser, network_of, weights_of
from schedtel.training.learner.passes import TILE, best_of, passes_of, tiles
from schedtel.training.learner.replay import Replay
from schedtel.training.learner.settings import Settings

DISCOUNT = 0.5


def chunk_of(rewards, ended):
    """One environment that observes the number of the step."""
    steps = len(rewards)
    seen = np.arange(steps + 1, dtype=np.float32).reshape(-1, 1, 1)
    return Chunk(
        seen,
        np.ones((steps + 1, 1, 2), np.bool_),
        np.arange(steps, dtype=np.int32).reshape(-1, 1) % 2,
        np.zeros((steps, 1), np.float32),
        np.array(rewards, np.float32).reshape(-1, 1),
        np.array(ended, np.bool_).reshape(-1, 1),
    )


def transitions(chunk, *, truncates):
    replay = Replay(16, 1, 2, ahead=3, discount=DISCOUNT, truncates=truncates, seed=1)
    replay.add(chunk)
    memory, rows = replay.memory, range(replay.size)
    return [
        (
            *(int(values[n, 0]) for values in (memory.observations, memory.later)),
            *(float(values[n]) for values in (memory.rewards, memory.discounts)),
        )
        for n in rows
    ]


def test_a_transition_adds_discounted_rewards_up_to_the_end_of_the_chunk():
    found = transitions(chunk_of([1, 2, 4, 8], [0, 0, 0, 0]), truncates=False)
    assert found == [
        (0, 3, 1 + 2 / 2 + 4 / 4, 1 / 8),
        (1, 4, 2 + 4 / 2 + 8 / 4, 1 / 8),
        (2, 4, 4 + 8 / 2, 1 / 4),
        (3, 4, 8, 1 / 2),
    ]


def test_nothing_counts_behind_the_end_of_an_episode():
    found = transitions(chunk_of([1, 2, 4, 8], [0, 1, 0, 0]), truncates=False)
    assert found == [(0, 2, 1 + 2 / 2, 0), (1, 2, 2, 0), (2, 4, 4 + 8 / 2, 1 / 4), (3, 4, 8, 1 / 2)]


def test_where_only_time_was_over_a_value_is_taken_from_the_last_that_was_seen_of_the_episode():
    found = transitions(chunk_of([1, 2, 4, 8], [0, 1, 0, 0]), truncates=True)
    assert found == [(0, 1, 1, 1 / 2), (2, 4, 4 + 8 / 2, 1 / 4), (3, 4, 8, 1 / 2)]


def test_what_was_wrong_is_drawn_more_often_in_proportion_and_counts_less():
    replay = Replay(8, 1, 2, ahead=1, discount=DISCOUNT, truncates=False, seed=1)
    replay.add(chunk_of([0] * 8, [0] * 8))
    errors = np.array([0, 1, 2, 4, 8, 0.5, 3, 1], np.float32)
    replay.learn(np.arange(8), errors)
    assert replay.memory.tree[1] == pytest.approx(((errors + 1e-3) ** 0.6).sum())
    drawn = [replay.sample(BATCH) for _ in range(20)]
    shares = np.bincount(np.concatenate([batch.places for batch in drawn]), minlength=8) / (20 * BATCH)
    expected = (errors + 1e-3) ** 0.6 / ((errors + 1e-3) ** 0.6).sum()
    assert shares == pytest.approx(expected, abs=0.005)
    weights = dict(
        itertools.chain.from_iterable(zip(b.places.tolist(), b.weights.tolist(), strict=True) for b in drawn)
    )
    assert weights[1] / weights[4] == pytest.approx((expected[4] / expected[1]) ** 0.4, rel=0.01)


def test_the_oldest_gives_way_to_the_newest():
    replay = Replay(8, 1, 2, ahead=1, discount=DISCOUNT, truncates=False, seed=1)
    replay.add(chunk_of([1] * 6, [0] * 6))
    assert replay.size == 6
    replay.add(chunk_of([2] * 6, [0] * 6))
    assert replay.size == 8
    assert replay.memory.rewards.tolist() == [2] * 4 + [1] * 2 + [2] * 2


def test_an_action_value_is_the_value_and_how_the_action_differs_from_the_mean():
    network, seen = network_of(3, 4, 8, 1), np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    x = seen.astype(float)
    for layer in network.layers:
        x = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        x = x if layer is network.layers[2] else np.maximum(x, 0)
    expected = x[:, :1] + x[:, 1:] - x[:, 1:].mean(axis=1, keepdims=True)
    assert network.action_values(torch.from_numpy(seen)).detach().numpy() == pytest.approx(expected, abs=1e-5)


def test_what_is_known_of_one_thing_is_known_of_all():
    layout = Layout(common=2, things=3, numbers=4, actions=5, others=1)
    network, draw = network_of(14, 16, 8, 1, layout), np.random.default_rng(2)
    common, things = draw.normal(size=2), draw.normal(size=(3, 4))
    order = [2, 0, 1]
    seen = [np.concatenate([common, *those]) for those in (things, things[order])]
    value, numbers = network(torch.from_numpy(np.array(seen, np.float32)))
    assert value[0].item() == pytest.approx(value[1].item())
    first, second = numbers.detach().numpy()
    assert second[:15].reshape(3, 5) == pytest.approx(first[:15].reshape(3, 5)[order], abs=1e-6)
    assert second[15] == pytest.approx(first[15], abs=1e-6)
    assert np.ptp(first[:15].reshape(3, 5), axis=0).min() > 0


LAYOUT = Layout(common=2, things=3, numbers=4, actions=5, others=1)


@pytest.mark.parametrize("layout", [None, LAYOUT])
def test_numpy_finds_what_torch_does_and_its_slopes(layout):
    draw, count = np.random.default_rng(3), TILE + 7
    network = network_of(14, 16, 8, 1, layout)
    with torch.no_grad():
        for weights in network.parameters():  # else all shifts are 0
            weights.add_(torch.from_numpy(draw.normal(size=weights.shape).astype(np.float32)), alpha=0.3)
    seen, by_number = (draw.normal(size=(count, width)).astype(np.float32) for width in (14, 16))
    by_value, masks = draw.normal(size=count).astype(np.float32), draw.random((count, 16)) < 0.5
    masks[:, 15] = True
    value, numbers = network(torch.from_numpy(seen))
    ((value * torch.from_numpy(by_value)).sum() + (numbers * torch.from_numpy(by_number)).sum()).backward()
    passes = passes_of(weights_of(network), layout)
    for rows in tiles(count):
        found_value, found_numbers = passes.forward(seen[rows])
        assert found_value == pytest.approx(value[rows].detach().numpy(), abs=1e-4)
        assert found_numbers == pytest.approx(numbers[rows].detach().numpy(), abs=1e-4)
        passes.backward(by_value[rows], by_number[rows])
    for name, weights in network.named_parameters():
        assert passes.slopes[name] == pytest.approx(weights.grad.numpy(), rel=1e-3, abs=1e-3), name
    assert best_of(passes, seen, masks).tolist() == best_actions(network, seen, masks).tolist()


def test_a_change_follows_the_slope_of_the_loss():
    learner = DQN(Settings("MigrateSim", discount=0.5, hidden=8, seed=1), 5, 3, truncates=False)
    replay = learner.replay(1)
    collector, act = Collector(Corridor(64), 1), learner.acting(64, 1)
    replay.add(collector.collect(act, learner.chunk))
    batch = replay.sample(BATCH)
    seen, later = torch.from_numpy(batch.observations), torch.from_numpy(batch.later)
    with torch.no_grad():  # the copy for the targets is still the same
        values = learner.network.action_values(later)
        allowed = values.masked_fill(~torch.from_numpy(batch.later_masks), -torch.inf)
        wanted = torch.from_numpy(batch.rewards) + torch.from_numpy(batch.discounts) * allowed.max(1).values
    found = learner.network.action_values(seen).gather(1, torch.from_numpy(batch.actions)[:, None])[:, 0]
    losses = torch.nn.functional.smooth_l1_loss(found, wanted, reduction="none")
    loss = (torch.from_numpy(batch.weights) * losses).mean()
    loss.backward()
    slopes = {name: weights.grad.numpy().copy() for name, weights in learner.network.named_parameters()}
    errors = learner.update(batch)
    assert errors == pytest.approx((found - wanted).detach().numpy(), abs=1e-5)
    assert learner.loss == pytest.approx(loss.item(), rel=1e-4)
    arrays = learner.arrays()
    for name, each in slopes.items():  # of which the first step keeps a tenth
        assert arrays[f"adam.{name}.exp_avg"] == pytest.approx(each / 10, rel=1e-3, abs=1e-7), name


def test_steps_are_those_of_torch():
    draw, ours, theirs = np.random.default_rng(4), *(network_of(5, 3, 8, 1) for _ in range(2))
    optimiser, adam = Optimiser(ours, 1e-3, 10.0), torch.optim.Adam(theirs.parameters(), lr=1e-3, eps=1e-5)
    for _ in range(20):
        slopes = {name: draw.normal(size=each.shape).astype(np.float32) for name, each in weights_of(ours).items()}
        for name, weights in theirs.named_parameters():
            weights.grad = torch.from_numpy(slopes[name])
        optimiser.follow(slopes)
        adam.step()
    for name, weights in weights_of(theirs).items():
        assert weights_of(ours)[name] == pytest.approx(weights, rel=1e-4, abs=1e-6), name


class Corridor:
    """Places 0 to 4 in a row. Action 1 goes up, and at place 4 ends the episode with a reward of 1; action 0 goes back
    to the first place, and earns 0.08. Action 2 would earn 10, and is never allowed.
    """

    observation_size, action_count, places = 5, 3, 5

    def __init__(self, count):
        self.count = count
        self._at = np.zeros(count, int)

    def reset(self, seed):
        self._at[:] = np.arange(self.count) % self.places
        return self._seen()

    def _seen(self):
        masks = np.ones((self.count, 3), np.bool_)
        masks[:, 2] = False
        return np.eye(self.places, dtype=np.float32)[self._at], masks

    def step(self, actions):
        assert (actions < 2).all(), "an action that is not allowed"
        ended = (actions == 1) & (self._at == self.places - 1)
        rewards = np.where(ended, 1.0, np.where(actions == 0, 0.08, 0.0)).astype(np.float32)
        self._at = np.where(ended | (actions == 0), 0, self._at + 1)
        seen, masks = self._seen()
        return seen, rewards, ended, masks

    @classmethod
    def values(cls, discount):
        """What each action is worth, by going through all of them again and again."""
        values = np.zeros((cls.places, 2))
        for _ in range(1000):
            best = values.max(axis=1)
            values[:, 0] = 0.08 + discount * best[0]
            values[:, 1] = [*(discount * best[1:]), 1.0]
        return values


@pytest.fixture
def corridor():
    environment = Corridor(64)
    return environment, Settings("MigrateSim", count=64, discount=0.5, hidden=32, rate=3e-3, seed=1)


def test_action_values_become_those_of_the_best_policy(corridor):
    environment, settings = corridor
    learner = DQN(settings, 5, 3, truncates=False)
    collector, act = Collector(environment, 1), learner.acting(64, 1)
    while learner.updates < 600:
        learner.take(collector.collect(act, learner.chunk))
    found = learner.network.action_values(torch.eye(5)).detach().numpy()[:, :2]
    # Steps that explore lower the values of what comes before them, since a transition goes over three.
    assert found == pytest.approx(Corridor.values(0.5), abs=0.12)
    seen, masks = np.eye(5, dtype=np.float32), np.ones((5, 3), np.bool_)
    masks[:, 2] = False
    assert best_actions(learner.network, seen, masks).tolist() == [0, 0, 1, 1, 1]


def test_the_first_environments_explore_most():
    network = network_of(5, 3, 8, 1)
    act = Exploring(passes_of(weights_of(network), None), 64, 1)
    seen, masks = np.zeros((64, 5), np.float32), np.ones((64, 3), np.bool_)
    best = best_actions(network, seen, masks)
    differs = np.mean([act(seen, masks)[0] != best for _ in range(500)], axis=0)
    assert differs[0] == pytest.approx(0.4 * 2 / 3, abs=0.08)
    assert differs[-16:].max() < 0.03
