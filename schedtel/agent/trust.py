"""Pairs of a policy and of the default arm in; whether the policy decides alone, or is on trial, out.

On trial, each decision of the policy is followed by one for the default arm. The policy is trusted once the interval of
the difference between both lies above 0, and is on trial again once it lies below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from schedtel.agent.pairs import Shown, shown_by
from schedtel.analysis.bootstrap import student_quantile

_LEVEL = 0.975


class Trust:
    """Whether a policy is trusted.

    :param always: it is, whatever is shown.
    """

    def __init__(self, *, always: bool = False) -> None:
        self._always, self.is_on_trial = always, not always
        self.shown = shown_by([])

    def judge(self, policy: Sequence[float], default: Sequence[float] | None) -> bool:
        """Judge by the differences of both to EEVDF; returns whether it has changed.

        :param default: None: the default arm is EEVDF itself, and differs by 0.
        """
        self.shown = shown_by(policy) if default is None else _between(policy, default)
        before = self.is_on_trial
        if not self._always and (self.shown.low > 0 or self.shown.high < 0):
            self.is_on_trial = self.shown.high < 0
        return self.is_on_trial != before

    def withdraw(self) -> None:
        """What was shown is of another load: it is on trial again."""
        self.is_on_trial, self.shown = not self._always, shown_by([])


def _between(policy: Sequence[float], default: Sequence[float]) -> Shown:
    """The difference of two means that were measured apart (B. L. Welch, Biometrika 34, 1947), with few freedoms."""
    one, other = shown_by(policy), shown_by(default)
    mean, pairs = one.mean - other.mean, min(one.pairs, other.pairs)
    if math.isinf(one.low) or math.isinf(other.low):
        return Shown(mean, -math.inf, math.inf, pairs)
    variance = sum(float(np.var(values, ddof=1)) / len(values) for values in (policy, default))
    reach = student_quantile(_LEVEL, pairs - 1) * math.sqrt(variance)
    return Shown(mean, mean - reach, mean + reach, pairs)
