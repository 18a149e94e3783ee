"""Chunks in; a policy and the values that it expects out, changed by small steps.

J. Schulman et al., "Proximal Policy Optimization Algorithms", 2017; "High-Dimensional Continuous Control Using
Generalized Advantage Estimation", 2016.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from schedtel.training.learner.experience import Chunk
from schedtel.training.learner.network import Network
from schedtel.training.learner.policy import PolicyLearner, Taken
from schedtel.training.learner.settings import Settings

CHUNK = 64
#: What a step's error counts for the step before it.
_TRACE = 0.95
_LEAST_SPREAD = 1e-6


def advantages(chunk: Chunk, values: NDArray[np.float32], discount: float, *, truncates: bool) -> NDArray[np.float32]:
    """How much better each step turned out than was expected, shape (steps, environments).

    :param values: what is expected at each step and after the last, shape (steps + 1, environments).
    :param truncates: whether an episode goes on behind its end. Then what is expected there is that of its last step,
        since what is seen behind an end is of the next episode.
    """
    found, after = np.zeros_like(chunk.rewards), np.zeros(chunk.rewards.shape[1], np.float32)
    for step in reversed(range(len(found))):
        ended = chunk.ended[step]
        behind = np.where(ended, values[step] if truncates else 0, values[step + 1])
        error = chunk.rewards[step] + discount * behind - values[step]
        after = error + discount * _TRACE * np.where(ended, 0, after)
        found[step] = after
    return found


class PPO(PolicyLearner):
    """The learner."""

    chunk, rounds = CHUNK, 4

    def __init__(self, settings: Settings, network: Network, *, truncates: bool) -> None:
        super().__init__(settings, network)
        self._truncates = truncates

    def take(self, chunk: Chunk) -> None:
        """Learn from a chunk."""
        values = self._values(chunk)
        better = advantages(chunk, values, self._settings.discount, truncates=self._truncates)
        worth = (better - better.mean()) / (better.std() + _LEAST_SPREAD)
        self.learn(
            Taken(
                chunk.observations[:-1].reshape(-1, chunk.observations.shape[2]),
                chunk.masks[:-1].reshape(-1, chunk.masks.shape[2]),
                chunk.actions.reshape(-1),
                chunk.chances.reshape(-1),
                worth.reshape(-1),
                (better + values[:-1]).reshape(-1),
            )
        )

    def _values(self, chunk: Chunk) -> NDArray[np.float32]:
        """What is expected at each step and after the last, shape (steps + 1, environments)."""
        with torch.inference_mode():
            rows = [self.network(torch.from_numpy(row))[0].numpy() for row in chunk.observations]
        return np.stack(rows)
