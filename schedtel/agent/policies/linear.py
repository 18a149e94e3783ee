"""What is believed of arms in a context in; chances by LinUCB or by Thompson sampling out.

L. Li and others, "A Contextual-Bandit Approach to Personalized News Article Recommendation", WWW 2010. S. Agrawal,
N. Goyal, "Thompson Sampling for Contextual Bandits with Linear Payoffs", ICML 2013.
"""

from __future__ import annotations

import numpy as np

from schedtel.agent.context import Context
from schedtel.agent.policies.policy import NORMAL_95
from schedtel.agent.policies.protocol import View
from schedtel.agent.policies.regressed import Regressed

#: Points of each arm at which the integral of Thompson's chances is taken, in its standard deviations.
_POINTS = np.array([-4, -2.5, -1.75, -1.15, -0.55, 0, 0.55, 1.15, 1.75, 2.5, 4])


class _Linear(Regressed):
    """Chooses by what the regressions say, and by nothing else, so that they explain a choice."""

    def contributions(self, context: Context) -> np.ndarray:
        return self._theta[list(self._slots.values())] * (self._encoded(context) * self._weight)


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
