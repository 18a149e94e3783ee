"""Chunks in; a network of action values out.

V. Mnih et al., "Human-level control through deep reinforcement learning", 2015; H. van Hasselt et al., "Deep
Reinforcement Learning with Double Q-learning", 2016; M. Hessel et al., "Rainbow", 2018, for the parts together.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from schedtel.environments.batched import Masks, Observations
from schedtel.environments.layout import Layout
from schedtel.simulator.compiling import kept
from schedtel.training.learner.experience import Chunk
from schedtel.training.learner.network import Arrays, Network, Optimiser, arrays_of, fill, network_of, weights_of
from schedtel.training.learner.passes import Buffers, Floats, Passes, best, best_of, passes_of, taken_apart, tiles
from schedtel.training.learner.replay import Batch, Replay
from schedtel.training.learner.settings import Settings

#: Steps of all environments in a chunk, and those over which a transition goes.
CHUNK, AHEAD = 16, 3
CAPACITY = 1 << 17
#: Transitions of an update, those that are replayed for each step, and those that there must be before.
BATCH, REPLAYED, LEAST = 512, 2.0, 16_384
#: Updates from one copy of the network for the targets to the next.
_COPIED = 500
_LARGEST_SLOPE, _TINY = 10.0, 1e-30
#: The share of random actions is from 0.4 in the first environment to 0.4^8 in the last (D. Horgan et al., "Distributed
#: Prioritized Experience Replay", 2018): it does not change with time, so a run that goes on needs no schedule.
_EXPLORED, _EXPONENT = 0.4, 7.0
#: That share at the begin and at the end of a run, where it does change, in all environments alike.
_FIRST, _LAST = 0.9, 0.05


@kept
def worth(value: Floats, numbers: Floats, actions: NDArray[np.integer], found: Floats) -> None:
    """Action values, as :meth:`Network.action_values` has them, of one action each."""
    for i in range(len(found)):
        total = np.float32(0)
        for action in range(numbers.shape[1]):
            total += numbers[i, action]
        found[i] = value[i] + numbers[i, actions[i]] - total / np.float32(numbers.shape[1])


@kept
def worth_back(slopes: Floats, actions: NDArray[np.integer], by_number: Floats) -> None:
    """Slopes by the numbers, from those by action values."""
    for i in range(len(slopes)):
        by_number[i, :] = -slopes[i] / np.float32(by_number.shape[1])
        by_number[i, actions[i]] += slopes[i]


def shortening(square: float) -> float:
    """What slopes are to be multiplied by, whose squares have this sum: those that are too large are shortened."""
    return min(1.0, _LARGEST_SLOPE / (float(np.sqrt(square)) + _TINY))


def is_copied(updates: int) -> bool:
    """Whether after so many updates the network for the targets becomes the one that has learned."""
    return updates % _COPIED == 0


def explored(decay: str, progress: float) -> float:
    """The share of random actions after this part of a run, by one of ``DECAYS`` that changes it."""
    if decay == "linear":
        return _FIRST + (_LAST - _FIRST) * progress
    if decay == "exponential":
        return _FIRST * (_LAST / _FIRST) ** progress
    return _FIRST / float(np.sqrt(1 + ((_FIRST / _LAST) ** 2 - 1) * progress))


class Exploring:
    """The best action by a network; at random another, by one of ``DECAYS``."""

    def __init__(self, passes: Passes, count: int, seed: int, decay: str = "none") -> None:
        self._decay = decay
        self._passes, self._random = passes, np.random.default_rng(seed)
        self._share = _EXPLORED ** (1 + _EXPONENT * np.arange(count) / max(1, count - 1))
        self._chances = np.zeros(count, np.float32)

    def at(self, progress: float) -> None:
        """Explore as after this part of the run."""
        if self._decay != "none":
            self._share[:] = explored(self._decay, progress)

    def __call__(self, observations: Observations, masks: Masks) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        actions = best_of(self._passes, observations, masks)
        rows = np.flatnonzero(self._random.random(len(actions)) < self._share)
        numbers = self._random.random((len(rows), masks.shape[1]))
        actions[rows] = np.where(masks[rows], numbers, -1.0).argmax(axis=1)
        return actions, self._chances


def best_actions(network: Network, observations: Observations, masks: Masks) -> NDArray[np.int32]:
    """The allowed actions with the highest numbers: they are ordered as action values, and as chances, are."""
    with torch.inference_mode():
        numbers = network(torch.from_numpy(observations))[1].numpy()
    return np.where(masks, numbers, -np.inf).argmax(axis=1).astype(np.int32)


class DQN:
    """The learner, with its replay."""

    chunk, batch, replayed, least = CHUNK, BATCH, REPLAYED, LEAST

    def __init__(
        self, settings: Settings, numbers: int, actions: int, *, truncates: bool, layout: Layout | None = None
    ) -> None:
        self.network, self._target = (
            network_of(numbers, actions, settings.hidden, settings.seed, layout) for _ in range(2)
        )
        buffers: Buffers = {}
        self._passes, self._target_passes = (
            passes_of(weights_of(each), layout, buffers) for each in (self.network, self._target)
        )
        self._optimiser = Optimiser(self.network, settings.rate, _LARGEST_SLOPE)
        self._settings, self._truncates, self._sizes = settings, truncates, (numbers, actions)
        self.updates, self.loss, self._owed = 0, 0.0, 0.0
        self._replay: Replay | None = None

    def acting(self, count: int, seed: int) -> Exploring:
        """How to act while it learns."""
        return Exploring(self._passes, count, seed, self._settings.decay)

    def take(self, chunk: Chunk) -> None:
        """Learn from a chunk, and from what was before."""
        replay = self._replay = self._replay or self.replay(self._settings.seed + self.updates)
        replay.add(chunk)
        if replay.size < LEAST:
            return
        self._owed += REPLAYED * chunk.steps
        while self._owed >= BATCH:
            batch = replay.sample(BATCH)
            replay.learn(batch.places, self.update(batch))
            self._owed -= BATCH

    def replay(self, seed: int) -> Replay:
        """An empty memory for what it learns from."""
        return Replay(
            CAPACITY,
            *self._sizes,
            ahead=AHEAD,
            discount=self._settings.discount,
            truncates=self._truncates,
            seed=seed,
        )

    def slopes_of(self, batch: Batch) -> tuple[Floats, Floats]:
        """By how much some transitions were wrong, and the slope of their mean loss by all weights, as one array: it is
        the caller's until the next call.
        """
        slopes = self._passes.all_slopes
        slopes[:] = 0
        errors = np.empty(len(batch.places), np.float32)
        for rows in tiles(len(errors)):
            self._descend(Batch._make(each[rows] for each in batch), np.float32(1 / len(errors)), errors[rows])
        size = np.abs(errors)
        self.loss = float((batch.weights * np.where(size < 1, errors**2 / 2, size - 0.5)).mean())
        return errors, slopes

    def update(self, batch: Batch) -> Floats:
        """Learn from some transitions; returns by how much each was wrong."""
        errors, slopes = self.slopes_of(batch)
        slopes *= shortening(float(slopes @ slopes))
        self._optimiser.follow(self._passes.slopes)
        self.updates += 1
        if is_copied(self.updates):
            self._target.load_state_dict(self.network.state_dict())
        return errors

    def be_at(self, weights: Floats, target: Floats) -> None:
        """Have these weights, and these of the network for the targets, each as one array."""
        for network, flat in ((self.network, weights), (self._target, target)):
            own = weights_of(network).values()
            for each, found in zip(own, taken_apart(flat, own), strict=True):
                each[...] = found

    def _descend(self, batch: Batch, share: np.float32, errors: Floats) -> None:
        """Write the errors of a part of the transitions, and add the slopes of its share of the loss (Huber's)."""
        chosen = np.zeros(len(errors), np.int32)
        best(self._passes.forward(batch.later)[1], batch.later_masks, chosen)
        worth(*self._target_passes.forward(batch.later), chosen, errors)
        wanted = batch.rewards + batch.discounts * errors
        value, numbers = self._passes.forward(batch.observations)
        worth(value, numbers, batch.actions, errors)
        errors -= wanted
        by_value, by_number = np.clip(errors, -1, 1) * batch.weights * share, np.empty(numbers.shape, np.float32)
        worth_back(by_value, batch.actions, by_number)
        self._passes.backward(by_value, by_number)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What it has learned, without its replay."""
        return (
            arrays_of("network", self.network.state_dict())
            | arrays_of("target", self._target.state_dict())
            | arrays_of("adam", self._optimiser.tensors())
        )

    def fill(self, arrays: Arrays) -> None:
        """Go on from what another has learned. Raises :class:`ValueError` for arrays that are not of such a learner."""
        fill("network", self.network.state_dict(), arrays)
        fill("target", self._target.state_dict(), arrays)
        fill("adam", self._optimiser.tensors(), arrays)
