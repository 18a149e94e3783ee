"""Ridge regressions of rewards on contexts, one an arm, in; chances by LinUCB or by Thompson sampling out.

L. Li and others, "A Contextual-Bandit Approach to Personalized News Article Recommendation", WWW 2010. S. Agrawal,
N. Goyal, "Thompson Sampling for Contextual Bandits with Linear Payoffs", ICML 2013. With a discount: Y. Russac,
C. Vernade, O. Cappe, "Weighted Linear Bandits for Non-Stationary Environments", NeurIPS 2019.
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
#: Points of each arm at which the integral of Thompson's chances is taken, in its standard deviations.
_POINTS = np.array([-4, -2.5, -1.75, -1.15, -0.55, 0, 0.55, 1.15, 1.75, 2.5, 4])


class _Linear(Policy):
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

    def _encoded(self, context: Context) -> np.ndarray:
        return super()._encoded(context) * self._weight

    def contributions(self, context: Context) -> np.ndarray:
        return self._theta[list(self._slots.values())] * self._encoded(context)

    def fit(self, contexts: Sequence[Context], rewards: np.ndarray) -> None:
        """As :meth:`Policy.fit`. Scales are learned from the whole table first, and sums are made of it at once.

        What forgets learns from one reward after the other.
        """
        if self.settings.memory != Memory():
            super().fit(contexts, rewards)
            return
        self._check_table(contexts, rewards)
        x = self._inputs_of(contexts)
        for slot, column in zip(self._slots.values(), rewards.T, strict=True):
            known = np.isfinite(column)
            self._gram[slot] += x[known].T @ x[known]
            self._moment[slot] += column[known] @ x[known]
            for reward in column[known].tolist():
                self.tally.add(slot, reward)
        self.counters[2:] += int(np.isfinite(rewards).sum())
        self._solve(slice(None))

    def refresh(self) -> None:
        self._covariance = np.zeros_like(self._gram)
        self._theta = np.zeros_like(self._moment)
        self._solve(slice(None))

    def _solve(self, slots: slice | int) -> None:
        """Inverse and weights of these slots from their sums."""
        self._covariance[slots] = np.linalg.inv(self._gram[slots] + _RIDGE * np.eye(self._gram.shape[1]))
        self._theta[slots] = (self._covariance[slots] @ self._moment[slots][..., None])[..., 0]

    def _judged(self, x: np.ndarray, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means, deviations = self._posterior(x, slots)
        return means, NORMAL_95 * deviations

    def _posterior(self, x: np.ndarray, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # A view of the rows up to the last slot: choosing rows by number would copy them.
        top = int(slots.max()) + 1
        variance = (self._covariance[:top] @ x) @ x
        return (self._theta[:top] @ x)[slots], _NOISE * np.sqrt(np.maximum(variance, 0))[slots]

    def _learn(self, x: np.ndarray, slot: int, _propensity: float, reward: float) -> None:
        memory = self.settings.memory
        if memory.window:
            self._sum_window(x)
        else:
            if memory.discount < 1:
                self._gram *= memory.discount
                self._moment *= memory.discount
            self._gram[slot] += np.outer(x, x)
            self._moment[slot] += reward * x
        self._solve(slice(None) if memory.window or memory.discount < 1 else slot)

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


class LinUCB(_Linear):
    """The highest upper end of the arms' 95 % intervals."""

    name = "linucb"

    def _chances(self, view: View) -> np.ndarray:
        return view.all_to(int((view.means + view.widths).argmax()))


class Thompson(_Linear):
    """Thompson sampling: each arm with the chance that it is the best one, by what is known."""

    name = "thompson"

    def _chances(self, view: View) -> np.ndarray:
        return chance_of_best(view.means, view.widths / NORMAL_95)


def chance_of_best(means: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """The chance that each of independent normal values is the largest, shape (n,): the integral of

        product of P(other <= z)  dP(this <= z)

    taken at 11 points of each, so that a narrow one beside wide ones is seen too. It errs by less than 0.02; the arm
    is drawn by what is returned, so a propensity has no error.
    """
    if len(means) == 1:
        return np.ones(1)
    deviations = np.maximum(deviations, 1e-9)
    z = np.sort((means[:, None] + deviations[:, None] * _POINTS).ravel())
    below = _normal_cdf((z[:, None] - means) / deviations)
    below[-1] = 1
    steps, middle = np.diff(below, axis=0), (below[1:] + below[:-1]) / 2
    others = middle.prod(axis=1, keepdims=True) / np.maximum(middle, 1e-12)
    chances = (others * steps).sum(axis=0)
    return chances / chances.sum()


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    """P(X <= x) of the normal distribution, to 3e-4, without a loop: numpy has no erf."""
    return 0.5 * (1 + np.tanh(0.7978845608 * x * (1 + 0.044715 * x * x)))
