"""Ridge regressions of rewards on contexts, one an arm, in; what is believed of each arm in a context out.

With a discount: Y. Russac, C. Vernade, O. Cappe, "Weighted Linear Bandits for Non-Stationary Environments", NeurIPS
2019. What a policy chooses by is its own: LinUCB and Thompson sampling by these beliefs, others by a model beside them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from schedtel.agent.context import Context
from schedtel.agent.policies.policy import MOST_ARMS, NORMAL_95, Policy
from schedtel.agent.policies.protocol import View
from schedtel.agent.policies.tally import Memory

#: Weight of the prior, which says that every arm has reward 0.
_RIDGE = 0.3
#: Standard deviation that a reward is thought to have around its mean; rewards are logarithms of ratios.
_NOISE = 0.25


class Regressed(Policy):
    """Ridge regression for each arm, by sums: ``gram`` of x xT, ``moment`` of reward x."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        size = len(self._x)
        #: Features together weigh as much as the constant and the running arm: their number must not set the scale.
        self._weight = np.ones(size)
        self._weight[1 : 1 + self.scaler.size] /= np.sqrt(max(1, len(self.names)) / 4)
        self._gram, self._moment = np.zeros((MOST_ARMS, size, size)), np.zeros((MOST_ARMS, size))
        window = self.settings.memory.window
        #: The inputs of a sliding window, as a ring; its slots and rewards are in the tally's.
        self._inputs = np.zeros((window, size))
        self.refresh()

    def fit(self, contexts: Sequence[Context], rewards: np.ndarray) -> None:
        """As :meth:`Policy.fit`. Scales are learned from the whole table first."""
        self._check_table(contexts, rewards)
        self._fit_to(self._inputs_of(contexts), rewards)

    def _fit_to(self, x: np.ndarray, rewards: np.ndarray) -> None:
        """Learn the rewards of all arms for inputs of shape (contexts, inputs): at once, unless some are forgotten."""
        slots, known = np.array(list(self._slots.values())), np.isfinite(rewards)
        self.counters[2:] += int(known.sum())
        forgets = self.settings.memory != Memory()
        for row, column in np.argwhere(known).tolist():
            slot, reward = int(slots[column]), float(rewards[row, column])
            self.tally.add(slot, reward)
            if forgets:
                self._regress(x[row], slot, reward)
        if forgets:
            return
        weighted = x * self._weight
        for slot, column, its in zip(slots, rewards.T, known.T, strict=True):
            self._gram[slot] += weighted[its].T @ weighted[its]
            self._moment[slot] += column[its] @ weighted[its]
        self._solve(slice(None))

    def refresh(self) -> None:
        self._covariance = np.zeros_like(self._gram)
        self._theta = np.zeros_like(self._moment)
        self._solve(slice(None))

    def _solve(self, slots: slice | int | list[int]) -> None:
        """Inverse and weights of these slots from their sums."""
        self._covariance[slots] = np.linalg.inv(self._gram[slots] + _RIDGE * np.eye(self._gram.shape[1]))
        self._theta[slots] = (self._covariance[slots] @ self._moment[slots][..., None])[..., 0]

    def _judged(self, x: np.ndarray, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # A view of the rows up to the last slot: choosing rows by number would copy them.
        x, top = x * self._weight, int(slots.max()) + 1
        variance = (self._covariance[:top] @ x) @ x
        return (self._theta[:top] @ x)[slots], NORMAL_95 * _NOISE * np.sqrt(np.maximum(variance, 0))[slots]

    def _learn(self, x: np.ndarray, slot: int, _propensity: float, reward: float) -> None:
        self._regress(x, slot, reward)

    def _regress(self, x: np.ndarray, slot: int, reward: float) -> None:
        """Take the newest reward of the tally into the sums."""
        x, memory = x * self._weight, self.settings.memory
        if memory.window:
            self._sum_window(x)
        else:
            if memory.discount < 1:
                self._gram *= memory.discount
                self._moment *= memory.discount
            self._gram[slot] += np.outer(x, x)
            self._moment[slot] += reward * x
        self._solve(slot if memory == Memory() else list(self._slots.values()))

    def _sum_window(self, x: np.ndarray) -> None:
        """Sums anew from the inputs of the window: to subtract the oldest for ever would add up rounding errors."""
        newest = (int(self.tally.place[0]) - 1) % len(self._inputs)
        self._inputs[newest] = x
        slots, rewards = self.tally.kept[:, 0], self.tally.kept[:, 1]
        for slot in range(MOST_ARMS):
            mine = self._inputs[slots == slot]
            self._gram[slot], self._moment[slot] = mine.T @ mine, rewards[slots == slot] @ mine

    def _soften(self, kept: float) -> None:
        self._gram *= kept
        self._moment *= kept
        self._solve(slice(None))

    def _clear(self, slot: int) -> None:
        column = 1 + self.scaler.size + slot
        self._gram[slot], self._moment[slot] = 0, 0
        self._gram[:, column, :], self._gram[:, :, column], self._moment[:, column] = 0, 0, 0
        if len(self._inputs):
            self._inputs[:, column] = 0
        self._solve(slice(None))

    def arrays(self) -> dict[str, np.ndarray]:
        return super().arrays() | {"gram": self._gram, "moment": self._moment, "inputs": self._inputs}

    @abstractmethod
    def _chances(self, view: View) -> np.ndarray: ...
