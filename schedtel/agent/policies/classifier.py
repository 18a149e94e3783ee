"""Labelled experiments in; the arm that costs least in a context out.

The label of a context is the arm that had the largest reward there. Multinomial logistic regression with a ridge, in
numpy: scikit-learn takes 2.4 s to import, and would do no more. What an arm earns in a context is believed by a
regression beside it, which single rewards teach as well: by that a budget judges what the label says.
"""

from __future__ import annotations

import numpy as np

from schedtel.agent.context import Context
from schedtel.agent.policies.gradient import Adam, softmax
from schedtel.agent.policies.policy import MOST_ARMS
from schedtel.agent.policies.protocol import View
from schedtel.agent.policies.regressed import Regressed

_RATE, _EPOCHS = 0.05, 300
_RIDGE = 1e-3


class Classifier(Regressed):
    """The most likely label. It learns labels from experiments (:meth:`fit`), and beliefs from every reward."""

    name = "classifier"

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        self._weights = np.zeros((len(self._x), MOST_ARMS))

    def _chances(self, view: View) -> np.ndarray:
        return view.all_to(int((view.x @ self._weights)[view.slots].argmax()))

    def contributions(self, context: Context) -> np.ndarray:
        return self._weights[:, list(self._slots.values())].T * self._encoded(context)

    def _fit_to(self, x: np.ndarray, rewards: np.ndarray) -> None:
        super()._fit_to(x, rewards)
        slots = np.array(list(self._slots.values()))
        best = np.where(np.isfinite(rewards), rewards, -np.inf).argmax(axis=1)
        labels = np.eye(len(slots))[best]
        weights = {"all": self._weights[:, slots]}
        adam = Adam(weights)
        for _ in range(_EPOCHS):
            slope = softmax(x @ weights["all"]) - labels
            adam.step({"all": x.T @ slope / len(x) + _RIDGE * weights["all"]}, _RATE)
        self._weights[:, slots] = weights["all"]

    def _clear(self, slot: int) -> None:
        super()._clear(slot)
        self._weights[:, slot] = 0
        self._weights[1 + self.scaler.size + slot] = 0

    def arrays(self) -> dict[str, np.ndarray]:
        return super().arrays() | {"weights": self._weights}
