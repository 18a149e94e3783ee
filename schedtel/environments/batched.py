"""The form of an environment that is many at a time."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Observations = NDArray[np.float32]
Masks = NDArray[np.bool_]


class Batched(Protocol):
    """``count`` environments of one kind, which take their steps together.

    An observation is ``observation_size`` numbers, an action one of ``action_count``; a mask says which actions can be
    taken. An environment that has ended begins anew by itself: its next observation is already that of a new episode.
    """

    count: int
    observation_size: int
    action_count: int

    def reset(self, seed: int) -> tuple[Observations, Masks]:
        """Begin all anew: float32 (count, observation_size) and bool (count, action_count)."""

    def step(self, actions: NDArray[np.int32]) -> tuple[Observations, NDArray[np.float32], Masks, Masks]:
        """Take an action in each: observations, rewards, which have ended, masks."""
