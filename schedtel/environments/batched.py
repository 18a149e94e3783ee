"""What a learner is given: ``count`` environments of one kind, which take a step together."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Observations: TypeAlias = NDArray[np.float32]
Masks: TypeAlias = NDArray[np.bool_]


class Batched(Protocol):
    """Environments that are stepped together. What is returned is the caller's until the next call, and no longer.

    One whose observation is of things that are alike may have a ``layout``, by which a learner treats them alike.

    An environment that has ended begins anew by itself: what is observed then is of its new episode.
    """

    #: How many there are.
    count: int
    #: Numbers in an observation.
    observation_size: int
    #: Actions, numbered from 0.
    action_count: int

    def reset(self, seed: int) -> tuple[Observations, Masks]:
        """Begin all anew. The same seed and the same actions give the same observations and rewards.

        Returns the observations, shape (count, observation_size), and which actions are allowed, shape (count,
        action_count); at least one always is.
        """
        ...

    def step(self, actions: NDArray[np.int32]) -> tuple[Observations, NDArray[np.float32], NDArray[np.bool_], Masks]:
        """Take a step in each.

        :param actions: an allowed action for each, shape (count,).

        Returns observations, rewards of shape (count,), which of them have ended, shape (count,), and masks.
        """
        ...


class Repeatable(Batched, Protocol):
    """Environments whose episodes end by themselves, and can be had several times over."""

    def reset(self, seed: int, alike: int = 1) -> tuple[Observations, Masks]:
        """Begin all anew, where each ``alike`` of them that follow each other have the same episodes."""
        ...


class Configured(Batched, Protocol):
    """Environments whose episodes are each of one of some configurations. Unless it is told, each episode draws one."""

    #: What each is made of: of each of its parts, one of the values that the part can have.
    configurations: Sequence[tuple[int, ...]]

    def keep_to(self, numbers: NDArray[np.int64]) -> None:
        """Of which configuration the next episodes of each environment are, shape (count,)."""
        ...
