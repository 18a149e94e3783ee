"""Costs of arms between two runs of EEVDF in; whether an arm is better or worse than EEVDF, with an interval, out.

A single window measures noise: EEVDF itself costs 10 % more than its own mean in 3 of 10. So an arm is judged by pairs.
EEVDF runs in between for the purpose, and what an arm cost is set against the mean of the EEVDF before and the EEVDF
after. All decisions of one arm between two of EEVDF are one pair. An interval of 95 % by Student's distribution over
pairs then says what is shown.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schedtel.agent.reward import Costs, Reference, RewardSettings
from schedtel.analysis.bootstrap import student_reach

#: Pairs that an interval needs at least, and the newest that count.
_LEAST, _MOST = 3, 30


@dataclass(frozen=True)
class Shown:
    """What pairs show of a difference: its mean, and an interval, which is infinite with less than 3 pairs."""

    mean: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}] over {self.pairs} pairs"


def shown_by(values: Sequence[float]) -> Shown:
    """What differences show."""
    if len(values) < _LEAST:
        return Shown(float(np.mean(values)) if values else 0.0, -math.inf, math.inf, len(values))
    mean, reach = float(np.mean(values)), student_reach(np.asarray(values))
    return Shown(mean, mean - reach, mean + reach, len(values))


class Pairs:
    """Differences of subjects, such as an arm, to EEVDF: a reward each, larger where the subject is better."""

    def __init__(self, settings: RewardSettings) -> None:
        self._settings = settings
        self._of: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_MOST))
        self._before: Costs | None = None
        self._between: list[tuple[str, Costs, bool]] = []

    def add(self, subjects: Sequence[str], costs: Costs, *, swapped: bool) -> None:
        """Add the costs of a decision, which count for these subjects."""
        self._between += [(subject, costs, swapped) for subject in subjects]

    def close(self, costs: Costs) -> None:
        """Add the costs of a decision for EEVDF: what came since the one before is paired with the two."""
        if self._before is not None and self._between:
            reference = Reference(self._settings)
            for side in (self._before, costs):
                reference.add(side, 0)
            found: defaultdict[str, list[float]] = defaultdict(list)
            for subject, its, swapped in self._between:
                reward = reference.reward(its, swapped=swapped)
                if reward is not None:
                    found[subject].append(reward)
            for subject, rewards in found.items():
                self._of[subject].append(float(np.mean(rewards)))
        self._before, self._between = costs, []

    def shown(self, subject: str) -> Shown:
        """What is shown of a subject against EEVDF."""
        return shown_by(list(self._of[subject]))

    def of(self, subject: str) -> list[float]:
        """Its differences, the oldest first."""
        return list(self._of[subject])

    def restart(self, *, but: Sequence[str] = ()) -> None:
        """Forget all, as when the load has changed, but the pairs of some subjects."""
        for subject in set(self._of) - set(but):
            del self._of[subject]
        self._before, self._between = None, []
