"""Environments and a way to act in; chunks of experience out."""

from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.batched import Batched, Masks, Observations, Repeatable

#: Instead of the steps of a chunk: a whole episode of each environment.
EPISODES = 0
#: So many environments that follow each other then have the same episode.
ALIKE = 32


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

    @property
    def mean_reward(self) -> float:
        """Of a step."""
        return float(self.rewards.sum()) / self.steps


class Episodes(Chunk):
    """A whole episode of each environment, of which each ``ALIKE`` have the same. What is behind its end is filling."""

    @property
    def live(self) -> NDArray[np.bool_]:
        """Which steps are of the episode, shape (steps, environments)."""
        return np.asarray(np.cumsum(self.ended, axis=0) - self.ended == 0)

    @property
    def steps(self) -> int:
        """Steps of episodes."""
        return int(self.live.sum())


class Collector:
    """Environments, at the moment at which the next chunk begins.

    :param seed: theirs.
    """

    def __init__(self, environment: Batched, seed: int) -> None:
        self.environment = environment
        self._random = np.random.default_rng(seed)
        self._now = environment.reset(seed)

    def collect(self, act: Act, steps: int) -> Chunk:
        """Let all environments take some steps, or, for ``EPISODES``, each a whole episode."""
        if steps == EPISODES:
            return self._episodes(act)
        found = self._empty(steps)
        observations, masks = self._now
        for at in range(steps):
            found.observations[at], found.masks[at] = observations, masks
            found.actions[at], found.chances[at] = act(observations, masks)
            observations, found.rewards[at], found.ended[at], masks = self.environment.step(found.actions[at])
        found.observations[steps], found.masks[steps] = self._now = (observations, masks)
        return found

    def _episodes(self, act: Act) -> Episodes:
        """Environments whose episode has ended wait for the last one: they take steps that count for nothing."""
        environment = cast(Repeatable, self.environment)
        count, rows = environment.count, list[tuple[NDArray[np.generic], ...]]()
        observations, masks = environment.reset(int(self._random.integers(1 << 62)), ALIKE)
        live = np.ones(count, np.bool_)
        while live.any():
            actions, chances = masks.argmax(axis=1).astype(np.int32), np.zeros(count, np.float32)
            actions[live], chances[live] = act(observations[live], masks[live])
            seen = (observations.copy(), masks.copy(), actions, chances)
            observations, rewards, ended, masks = environment.step(actions)
            rows.append((*seen, rewards * live, ended.copy()))
            live &= ~ended
        observed, allowed, *others = map(np.stack, zip(*rows, strict=True))
        last = (np.concatenate([observed, observations[None]]), np.concatenate([allowed, masks[None]]))
        return Episodes(*last, *others)

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
