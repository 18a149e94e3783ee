"""Windows as they end in; at each decision an arm in effect, a row in the log, and a view for an observer, out.

    window → classes, guard → (the turn is over) → reward against EEVDF, policy.learn → choice → Schedulers.switch → log

A *turn* is a choice and the windows until the next. The choice is, in this order:

    the guard's       EEVDF, since an objective is broken, an arm has failed, or the agent only observes
    the reference     EEVDF, as nothing is known of it under this load, or it was measured too long ago
    the default arm   after each choice of the policy, while that is on trial
    the policy's      among the arms that are not barred

Whatever runs, every window passes the guard; an alarm ends the turn at once. Nothing here reads a wall clock but for
one column of the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from schedtel.agent.book import Book
from schedtel.agent.classes import Classes
from schedtel.agent.context import Context, context_of
from schedtel.agent.guard import Alarm, Guard
from schedtel.agent.load import Load
from schedtel.agent.log import Entry
from schedtel.agent.machine import Machine, refusal
from schedtel.agent.pairs import Pairs
from schedtel.agent.policies.policy import Policy
from schedtel.agent.record import Record, believed_worse
from schedtel.agent.reward import Costs, Reference, costs_of
from schedtel.agent.settings import AgentSettings
from schedtel.agent.status import Status
from schedtel.agent.trust import Trust
from schedtel.agent.turn import Choice, Turn
from schedtel.agent.words import by_policy, sentence
from schedtel.schedulers.names import EEVDF, parse_arm

if TYPE_CHECKING:
    from schedtel.windows.window import Window

_EEVDF = str(EEVDF)
#: The subject of pairs that stands for all that the policy decides.
_POLICY = ""


@dataclass(frozen=True)
class Clocks:
    """CLOCK_MONOTONIC, the wall clock, and the CPU time of this process, in nanoseconds."""

    monotonic: Callable[[], int] = time.monotonic_ns
    wall: Callable[[], int] = time.time_ns
    cpu: Callable[[], int] = time.process_time_ns


class Agent:
    """Decides by windows, one after the other.

    :param machine: what it acts on.
    :param guard: watches over it.
    :param classes: those that arms name; each window is given to them.
    :param book: where decisions are logged.
    :param observer: is called once a decision, in the thread that gives the windows.
    """

    def __init__(
        self,
        settings: AgentSettings,
        policy: Policy,
        machine: Machine,
        guard: Guard,
        classes: Classes,
        book: Book,
        observer: Callable[[Status], object] = lambda _: None,
        clocks: Clocks = Clocks(),
    ) -> None:
        self._settings, self._policy, self._machine, self._guard = settings, policy, machine, guard
        self._classes, self._book, self._observer, self._clocks = classes, book, observer, clocks
        self._acts = settings.mode == "act"
        #: The classes that arms name.
        self._named = {name for arm in settings.arms for name in parse_arm(arm).classes}
        self._reference, self._pairs = Reference(settings.reward), Pairs(settings.reward)
        self._load, self._trust = Load(), Trust(always=settings.is_trusted)
        self._record = Record(settings.arms)
        self._turn = Turn(Choice(_EEVDF, "it ran before", guard="it ran before"), _EEVDF)
        self._since_reference = 0
        self._reward: float | None = None
        #: What the next view tells besides its decision.
        self._news: list[str] = []
        self._cpu_ns, self._decided_ns = clocks.cpu(), clocks.monotonic()

    def run(self, source: Iterable[Window]) -> None:
        """Decide by the windows of a source until it ends. Whoever made the machine puts everything back.

        Raises :class:`StreamError` once the machine is lost.
        """
        for window in source:
            self.step(window)

    def step(self, window: Window) -> Status | None:
        """Take a window; returns the view of the decision if there was one."""
        turn = self._turn
        turn.windows.append(window)
        self._classes.add(window)
        alarm = self._rescanned(turn.arm) or self._guard.alarm(window, turn.arm, self._machine)
        if alarm is None and not turn.is_over(self._settings.reward):
            return None
        self._finish(turn, is_measured=alarm is None or alarm.is_measured)
        context = context_of(window, turn.arm, self._policy.names)
        return self._begin(window, context, self._choose(context, alarm))

    # ---- the turn that ends ----

    def _rescanned(self, arm: str) -> Alarm | None:
        """Bring the arm into effect for threads that were born or classed since."""
        refused = refusal(self._look_again) if self._acts else ""
        if not refused:
            return None
        self._guard.failed(arm, refused)
        return Alarm(f"{arm} has failed: {refused}", is_measured=False)

    def _look_again(self) -> None:
        self._machine.tell({name: self._classes.threads(name) for name in self._named})
        self._machine.rescan()

    def _finish(self, turn: Turn, *, is_measured: bool) -> None:
        """Reward the turn's choice, and learn from it."""
        self._record.ran(len(turn.windows))
        counted = turn.counted(self._settings.reward) if is_measured else []
        if not counted:
            self._book.settle(None, turn.gap_ns)
            return
        if self._load.add(turn.arm, counted):
            self._forget_load("the load has changed")
        costs = costs_of(counted, self._settings.reward.tasks)
        reward = self._reference.reward(costs, swapped=turn.swapped)
        if self._acts and turn.context is not None:
            self._compare(turn, costs)
            if reward is not None:
                self._learn(turn, turn.context, reward)
        if turn.arm == _EEVDF:
            self._measured_eevdf(costs)
        self._reward = reward if reward is not None else self._reward
        self._book.settle(reward, turn.gap_ns)

    def _compare(self, turn: Turn, costs: Costs) -> None:
        """Set what a turn cost against EEVDF: for the arm, and for the policy if that has chosen it."""
        subjects = [turn.arm, *([_POLICY] if turn.choice.decision else [])]
        self._pairs.add(subjects, costs, swapped=turn.swapped)

    def _measured_eevdf(self, costs: Costs) -> None:
        """Take what a turn cost as EEVDF's, and judge by the pairs that it closes."""
        self._reference.add(costs, self._clocks.monotonic())
        self._since_reference = 0
        self._pairs.close(costs)
        if self._trust.judge(self._pairs.of(_POLICY), self._default_pairs()):
            told = "is no longer" if self._trust.is_on_trial else "has been"
            self._news.append(f"the policy {told} shown to be better than the default: {self._trust.shown}")

    def _default_pairs(self) -> list[float] | None:
        default = self._settings.default
        return None if default == _EEVDF else self._pairs.of(default)

    def _learn(self, turn: Turn, context: Context, reward: float) -> None:
        """What the guard chose teaches as well: it had no choice, so its chance was 1."""
        chance = turn.choice.decision.propensity if turn.choice.decision else 1.0
        alarms = self._policy.drift.alarms
        self._policy.learn(context, turn.arm, chance, reward)
        self._record.add(turn.arm, reward)
        if self._policy.drift.alarms != alarms:
            self._record.soften()
            self._forget_load("rewards have changed, so the policy explores again")
            self._trust.withdraw()

    def _forget_load(self, why: str) -> None:
        """What EEVDF cost, and what arms were against it, is of another load."""
        self._news.append(why)
        self._reference.restart()
        self._pairs.restart(but=(_POLICY, self._settings.default))

    # ---- the turn that begins ----

    def _choose(self, context: Context, alarm: Alarm | None) -> Choice:
        barred = self._guard.barred(self._pairs)
        if self._guard.observes:
            return _forced(_EEVDF, self._guard.observes, barred)
        if alarm:
            return _forced(_EEVDF, alarm.why, barred)
        if self._acts and (why := self._why_reference()):
            return _forced(_EEVDF, why, barred)
        if self._acts and self._trust.is_on_trial and self._turn.choice.decision:
            default = self._settings.default
            arm = _EEVDF if default in barred else default
            return _forced(arm, "it is the default, and the policy has not been shown to be better yet", barred)
        return self._by_policy(context, barred)

    def _why_reference(self) -> str:
        if not self._reference.age.decisions:
            return "nothing is known of EEVDF under this load"
        if self._since_reference >= self._settings.probe_every:
            return f"EEVDF is measured again after {self._since_reference} decisions"
        return ""

    def _by_policy(self, context: Context, barred: Mapping[str, str]) -> Choice:
        worse = believed_worse(self._policy.beliefs(context)) - {_EEVDF}
        budget = self._policy.settings.budget if self._policy.learns else None
        if budget is not None and self._record.exploration_share > budget:
            spent = f"{100 * self._record.exploration_share:.0f} % of the time went to arms believed worse"
            barred = {**dict.fromkeys(worse, spent), **barred}
        decision = self._policy.decide(context, [arm for arm in self._settings.arms if arm not in barred])
        self._record.explores = decision.arm in worse
        why = by_policy(decision.propensity, self._record.view(decision.arm))
        return Choice(decision.arm, why, decision, barred=barred)

    def _begin(self, window: Window, context: Context, choice: Choice) -> Status:
        before = self._turn.arm
        gap_ns = None
        if self._acts:
            choice, gap_ns = self._act(before, choice)
        arm = choice.arm if self._acts else _EEVDF
        self._turn = Turn(choice, arm, context, swapped=arm != before, gap_ns=gap_ns)
        self._since_reference += 1
        status = self._status(window, choice, before)
        self._news.clear()
        self._book.append(self._entry(window, context, choice, arm))
        self._observer(status)
        return status

    def _act(self, before: str, choice: Choice) -> tuple[Choice, int | None]:
        """Bring the chosen arm into effect; EEVDF where that fails. Returns what runs now, and the time without it.

        Everything is put back first: a switch tries an arm in a thread, which an arm that starves others would hold.
        """
        if choice.arm == before and not (choice.guard and choice.arm == _EEVDF):
            return choice, None
        began_ns = self._clocks.monotonic()
        if refused := refusal(self._machine.restore):
            self._guard.give_up(f"what an arm has changed cannot be put back: {refused}")
            choice = _forced(_EEVDF, self._guard.observes, choice.barred)
        elif choice.arm != _EEVDF and (refused := refusal(partial(self._machine.switch, choice.arm))):
            self._guard.failed(choice.arm, refused)
            choice = _forced(_EEVDF, f"{choice.arm} has failed: {refused}", choice.barred)
        return choice, self._clocks.monotonic() - began_ns if choice.arm != before else None

    # ---- what is told ----

    def _entry(self, window: Window, context: Context, choice: Choice, arm: str) -> Entry:
        """The row of the log. A decision on paper is told as the guard's: its chances are not those of what ran."""
        chances, reason = (choice.decision.propensities if choice.decision else {}), choice.guard
        if not self._acts and choice.decision:
            chances, reason = {}, f"shadow: {choice.arm} by the policy, with chance {choice.decision.propensity:.3f}"
        moments = (self._clocks.monotonic(), self._clocks.wall(), window.window_id)
        learned = int(self._policy.counters[2])
        names = (self._settings.arms, arm, chances)
        return Entry(*moments, context, *names, reason=reason or None, policy=self._policy.name, policy_rewards=learned)

    def _status(self, window: Window, choice: Choice, before: str) -> Status:
        now_ns, cpu_ns = self._clocks.monotonic(), self._clocks.cpu()
        elapsed_ns = max(1, now_ns - self._decided_ns)
        cpu_share, self._cpu_ns, self._decided_ns = (cpu_ns - self._cpu_ns) / elapsed_ns, cpu_ns, now_ns
        mode = "observe" if self._guard.observes else self._settings.mode
        chances = choice.decision.propensities if choice.decision else {}
        return Status(
            time_ns=now_ns,
            window_id=window.window_id,
            mode=mode,
            scheduler=self._machine.in_effect(),
            running=before,
            chosen=choice.arm,
            words="; ".join((sentence(before, choice.arm, choice.why, mode), *self._news)),
            guard=choice.guard,
            features={name: value for name, value in window.features().as_dict().items() if value is not None},
            arms=self._record.views(chances, choice.barred),
            reward=self._reward,
            exploration_share=self._record.exploration_share,
            cpu_share=cpu_share,
            gap_ns=self._turn.gap_ns,
        )


def _forced(arm: str, why: str, barred: Mapping[str, str]) -> Choice:
    return Choice(arm, why, guard=why, barred=barred)
