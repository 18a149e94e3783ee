"""The tally of rewards in; chances of arms out: policies that do not look at features, and the yardsticks.

P. Auer, N. Cesa-Bianchi, P. Fischer, "Finite-time Analysis of the Multiarmed Bandit Problem", Machine Learning 47,
2002.
"""

from __future__ import annotations

import numpy as np

from schedtel.agent.context import Context
from schedtel.agent.policies.policy import Policy
from schedtel.agent.policies.protocol import View
from schedtel.errors import UsageError

#: Width of the interval of UCB1, in standard deviations of rewards.
_WIDTH = 0.5
#: The rule of scx_loader: a CPU that was busy for more than this part of its time.
_BUSY = 0.9


class Fixed(Policy):
    """Always the same arm: option ``arm``, else the first. Where that is not allowed, the first that is."""

    name, learns, takes = "fixed", False, frozenset({"arm"})

    def _chances(self, view: View) -> np.ndarray:
        return view.all_to_slot(self._slot(str(self.options.get("arm") or self.arms[0])))


class Random(Policy):
    """Any allowed arm, each with the same chance."""

    name, learns = "random", False

    def _chances(self, view: View) -> np.ndarray:
        return np.full(len(view.slots), 1 / len(view.slots))


class RoundRobin(Policy):
    """One allowed arm after the other."""

    name, learns = "round-robin", False

    def _chances(self, view: View) -> np.ndarray:
        return view.all_to(int(self.counters[0]) % len(view.slots))


class EpsilonGreedy(Policy):
    """The best mean so far; with chance 1 / sqrt(n) any arm, where n counts rewards since the last change."""

    name = "epsilon-greedy"

    def _chances(self, view: View) -> np.ndarray:
        epsilon = 1 / np.sqrt(self.counters[3] + 1)
        return (1 - epsilon) * view.all_to(int(view.means.argmax())) + epsilon / len(view.slots)


class UCB1(Policy):
    """The highest upper bound: mean + 0.5 s sqrt(2 ln n / n of the arm), where s is the scatter of all rewards.

    An arm that was never tried comes first. UCB1 is for rewards between 0 and 1; s takes the place of that range.
    """

    name = "ucb1"

    def _chances(self, view: View) -> np.ndarray:
        count = self.tally.count[view.slots]
        if (count < 0.5).any():
            return view.all_to(int(count.argmin()))
        width = np.sqrt(2 * np.log(max(2.0, float(self.tally.count.sum()))) / count)
        return view.all_to(int((view.means + _WIDTH * self.tally.scatter() * width).argmax()))


class BusyCpu(Policy):
    """The rule of scx_loader: one arm (for games, say) once a CPU was more than 90 % busy for 5 s, another else.

    Options: ``calm`` and ``busy``, the arms, by default the first and the last; ``windows``: how many in a row are 5 s.
    """

    name, learns, takes = "busy-cpu", False, frozenset({"calm", "busy", "windows"})

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self._windows = self.options.get("windows", 1)
        if not isinstance(self._windows, int) or self._windows < 1:
            raise UsageError(f"cannot wait for {self._windows!r} busy windows: it must be 1 at least")
        #: Busy windows in a row before the one of the context.
        self._streak = np.zeros(1)

    def _chances(self, view: View) -> np.ndarray:
        is_busy = self._streak_with(view.context) >= self._windows  # type: ignore[operator]
        arm = self.options.get("busy", self.arms[-1]) if is_busy else self.options.get("calm", self.arms[0])
        return view.all_to_slot(self._slot(str(arm)))

    def learn(self, context: Context, arm: str, propensity: float, reward: float) -> None:
        super().learn(context, arm, propensity, reward)
        self._streak[0] = self._streak_with(context)

    def _streak_with(self, context: Context) -> float:
        return float(self._streak[0]) + 1 if (context.busiest_cpu or 0) > _BUSY else 0.0

    def arrays(self) -> dict[str, np.ndarray]:
        return super().arrays() | {"streak": self._streak}
