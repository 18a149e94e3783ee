"""Whole episodes in; a policy out, which makes what was done in the best episodes of an instance more likely.

R. Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning", 1992. An
episode is compared with others of the same instance (Z. Shao et al., "DeepSeekMath", 2024): so one that is hard for all
tells as much as an easy one, and no value has to be learned.

It is compared with the best quarter of its group, and not with the mean (B. Petersen et al., "Deep Symbolic
Regression", 2021). A policy that explores slips often, and where a slip is dear the mean drives it to what is safe
against slips, as to never using the CPUs, and not to what is best without any.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schedtel.training.learner.experience import ALIKE, EPISODES, Chunk, Episodes
from schedtel.training.learner.policy import PolicyLearner, Taken

#: The share of a group that counts for nothing.
_REST = 0.75
#: Where all of a group are as good, none is better.
_LEAST_SPREAD = 1e-6


def advantages(returns: NDArray[np.float32], group: int) -> NDArray[np.float32]:
    """How far each episode is above the rest of its group, over the spread of that, shape (episodes,)."""
    found = np.zeros(len(returns), np.float32)
    for first in range(0, len(returns), group):
        of_group = returns[first : first + group]
        above = np.maximum(0, of_group - np.quantile(of_group, _REST))
        found[first : first + group] = above / (above.std() + _LEAST_SPREAD)
    return found


class Reinforce(PolicyLearner):
    """The learner."""

    chunk, rounds = EPISODES, 2

    def take(self, chunk: Chunk) -> None:
        """Learn from a whole episode of each environment."""
        assert isinstance(chunk, Episodes)
        live = chunk.live
        worth = np.broadcast_to(advantages(chunk.rewards.sum(axis=0), ALIKE), live.shape)[live]
        seen = (chunk.observations[:-1][live], chunk.masks[:-1][live], chunk.actions[live], chunk.chances[live])
        self.learn(Taken(*seen, worth))
