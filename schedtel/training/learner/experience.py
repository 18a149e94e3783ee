"""Environments and a way to act in; chunks of experience out."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.batched import Batched, Masks, Observations


class Act(Protocol):
    """How to act: observations and masks in; actions, and the logarithm of the chance that each had, out."""

    def __call__(self, observations: Observations, masks: Masks) -> tuple[NDArray[np.int32], NDArray[np.float32]]: ...


class Chunk(NamedTuple):
    """Some steps of all environments. An observation, and a mask, is there of each step and after the last."""

    observations: NDArray[np.float32]  # (steps + 1, environments, numbers)
    masks: NDArray[np.bool_]  # (steps + 1, environments, actions)
    actions: NDArray[np.int32]  # (steps, environments)
    chances: NDArray[np.float32]  # (steps, environments): logarithms
    rewards: NDArray[np.float32]  # (steps, environments)
    ended: NDArray[np.bool_]  # (steps, environments): whether the step was the last of an episode

    @property
    def steps(self) -> int:
        """Steps of environments."""
        return self.rewards.size


class Collector:
    """Environments, at the moment at which the next chunk begins.

    :param seed: theirs.
    """

    def __init__(self, environment: Batched, seed: int) -> None:
        self.environment = environment
        self._now = environment.reset(seed)

    def collect(self, act: Act, steps: int) -> Chunk:
        """Let all environments take some steps."""
        found = self._empty(steps)
        observations, masks = self._now
        for at in range(steps):
            found.observations[at], found.masks[at] = observations, masks
            found.actions[at], found.chances[at] = act(observations, masks)
            observations, found.rewards[at], found.ended[at], masks = self.environment.step(found.actions[at])
        found.observations[steps], found.masks[steps] = self._now = (observations, masks)
        return found

    def _empty(self, steps: int) -> Chunk:
        count, shape = self.environment.count, (steps, self.environment.count)
        return Chunk(
            np.empty((steps + 1, count, self.environment.observation_size), np.float32),
            np.empty((steps + 1, count, self.environment.action_count), np.bool_),
            np.empty(shape, np.int32),
            np.empty(shape, np.float32),
            np.empty(shape, np.float32),
            np.empty(shape, np.bool_),
        )
