"""A log and one of its decisions in; the policy as it was then, and why it chose so, out.

A log has what a policy saw and was told, and not what it had learned. So a policy is made to learn the rewards of all
decisions before that one again. It is the one that decided if it began with the same knowledge and settings; the chance
that it gives the arm, beside the one in the log, tells whether it is. Unless it is said what it began with, that was
nothing, or what the policy that ships knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from schedtel.agent.advice import cost_text, interval_of
from schedtel.agent.cold_start import PRETRAINED, policy_for
from schedtel.agent.explanation import Explanation, document_of, explain
from schedtel.agent.explanation import text_of as text_of_explanation
from schedtel.agent.log import Entry
from schedtel.agent.policies.policy import Policy
from schedtel.agent.policies.protocol import Belief
from schedtel.agent.policies.registry import POLICIES
from schedtel.errors import UsageError

#: Chances that differ by more are not those of the same policy.
_SAME = 0.01
LAST = "last"


@dataclass(frozen=True)
class Decided:
    """A decision and why it was made.

    :param number: of the decision in its log, from 1; ``count`` is how many there are.
    :param began: what the policy was before: a name, or a file.
    :param learned: rewards of the log that the policy had learned before.
    :param chances: those that the policy gives the arms when it is made anew; None where a guard decided, as are the
        others.
    """

    entry: Entry
    number: int
    count: int
    policy: str
    began: str
    learned: int
    chances: Mapping[str, float] | None = None
    beliefs: dict[str, Belief] | None = None
    why: Explanation | None = None

    @property
    def chance(self) -> float | None:
        """The chance of the arm that ran, by the policy that was made anew."""
        return None if self.chances is None else self.chances[self.entry.arm]

    @property
    def is_same(self) -> bool:
        """Whether the policy that was made anew gives the arms the chances that the log says they had."""
        chances, logged = self.chances, self.entry.propensities
        return chances is not None and all(abs(chances[arm] - logged[arm]) <= _SAME for arm in logged)


def number_of(text: str, count: int) -> int:
    """The number of a decision, from 1, that a text names: digits, or ``last``. Raises :class:`UsageError`."""
    if text == LAST:
        return count
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0
    if not 1 <= number <= count:
        raise UsageError(f"cannot explain decision {text[:20]!r}: the log has {count} (name 1 to {count}, or {LAST})")
    return number


def decided(entries: Sequence[Entry], number: int, which: str | None = None) -> Decided:
    """Why a decision was made.

    :param number: of the decision, from 1.
    :param which: the policy before the log's first decision: ``pretrained``, a name, or a file; None: the log's, which
        knew nothing, or else the one that ships, if it gives the chance that was logged.

    Raises :class:`UsageError` where the policy cannot be had, or sees other features than the log has.
    """
    entry = entries[number - 1]
    name = which or entry.policy
    if not entry.propensities:
        return Decided(entry, number, len(entries), entry.policy, "", 0)
    if which is None and name not in POLICIES:
        raise UsageError(
            f"cannot explain a decision of policy {name[:60]!r}: there is none of this name (use --policy)"
        )
    found = _again(entries, number, name)
    if which is None and not found.is_same:
        with suppress(UsageError):
            other = _again(entries, number, PRETRAINED)
            return other if other.is_same else found
    return found


def _again(entries: Sequence[Entry], number: int, which: str) -> Decided:
    """The decision by a policy that has learned again what was known before it."""
    entry = entries[number - 1]
    policy = policy_for(which, entry.arms, entry.context.features.names)
    learned = _learn(policy, entries[: number - 1])
    allowed = list(entry.propensities)
    return Decided(
        entry,
        number,
        len(entries),
        policy.name,
        which,
        learned,
        policy.chances(entry.context, allowed),
        policy.beliefs(entry.context),
        explain(policy, [entry.context], entry.arm, allowed),
    )


def _learn(policy: Policy, entries: Sequence[Entry]) -> int:
    """Let a policy decide and learn as in these decisions; returns how many rewards it was told."""
    known = [entry for entry in entries if entry.propensities and entry.arm in policy.arms]
    for entry in known:
        policy.decide(entry.context, [arm for arm in entry.propensities if arm in policy.arms])  # budgets count these
        if entry.reward is not None:
            policy.learn(entry.context, entry.arm, entry.propensities[entry.arm], entry.reward)
    return sum(entry.reward is not None for entry in known)


# ---- for a person and for JSON ----


def text_of(found: Decided) -> list[str]:
    """The decision and its causes as lines; the texts of arms and reasons are as they are."""
    entry = found.entry
    head = f"decision {found.number} of {found.count}, window {entry.window_id}, {entry.moment:%Y-%m-%d %H:%M:%S} UTC"
    lines = [f"{head}: {entry.arm}", f"  {entry.context.running or 'another scheduler'} ran before"]
    if found.why is None:
        return [*lines, f"  a guard decided: {entry.reason or 'it did not say why'}", *_outcome(entry)]
    lines += _chances(found)
    if entry.reason:
        lines.append(f"  a guard stepped in afterwards: {entry.reason}")
    return [*lines, *_outcome(entry), "", *_beliefs(found), "", *text_of_explanation(found.why, _SCORES[found.policy])]


#: What the scores of a policy are.
_SCORES = dict.fromkeys(POLICIES, "reward") | {"classifier": "logit"}


def _chances(found: Decided) -> list[str]:
    logged, chance = found.entry.propensity or 0.0, found.chance or 0.0
    knew = "nothing" if found.began in POLICIES else found.began
    again = f"{found.policy} that knew {knew}, and has learned {found.learned} rewards of the log again"
    lines = [f"  its chance was {_percent(logged)}; {again}, gives it {_percent(chance)}"]
    if not found.is_same:
        lines.append("  so it is not the policy that decided: name what that one began with by --policy")
    return lines


def _outcome(entry: Entry) -> list[str]:
    if entry.reward is None:
        return ["  its reward is not known"]
    return [f"  it earned {entry.reward:+.3f}"]


def _beliefs(found: Decided) -> list[str]:
    rows = [["", "chance", "believed cost against the default"]]
    for arm, belief in sorted((found.beliefs or {}).items(), key=lambda item: -item[1].mean):
        chance = found.entry.propensities.get(arm)
        cost = cost_text(*interval_of(belief.mean, belief.width))
        rows.append([arm, "barred" if chance is None else _percent(chance), cost])
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def table_of(found: Decided) -> dict[str, Any]:
    """The decision for JSON; a width that is not known is null."""
    entry = found.entry
    beliefs = {
        arm: {name: value if value < float("inf") else None for name, value in asdict(belief).items()}
        for arm, belief in (found.beliefs or {}).items()
    }
    return {
        "decision": found.number,
        "decisions": found.count,
        "window_id": entry.window_id,
        "wall_time_ns": entry.wall_time_ns,
        "arm": entry.arm,
        "running": entry.context.running,
        "propensity": entry.propensity,
        "reward": entry.reward,
        "guard": entry.reason,
        "policy": found.policy,
        "began_with": found.began,
        "learned_again": found.learned,
        "propensity_again": found.chance,
        "is_the_same_policy": found.is_same,
        "beliefs": beliefs,
        "why": None if found.why is None else document_of(found.why),
    }
