"""A log of decisions and another policy in; what that policy would have earned, beside yardsticks, out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from schedtel.agent.context import Scaler
from schedtel.agent.estimates import (
    BATCHES,
    CONFIDENCE,
    Estimate,
    Estimates,
    doubly_robust,
    estimate_of,
    estimates,
    predicted_rewards,
)
from schedtel.agent.log import Entry
from schedtel.agent.policies.policy import Policy
from schedtel.agent.policies.protocol import Settings
from schedtel.agent.policies.registry import policy_of
from schedtel.errors import UsageError
from schedtel.foreign_text import Printable

#: An estimate of fewer rows' worth, or with more of its chances unknown, is not to be trusted.
LEAST_ESS, MOST_WITHOUT_SUPPORT = 30, 0.01
#: scx_loader waits for so long with a busy CPU.
_BUSY_NS = 5_000_000_000
#: Yardsticks take the arm that they name, and no other.
_PURE = Settings(floor=0.0, budget=None, drift=False)


@dataclass(frozen=True)
class Judged:
    """A policy and what it would have earned."""

    name: str
    estimates: Estimates

    @property
    def trusted(self) -> bool:
        """Whether enough of the log says something about it."""
        e = self.estimates
        return e.ess >= LEAST_ESS and e.without_support <= MOST_WITHOUT_SUPPORT


@dataclass(frozen=True)
class Evaluation:
    """What a log says.

    :param rows: decisions that count.
    :param guarded: decisions of a guard, which have no propensities.
    :param unrewarded: decisions whose reward is not known.
    :param judged: the policy in question first, if there is one; then what was logged, the best static arm, each arm,
        random, and the rule of scx_loader where the log has what it needs.
    """

    rows: int
    guarded: int
    unrewarded: int
    judged: Sequence[Judged]


@dataclass(frozen=True, eq=False)
class Regret:
    """What the best static arm would have earned more than what was logged.

    :param rows: for each decision that counts, by the doubly robust estimate.
    :param mean: a decision, with an interval as wide as the best of all arms needs.
    """

    arm: str
    rows: np.ndarray
    mean: Estimate


class Evaluator:
    """A log that policies are judged by.

    :param entries: as :func:`schedtel.agent.log.read_log` has them.

    Raises :class:`UsageError` for a log without propensities or without chance, with too few rewards, or too many arms.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._refuse_without_propensities(entries)
        self.guarded = sum(not entry.propensities for entry in entries)
        drawn = [entry for entry in entries if entry.propensities]
        self.entries = [entry for entry in drawn if entry.reward is not None]
        self.unrewarded = len(drawn) - len(self.entries)
        if len(self.entries) < BATCHES:
            raise UsageError(
                f"cannot evaluate by {len(self.entries)} decisions with a reward: {BATCHES} are needed (log more)"
            )
        self.arms = tuple(dict.fromkeys(arm for entry in self.entries for arm in entry.arms))
        self._column = {arm: number for number, arm in enumerate(self.arms)}
        self._logged = np.array([self._row(entry.propensities) for entry in self.entries])
        self._arm = np.array([self._column[entry.arm] for entry in self.entries])
        self._reward = np.array([float(entry.reward or 0) for entry in self.entries])
        self._predicted = predicted_rewards(self._inputs(), self._arm, self._reward, len(self.arms))

    @staticmethod
    def _refuse_without_propensities(entries: Sequence[Entry]) -> None:
        drawn = [entry for entry in entries if entry.propensities]
        if not drawn:
            raise UsageError(
                "cannot evaluate: no decision has propensities (log those of a policy that draws its arms)"
            )
        if all(entry.propensity == 1 for entry in drawn) and any(len(entry.propensities) > 1 for entry in drawn):
            raise UsageError(
                "cannot evaluate: nothing was left to chance, every propensity is 1 (log a policy with a floor above 0)"
            )

    def _row(self, chances: Mapping[str, float]) -> list[float]:
        return [chances.get(arm, 0.0) for arm in self.arms]

    def _inputs(self) -> np.ndarray:
        """1, the scaled features and their marks, and which arm ran before: shape (rows, inputs)."""
        scaler = Scaler(len(self.entries[0].context.features))
        for entry in self.entries:
            scaler.add(entry.context.features)
        x = np.zeros((len(self.entries), 1 + scaler.size + len(self.arms)))
        x[:, 0] = 1
        for row, entry in zip(x, self.entries, strict=True):
            scaler.scaled(entry.context.features, row[1 : 1 + scaler.size])
            if entry.context.running in self._column:
                row[1 + scaler.size + self._column[entry.context.running]] = 1
        return x

    def judge(self, name: str, policy: Policy, *, learn: bool = False, confidence: float = CONFIDENCE) -> Judged:
        """What a policy would have earned.

        :param learn: let it learn from each row, after it was judged there; then it is changed.

        Raises :class:`UsageError` for a policy with other features, or without an arm of the log.
        """
        target = np.zeros_like(self._logged)
        for number, entry in enumerate(self.entries):
            target[number] = self._row(policy.chances(entry.context, list(entry.propensities)))
            if learn:
                policy.learn(entry.context, entry.arm, entry.propensities[entry.arm], float(entry.reward or 0))
        return Judged(name, self._estimates(target, confidence))

    def _estimates(self, target: np.ndarray, confidence: float = CONFIDENCE) -> Estimates:
        return estimates(target, self._logged, self._arm, self._reward, self._predicted, confidence)

    def yardsticks(self, busy_arm: str | None = None) -> list[Judged]:
        """What was logged, the best static arm in hindsight, each arm, random, and the rule of scx_loader.

        The best arm is the best of several, so its interval is as wide as all arms' together need (Bonferroni).

        :param busy_arm: the arm that the rule takes where a CPU is busy; None: the last one.

        Raises :class:`UsageError` for an arm that is not in the log.
        """
        names = self.entries[0].context.features.names
        confidence = self._confidence_of_the_best
        fixed = {arm: policy_of("fixed", self.arms, names, _PURE, {"arm": arm}) for arm in self.arms}
        wide = {arm: self.judge(arm, policy, confidence=confidence) for arm, policy in fixed.items()}
        best = max(wide, key=lambda arm: wide[arm].estimates.dr.value)
        found = [Judged("as logged", self._estimates(self._logged))]
        found.append(Judged(f"best static arm: {best}", wide[best].estimates))
        found += [self.judge(f"always {arm}", policy) for arm, policy in fixed.items()]
        found.append(self.judge("random", policy_of("random", self.arms, names, _PURE)))
        if any(entry.context.busiest_cpu is not None for entry in self.entries):
            found.append(self._rule(busy_arm or self.arms[-1]))
        return found

    @property
    def _confidence_of_the_best(self) -> float:
        """Of an interval that is to hold for the best of all arms (Bonferroni)."""
        return 1 - (1 - CONFIDENCE) / len(self.arms)

    def regret(self) -> Regret:
        """What the best static arm in hindsight would have earned more, decision by decision."""
        earned = {}
        for place, arm in enumerate(self.arms):
            target = np.zeros_like(self._logged)
            target[:, place] = 1
            earned[arm] = doubly_robust(target, self._logged, self._arm, self._reward, self._predicted)
        best = max(earned, key=lambda arm: float(earned[arm].mean()))
        rows = earned[best] - self._reward
        return Regret(best, rows, estimate_of(rows, self._confidence_of_the_best))

    def _rule(self, busy_arm: str) -> Judged:
        if busy_arm not in self.arms:
            raise UsageError(
                f"cannot use arm {busy_arm[:60]!r} where a CPU is busy: the log has {', '.join(self.arms)}"
            )
        times = np.array([entry.time_ns for entry in self.entries])
        apart_ns = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        windows = max(1, math.ceil(_BUSY_NS / apart_ns)) if apart_ns > 0 else 1
        options = {"calm": self.arms[0], "busy": busy_arm, "windows": windows}
        names = self.entries[0].context.features.names
        policy = policy_of("busy-cpu", self.arms, names, _PURE, options)
        return self.judge(f"busy-cpu rule: {self.arms[0]}, or {busy_arm}", policy, learn=True)


def evaluate(
    entries: Sequence[Entry],
    policy: Callable[[Evaluator], Policy] | None = None,
    name: str = "policy",
    *,
    learn: bool = False,
    busy_arm: str | None = None,
) -> Evaluation:
    """Judge a policy by a log, and the yardsticks beside it.

    :param policy: makes it, for the arms and features of the log; None: only the yardsticks.

    Raises the errors of :class:`Evaluator`.
    """
    log = Evaluator(entries)
    judged = [log.judge(name, policy(log), learn=learn)] if policy else []
    return Evaluation(len(log.entries), log.guarded, log.unrewarded, [*judged, *log.yardsticks(busy_arm)])


def text_of(evaluation: Evaluation) -> str:
    """The evaluation for a person: a line a policy, the doubly robust estimate as the cost that it stands for."""
    rows = [["", "DR, against default", "IPS", "SNIPS", "effective rows"]]
    for one in evaluation.judged:
        e = one.estimates
        middle, low, high = (100 * math.expm1(-min(50.0, v)) for v in (e.dr.value, e.dr.high, e.dr.low))
        mark = "" if one.trusted else " ?"
        cost = f"{middle:+.1f} % [{low:+.1f}, {high:+.1f}]{mark}"
        rows.append([str(Printable(one.name)), cost, f"{e.ips.value:+.3f}", f"{e.snips.value:+.3f}", f"{e.ess:.0f}"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    counted = f"{evaluation.rows} decisions count"
    left = [
        f"{count} {what}"
        for count, what in ((evaluation.guarded, "of a guard"), (evaluation.unrewarded, "without a reward"))
        if count
    ]
    notes = [f"{counted}; left out: {', '.join(left)}" if left else counted]
    if not all(one.trusted for one in evaluation.judged):
        notes.append(
            f"? too little of the log is like it: fewer than {LEAST_ESS} effective rows, or arms without a chance"
        )
    return "\n".join([*lines, *notes])
