"""Costs of all arms, or the reward of one, in; the weights of a small network, whose softmax is the chances, out.

Two hidden layers of 32. Where the costs L of all arms are known, it descends the expected cost, sum of a_i L_i for the
chances a: that is bounded, which sum of L_i log a_i is not. Where only the reward of the arm that ran is known, it is
REINFORCE with the mean reward as its baseline (R. Williams, "Simple Statistical Gradient-Following Algorithms",
Machine Learning 8, 1992). Chances do not say what an arm earns: that is believed by a regression beside the network.
"""

from __future__ import annotations

import numpy as np

from schedtel.agent.policies.policy import MOST_ARMS
from schedtel.agent.policies.protocol import View
from schedtel.agent.policies.regressed import Regressed

_HIDDEN = 32
#: Steps of Adam: its rate for a table of experiments, and for one reward at a time.
_FIT_RATE, _LEARN_RATE = 0.01, 0.003
_EPOCHS = 300
#: Weight of the entropy of the chances: keeps them from becoming 0 by chance.
_ENTROPY = 0.01
#: A reward counts at most so many times, where the arm was less likely to run than the network would have had it.
_MOST_WEIGHT = 2.0
#: Weight of what was known before in the baseline.
_BASELINE_KEPT = 0.95


class Adam:
    """Steps by D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", 2015."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self._weights = weights
        self.moments = {f"{name}.{k}": np.zeros_like(w) for name, w in weights.items() for k in ("m", "v")}
        self.steps = np.zeros(1)

    def step(self, gradients: dict[str, np.ndarray], rate: float) -> None:
        """Change the weights against these gradients."""
        self.steps += 1
        t = float(self.steps[0])
        size = rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        for name, gradient in gradients.items():
            m, v = self.moments[f"{name}.m"], self.moments[f"{name}.v"]
            m += 0.1 * (gradient - m)
            v += 0.001 * (gradient**2 - v)
            self._weights[name] -= size * m / (np.sqrt(v) + 1e-8)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Chances in proportion to e^logit, over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


class PolicyGradient(Regressed):
    """Chances by a network with two hidden layers and a softmax."""

    name = "policy-gradient"

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        draw, inputs = np.random.default_rng((self.settings.seed, 1)), len(self._x)
        #: The last layer begins at 0: all arms have the same chance.
        self._weights = {
            "first": draw.normal(0, 1 / np.sqrt(1 + len(self.names)), (inputs, _HIDDEN)),
            "second": draw.normal(0, 1 / np.sqrt(_HIDDEN), (_HIDDEN, _HIDDEN)),
            "last": np.zeros((_HIDDEN, MOST_ARMS)),
        }
        self._adam = Adam(self._weights)
        self._baseline = np.zeros(1)

    def _chances(self, view: View) -> np.ndarray:
        return softmax(self._layers(view.x)[-1][view.slots])

    def _layers(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The two hidden layers and the logits, for inputs of shape (…, inputs)."""
        first = np.tanh(x @ self._weights["first"])
        second = np.tanh(first @ self._weights["second"])
        return first, second, second @ self._weights["last"]

    def _fit_to(self, x: np.ndarray, rewards: np.ndarray) -> None:
        """An arm whose reward is not known counts with the mean of the known ones."""
        super()._fit_to(x, rewards)
        slots = np.array(list(self._slots.values()))
        costs = -np.where(np.isfinite(rewards), rewards, np.nanmean(rewards, axis=1, keepdims=True))
        for _ in range(_EPOCHS):
            first, second, logits = self._layers(x)
            chances = softmax(logits[:, slots])
            slope = chances * (costs - (chances * costs).sum(axis=1, keepdims=True)) / len(x)
            self._descend(x, first, second, self._spread(slope, slots), _FIT_RATE)

    def _learn(self, x: np.ndarray, slot: int, propensity: float, reward: float) -> None:
        super()._learn(x, slot, propensity, reward)
        slots = np.array(list(self._slots.values()))
        first, second, logits = self._layers(x)
        chances = softmax(logits[slots])
        mine = slots == slot
        weight = min(_MOST_WEIGHT, float(chances[mine][0]) / propensity)
        known = float(self.counters[2])
        gain = max(1 / known, 1 - _BASELINE_KEPT)
        advantage = reward - float(self._baseline[0]) if known > 1 else 0.0
        self._baseline += gain * (reward - self._baseline)
        entropy = chances * (np.log(chances + 1e-12) + _entropy(chances))
        slope = weight * advantage * (chances - mine) + _ENTROPY * entropy
        self._descend(x[None], first[None], second[None], self._spread(slope[None], slots), _LEARN_RATE)

    @staticmethod
    def _spread(slope: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Slopes by arm → by slot."""
        spread = np.zeros((len(slope), MOST_ARMS))
        spread[:, slots] = slope
        return spread

    def _descend(self, x: np.ndarray, first: np.ndarray, second: np.ndarray, slope: np.ndarray, rate: float) -> None:
        """One step against the slope of the loss by the logits, shape (rows, MOST_ARMS)."""
        into_second = (slope @ self._weights["last"].T) * (1 - second**2)
        into_first = (into_second @ self._weights["second"].T) * (1 - first**2)
        gradients = {"first": x.T @ into_first, "second": first.T @ into_second, "last": second.T @ slope}
        self._adam.step(gradients, rate)

    def _soften(self, kept: float) -> None:
        super()._soften(kept)
        self._weights["last"] *= np.sqrt(kept)

    def _clear(self, slot: int) -> None:
        super()._clear(slot)
        row = 1 + self.scaler.size + slot
        arrays = {**self._weights, **self._adam.moments}
        for name, values in arrays.items():
            if name.startswith("last"):
                values[:, slot] = 0
            elif name.startswith("first"):
                values[row] = 0

    def arrays(self) -> dict[str, np.ndarray]:
        named = {f"weights.{name}": values for name, values in self._weights.items()}
        named |= {f"adam.{name}": values for name, values in self._adam.moments.items()}
        return super().arrays() | named | {"adam.steps": self._adam.steps, "baseline": self._baseline}


def _entropy(chances: np.ndarray) -> float:
    return -float((chances * np.log(chances + 1e-12)).sum())
