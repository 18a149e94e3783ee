"""Windows of a recording and a policy in; which arm it would try and why out. Nothing is switched, and nothing learned.

A recording tells which scheduler the kernel ran. Attributes of threads that a ``policy:`` arm had set are not in it, so
such windows count as windows of the kernel's own scheduler.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from schedtel.agent.context import Context, context_of
from schedtel.agent.explanation import Explanation, document_of, explain
from schedtel.agent.explanation import text_of as text_of_explanation
from schedtel.agent.policies.policy import Policy
from schedtel.agent.proposal import Proposal
from schedtel.agent.proposal import text_of as text_of_proposals
from schedtel.errors import UsageError

if TYPE_CHECKING:
    from schedtel.windows.window import Window

#: Names of the kernel's own scheduler in recordings.
_KERNELS_OWN = ("eevdf", "cfs")
_DEFAULT = "eevdf"
#: Stretches of one advice that are told as text.
_MOST_TOLD = 8


@dataclass(frozen=True)
class ArmAdvice:
    """What the policy would do with an arm, and what it thinks of it: means over the windows.

    :param chance: that it would be tried.
    :param first_in: windows in which it has the largest chance.
    :param mean, low, high: the believed reward and its interval; None where it is not known.
    :param known: whether the policy has had any reward of it; true for a policy that counts none.
    """

    arm: str
    chance: float
    first_in: int
    mean: float | None
    low: float | None
    high: float | None
    known: bool


@dataclass(frozen=True)
class Stretch:
    """Windows in a row in which one arm has the largest chance: the ids of the first and the last, and how many."""

    first_id: int
    last_id: int
    windows: int
    arm: str


@dataclass(frozen=True)
class Advice:
    """What a policy advises.

    :param arms: the one with the largest chance first: that is the advice.
    :param rewards: that what the policy knows is worth.
    :param ran: the arms that ran, as far as a recording tells → windows.
    :param proposed: arms to run by themselves before that, by :func:`schedtel.agent.proposal.proposals`.
    """

    policy: str
    rewards: float
    windows: int
    ran: dict[str, int]
    arms: Sequence[ArmAdvice]
    stretches: Sequence[Stretch]
    why: Explanation
    proposed: list[Proposal]

    @property
    def arm(self) -> str:
        """The arm that would be tried most often."""
        return self.arms[0].arm


def running_arm(scheduler: str | None, arms: Sequence[str]) -> str:
    """The arm of a scheduler's name in a recording: the policy's, else an empty text.

    A sched_ext scheduler may show its version behind an underscore.
    """
    if scheduler in _KERNELS_OWN:
        return _DEFAULT if _DEFAULT in arms else ""
    name = f"scx:{scheduler}"
    return next((arm for arm in arms if name == arm or name.startswith(f"{arm}_")), "")


def advise(windows: Iterable[Window], policy: Policy, proposed: Sequence[Proposal] = ()) -> Advice:
    """What the policy would do in these windows. It is not changed.

    :param proposed: arms to run by themselves before, whatever the windows show.

    Raises :class:`UsageError` without windows.
    """
    contexts, ids = _contexts(windows, policy)
    if not contexts:
        raise UsageError("cannot advise: there is no window (record some first)")
    chances = np.array([list(policy.chances(context).values()) for context in contexts])
    first = chances.argmax(axis=1)
    arms = sorted(_arms(policy, contexts, chances, first), key=lambda one: -one.chance)
    ran: dict[str, int] = {}
    for context in contexts:
        ran[context.running] = ran.get(context.running, 0) + 1
    return Advice(
        policy.name,
        float(policy.tally.count.sum()),
        len(contexts),
        ran,
        arms,
        _stretches(ids, [policy.arms[place] for place in first]),
        explain(policy, contexts, arms[0].arm),
        list(proposed),
    )


def _contexts(windows: Iterable[Window], policy: Policy) -> tuple[list[Context], list[int]]:
    contexts, ids = [], []
    for window in windows:
        running = running_arm(window.summary["scheduler"][0].as_py(), policy.arms)
        contexts.append(context_of(window, running, policy.names))
        ids.append(int(window.summary["window_id"][0].as_py()))
    return contexts, ids


def _arms(policy: Policy, contexts: Sequence[Context], chances: np.ndarray, first: np.ndarray) -> list[ArmAdvice]:
    beliefs, counts = [policy.beliefs(context) for context in contexts], policy.tally.count
    found = []
    for place, (arm, slot) in enumerate(policy.slots().items()):
        mean, width = (float(np.mean([getattr(one[arm], name) for one in beliefs])) for name in ("mean", "width"))
        chance, times = float(chances[:, place].mean()), int((first == place).sum())
        known = bool(counts[slot] > 0 or not counts.any())
        found.append(ArmAdvice(arm, chance, times, *interval_of(mean, width), known))
    return found


def _stretches(ids: Sequence[int], arms: Sequence[str]) -> list[Stretch]:
    found = []
    for arm, group in groupby(zip(ids, arms, strict=True), key=lambda pair: pair[1]):
        its = [number for number, _ in group]
        found.append(Stretch(its[0], its[-1], len(its), arm))
    return found


# ---- for a person and for JSON ----


def interval_of(mean: float, width: float) -> tuple[float | None, float | None, float | None]:
    """A mean and the ends of its interval; three times None where the width is not known."""
    return (mean, mean - width, mean + width) if math.isfinite(width) else (None, None, None)


def cost_text(mean: float | None, low: float | None, high: float | None) -> str:
    """A reward and its interval as a change of the cost in percent: ``-39.3 % [-45.1, -33.0]``."""
    if mean is None or low is None or high is None:
        return "not known"
    middle, least, most = (100 * math.expm1(min(50.0, 0.0 - value)) for value in (mean, high, low))
    return f"{middle:+.1f} % [{least:+.1f}, {most:+.1f}]"


def text_of(advice: Advice) -> list[str]:
    """The advice as lines; the texts of arms are as they are."""
    ran = ", ".join(f"{arm or 'another scheduler'} in {count}" for arm, count in advice.ran.items())
    windows = "1 window" if advice.windows == 1 else f"{advice.windows} windows"
    lines = [f"{windows} ({ran}); policy {advice.policy}, which knows what {advice.rewards:.0f} rewards teach", ""]
    rows = [["arm", "would be tried", "first in", "believed cost against the default"]]
    for one in advice.arms:
        cost = cost_text(one.mean, one.low, one.high) if one.known else "not known: the policy has not seen it"
        rows.append([one.arm, f"{100 * one.chance:.1f} %", f"{one.first_in} of {advice.windows}", cost])
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines += ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += ["", *text_of_proposals(advice.proposed), f"{'then' if advice.proposed else 'advice'}: {_verdict(advice)}"]
    lines += text_of_explanation(advice.why)
    if len(advice.stretches) > 1:
        told = advice.stretches[:_MOST_TOLD]
        lines += ["", "over time:", *(f"  {_span(one)}: {one.arm}" for one in told)]
        if len(advice.stretches) > len(told):
            lines.append(f"  … {len(advice.stretches) - len(told)} stretches more (--format json has them)")
    return lines


def _verdict(advice: Advice) -> str:
    best, default = advice.arms[0], next((one for one in advice.arms if one.arm == _DEFAULT), None)
    if best is default:
        return f"stay with {best.arm}"
    needs = " (it needs a kernel with sched_ext)" if best.arm.startswith("scx:") else ""
    if best.low is not None and best.known and best.low > 0:
        return f"try {best.arm}{needs}: it is believed to be better than the default"
    return f"try {best.arm}{needs}, to learn: that it is better than the default is not known"


def _span(one: Stretch) -> str:
    return f"window {one.first_id}" if one.windows == 1 else f"windows {one.first_id} to {one.last_id}"


def table_of(advice: Advice) -> dict[str, Any]:
    """The advice for JSON."""
    return {
        "policy": advice.policy,
        "rewards": advice.rewards,
        "windows": advice.windows,
        "ran": advice.ran,
        "proposed": [asdict(one) for one in advice.proposed],
        "advice": advice.arm,
        "arms": [asdict(one) for one in advice.arms],
        "stretches": [asdict(one) for one in advice.stretches],
        "why": document_of(advice.why),
    }
