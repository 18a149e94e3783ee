"""What environments with a compiled engine share: how they step, their buffers, and the actions that they refuse."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.batched import Masks, Observations
from schedtel.errors import UsageError

MOST_COUNT = 1 << 16
#: Instead of an action: begin anew.
BEGIN = -1


def need_between(what: str, value: float, least: float, most: float) -> None:
    """Raise :class:`UsageError` for a number that an environment cannot have."""
    if not least <= value <= most:
        raise UsageError(
            f"cannot make environments with {what} {value:g}: it is out of range (give {least:g} to {most:g})"
        )


class Stepped(ABC):
    """Environments whose engine writes into buffers. A class of them says how it is called and where its draws are."""

    def __init__(self, count: int, observation_size: int, action_count: int) -> None:
        self.count, self.observation_size, self.action_count = count, observation_size, action_count
        self._buffers = Buffers(count, observation_size, action_count)
        self.reset(0)

    def reset(self, seed: int, alike: int = 1) -> tuple[Observations, Masks]:
        """As :meth:`Repeatable.reset`. The same seed draws the same episodes."""
        self._draws()[:] = np.repeat(random_states(seed, -(-self.count // alike)), alike)[: self.count]
        self._step(np.full(self.count, BEGIN, np.int32), self._buffers)
        return self._buffers.seen, self._buffers.masks

    def step(self, actions: NDArray[np.int32]) -> tuple[Observations, NDArray[np.float32], Masks, Masks]:
        """As :meth:`Batched.step`. Raises :class:`UsageError` for an action that the mask excludes."""
        self._step(self._buffers.checked(actions), self._buffers)
        return self._buffers.seen, self._buffers.rewards, self._buffers.ended, self._buffers.masks

    @abstractmethod
    def _draws(self) -> NDArray[np.uint64]:
        """The states of the engine's draws, one for each environment."""

    @abstractmethod
    def _step(self, actions: NDArray[np.int32], written: Buffers) -> None:
        """Have the engine take a step in each."""


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
