"""What environments with a compiled engine share: their buffers, and the actions that they refuse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.batched import Masks, Observations
from schedtel.errors import UsageError

MOST_COUNT = 1 << 16


def need_between(what: str, value: float, least: float, most: float) -> None:
    """Raise :class:`UsageError` for a number that an environment cannot have."""
    if not least <= value <= most:
        raise UsageError(
            f"cannot make environments with {what} {value:g}: it is out of range (give {least:g} to {most:g})"
        )


class Buffers:
    """What a step writes: ``seen``, ``rewards``, ``ended`` and ``masks``. Each step overwrites them."""

    def __init__(self, count: int, observation_size: int, action_count: int) -> None:
        self.seen: Observations = np.zeros((count, observation_size), np.float32)
        self.rewards = np.zeros(count, np.float32)
        self.ended = np.zeros(count, np.bool_)
        self.masks: Masks = np.zeros((count, action_count), np.bool_)
        self._rows = np.arange(count)

    def checked(self, actions: NDArray[np.int32]) -> NDArray[np.int32]:
        """The actions, one for each environment. Raises :class:`UsageError` for those that the masks exclude."""
        count, most = self.masks.shape
        chosen = np.asarray(actions)
        if chosen.shape != (count,) or chosen.min() < 0 or chosen.max() >= most:
            raise UsageError(f"cannot take these actions: they must be {count}, below {most} (choose by the masks)")
        allowed = self.masks[self._rows, chosen]
        if not allowed.all():
            where = int(np.argmin(allowed))
            raise UsageError(
                f"cannot take action {chosen[where]} in environment {where}: it cannot be now (choose by the masks)"
            )
        return chosen.astype(np.int32, copy=False)


def random_states(seed: int, count: int) -> NDArray[np.uint64]:
    """A state of draws for each environment, none of them 0."""
    return np.random.default_rng(seed).integers(1, 1 << 63, count, np.uint64)
