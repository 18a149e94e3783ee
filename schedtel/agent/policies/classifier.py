"""Labelled experiments in; the arm that costs least in a context out.

The label of a context is the arm that had the largest reward there. Multinomial logistic regression with a ridge, in
numpy: scikit-learn takes 2.4 s to import, and would do no more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schedtel.agent.context import Context
from schedtel.agent.policies.gradient import Adam, softmax
from schedtel.agent.policies.policy import MOST_ARMS, Policy
from schedtel.agent.policies.protocol import View

_RATE, _EPOCHS = 0.05, 300
_RIDGE = 1e-3


class Classifier(Policy):
    """The most likely label. It learns from experiments (:meth:`fit`); single rewards only reach its tally."""

    name = "classifier"

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self._weights = np.zeros((len(self._x), MOST_ARMS))

    def _chances(self, view: View) -> np.ndarray:
        return view.all_to(int((view.x @ self._weights)[view.slots].argmax()))

    def contributions(self, context: Context) -> np.ndarray:
        return self._weights[:, list(self._slots.values())].T * self._encoded(context)

    def fit(self, contexts: Sequence[Context], rewards: np.ndarray) -> None:
        """As :meth:`Policy.fit`."""
        self._check_table(contexts, rewards)
        x, slots = self._inputs_of(contexts), np.array(list(self._slots.values()))
        best = np.where(np.isfinite(rewards), rewards, -np.inf).argmax(axis=1)
        labels = np.eye(len(slots))[best]
        weights = {"all": self._weights[:, slots]}
        adam = Adam(weights)
        for _ in range(_EPOCHS):
            slope = softmax(x @ weights["all"]) - labels
            adam.step({"all": x.T @ slope / len(x) + _RIDGE * weights["all"]}, _RATE)
        self._weights[:, slots] = weights["all"]

    def _clear(self, slot: int) -> None:
        self._weights[:, slot] = 0
        self._weights[1 + self.scaler.size + slot] = 0

    def arrays(self) -> dict[str, np.ndarray]:
        return super().arrays() | {"weights": self._weights}
