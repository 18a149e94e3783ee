"""Windows and what the kernel says in; when the policy has no say, and which arms it may not take, out.

The guard goes back to EEVDF within the window in which it sees one of these:

    an objective is broken    and the arm is in quarantine, unless EEVDF broke it as well
    an arm has failed         it could not be attached, was ejected, its loader ended, or it has another name
    another's scheduler       someone has attached one: the agent touches nothing until it has gone

It bars an arm that is in quarantine, that was shown to be worse than EEVDF under this load, or that would do nothing,
since its classes have no threads. After too many failures it lets nothing be done any more: the agent observes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from schedtel.agent.classes import CLASSES, SHORT, Classes
from schedtel.agent.machine import Machine
from schedtel.agent.pairs import Pairs
from schedtel.agent.quarantine import Quarantine
from schedtel.agent.slo import Slo
from schedtel.schedulers.names import EEVDF, parse_arm

if TYPE_CHECKING:
    from schedtel.windows.window import Window

#: So many failures of arms within an hour are too many.
_MOST_FAILURES, _WITHIN_NS = 5, 3600 * 1_000_000_000


class Alarm(NamedTuple):
    """Why EEVDF has to run now, and whether the arm ran as it should while its windows were measured."""

    why: str
    is_measured: bool


class Guard:
    """Watches over one run of an agent.

    :param clock: CLOCK_MONOTONIC in nanoseconds.
    """

    def __init__(
        self,
        arms: Sequence[str],
        slos: Sequence[Slo],
        quarantine: Quarantine,
        classes: Classes,
        clock: Callable[[], int],
    ) -> None:
        self._arms, self._slos, self._quarantine, self._classes, self._clock = arms, slos, quarantine, classes, clock
        self._named = {arm: sorted(parse_arm(arm).classes & set(CLASSES)) for arm in arms}
        self._only_classes = {arm: _has_only_classes(arm) for arm in arms}
        self._failures: deque[int] = deque(maxlen=_MOST_FAILURES)
        #: Which objective the newest window under EEVDF broke, and why the agent only observes; empty: none, it acts.
        self._broken_by_eevdf = ""
        self.observes = ""

    def alarm(self, window: Window, arm: str, machine: Machine) -> Alarm | None:
        """Why EEVDF has to run now, in the place of the arm that ran in this window; None if nothing is wrong."""
        breach = next(filter(None, (slo.breach(window) for slo in self._slos)), "")
        if arm == str(EEVDF):
            self._broken_by_eevdf = breach
            return self._foreign(machine)
        if problem := machine.problem():
            self.failed(arm, problem)
            return Alarm(f"{arm} has failed: {problem}", is_measured=False)
        if arm.startswith("policy:") and (foreign := self._foreign(machine)):
            return foreign
        if breach and not self._broken_by_eevdf:
            self._quarantine.add(arm, breach)
        return Alarm(f"an objective is broken: {breach}", is_measured=True) if breach else None

    @staticmethod
    def _foreign(machine: Machine) -> Alarm | None:
        name = machine.in_effect()
        if name == str(EEVDF):
            return None
        return Alarm(f"{name} was attached by someone else, so this agent leaves all as it is", is_measured=False)

    def failed(self, arm: str, why: str) -> None:
        """Note that an arm has failed: it is in quarantine, and after too many failures the agent only observes."""
        now = self._clock()
        if arm != str(EEVDF):
            self._quarantine.add(arm, why)
        self._failures.append(now)
        if len(self._failures) == _MOST_FAILURES and now - self._failures[0] < _WITHIN_NS:
            self.give_up(f"arms have failed {_MOST_FAILURES} times within an hour, the last time {arm}: {why}")

    def give_up(self, why: str) -> None:
        """Let nothing be done any more."""
        self.observes = self.observes or why

    def barred(self, pairs: Pairs) -> Mapping[str, str]:
        """Arms that may not be taken now, and why. EEVDF always may."""
        found = {arm: self._why_not(arm, pairs) for arm in self._arms if arm != str(EEVDF)}
        return {arm: why for arm, why in found.items() if why}

    def _why_not(self, arm: str, pairs: Pairs) -> str:
        if why := self._quarantine.why(arm):
            return why
        shown = pairs.shown(arm)
        if shown.high < 0:
            return f"shown to be worse than EEVDF under this load: {shown}"
        named = self._named[arm]
        if named and self._only_classes[arm] and not any(map(self._classes.count, named)):
            refused = self._classes.refused if SHORT in named else ""
            return refused or f"no thread looks like {' or '.join(named)}"
        return ""


def _has_only_classes(arm: str) -> bool:
    rules = parse_arm(arm).rules
    return bool(rules) and all(rule.selector is not None and rule.selector.kind == "class" for rule in rules)
