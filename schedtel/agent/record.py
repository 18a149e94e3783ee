"""Rewards of arms and the windows in which they ran in; what is thought of each arm, and what exploring cost, out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from schedtel.agent.policies.policy import NORMAL_95
from schedtel.agent.policies.protocol import Belief
from schedtel.agent.policies.tally import Memory, Tally
from schedtel.agent.status import ArmView

#: What is kept of rewards when the load has changed for good, as policies do.
_KEPT = 0.1
#: With less than these, nothing is known of how far a mean may be off.
_LEAST = 2


class Record:
    """What came of arms so far."""

    def __init__(self, arms: Sequence[str]) -> None:
        self._places = {arm: place for place, arm in enumerate(arms)}
        self._tally = Tally(len(arms), Memory())
        self._decisions: Counter[str] = Counter()
        self._windows = self._exploring = 0
        #: Whether the arm that runs is believed to be worse than the best.
        self.explores = False

    @property
    def exploration_share(self) -> float:
        """The part of all windows in which an arm ran that was believed worse."""
        return self._exploring / self._windows if self._windows else 0.0

    def ran(self, windows: int) -> None:
        """Note for how many windows a choice has run."""
        self._windows += windows
        self._exploring += windows if self.explores else 0
        self.explores = False

    def add(self, arm: str, reward: float) -> None:
        """Note a reward."""
        self._decisions[arm] += 1
        self._tally.add(self._places[arm], reward)

    def soften(self) -> None:
        """The load has changed: what came before counts less."""
        self._tally.soften(_KEPT)

    def view(self, arm: str) -> ArmView:
        """What is thought of an arm."""
        place = self._places[arm]
        count, mean = float(self._tally.count[place]), float(self._tally.means()[place])
        if not self._decisions[arm]:
            return ArmView(arm, None, None, None, 0, None, "")
        if count < _LEAST:
            return ArmView(arm, mean, None, None, self._decisions[arm], None, "")
        width = NORMAL_95 * self._tally.deviation() / count**0.5
        return ArmView(arm, mean, mean - width, mean + width, self._decisions[arm], None, "")

    def views(self, chances: Mapping[str, float], barred: Mapping[str, str]) -> tuple[ArmView, ...]:
        """What is thought of each arm, with the chances that they had, and why some could not be taken."""
        every = ((arm, self.view(arm)) for arm in self._places)
        return tuple(replace(view, propensity=chances.get(arm), barred=barred.get(arm, "")) for arm, view in every)


def believed_worse(beliefs: Mapping[str, Belief]) -> set[str]:
    """The arms whose interval lies below the best mean."""
    best = max(belief.mean for belief in beliefs.values())
    return {arm for arm, belief in beliefs.items() if belief.mean + belief.width < best}
