"""A policy, contexts and an arm in; which features speak for that arm rather than for another, out.

Where the score of an arm is a sum over its inputs, as in a ridge or a logistic regression, what a feature adds is
exact: its weight times its scaled value, its mark included. The differences of all inputs add up to the difference of
the two scores. Elsewhere each feature in turn is put at its centre, and what the arm's chance loses by it is told; such
differences do not add up.

Over several contexts everything is a mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from schedtel.agent.context import Context
from schedtel.agent.policies.policy import Policy
from schedtel.durations import format_duration
from schedtel.errors import UsageError
from schedtel.windows.features import FEATURES, FeatureVector

#: How an explanation was made.
EXACT, LEFT_OUT = "exact", "left out"
#: Names of the inputs that are no features.
ALWAYS, RUNNING = "without any feature", "the arm that ran before"


@dataclass(frozen=True)
class Cause:
    """What one input says.

    :param value: of the feature; None where it is missing, and for the two inputs that are no features.
    :param away: how far the value is from the feature's centre, in its scales.
    :param chosen, other: what it adds to the scores of the two arms.
    """

    name: str
    value: float | None
    away: float
    chosen: float
    other: float

    @property
    def difference(self) -> float:
        """How far it speaks for the arm in question."""
        return self.chosen - self.other


@dataclass(frozen=True)
class Explanation:
    """Why an arm rather than another.

    :param how: ``exact``: scores are sums of the causes; ``left out``: the scores are chances, and a cause is what the
        chance loses without the feature.
    :param chosen_score, other_score: of the two arms.
    :param causes: those that speak most for the chosen arm first.
    """

    how: str
    chosen: str
    other: str
    chosen_score: float
    other_score: float
    causes: Sequence[Cause]


def explain(
    policy: Policy, contexts: Sequence[Context], chosen: str, among: Sequence[str] | None = None
) -> Explanation:
    """Why this arm rather than the one with the best score of the others.

    :param contexts: at least one.
    :param among: the arms that were allowed; None: all of the policy's.

    Raises :class:`UsageError` for an arm that the policy has not, and for other features.
    """
    if chosen not in policy.arms:
        raise UsageError(f"cannot explain arm {chosen[:60]!r}: the policy has {', '.join(policy.arms)[:200]}")
    allowed = [arm for arm in policy.arms if among is None or arm in among or arm == chosen]
    parts = [policy.contributions(context) for context in contexts]
    known = [part for part in parts if part is not None]
    found = _exact(policy, contexts, known, chosen, allowed) if known else _left_out(policy, contexts, chosen, allowed)
    return replace(found, causes=sorted(found.causes, key=lambda cause: -cause.difference))


def _exact(
    policy: Policy, contexts: Sequence[Context], parts: Sequence[np.ndarray], chosen: str, allowed: Sequence[str]
) -> Explanation:
    means = dict(zip(policy.arms, np.mean(parts, axis=0), strict=True))
    scores = {arm: float(means[arm].sum()) for arm in allowed}
    other = _best_other(scores, chosen)
    ours, theirs = (_by_input(means[arm], len(policy.names)) for arm in (chosen, other))
    values, away = _seen(policy, contexts)
    named = zip((ALWAYS, *policy.names, RUNNING), (None, *values, None), (0.0, *away, 0.0), ours, theirs, strict=True)
    return Explanation(EXACT, chosen, other, scores[chosen], scores[other], [Cause(*each) for each in named])


def _best_other(scores: dict[str, float], chosen: str) -> str:
    """The arm with the best score besides; the arm itself, where it is alone."""
    return max((arm for arm in scores if arm != chosen), key=scores.__getitem__, default=chosen)


def _by_input(parts: np.ndarray, features: int) -> list[float]:
    """What is added by the constant, by each feature with its mark, and by the arm that runs."""
    values, marks, running = np.split(parts[1:], [features, 2 * features])
    return [float(parts[0]), *(values + marks).tolist(), float(running.sum())]


def _seen(policy: Policy, contexts: Sequence[Context]) -> tuple[list[float | None], list[float]]:
    """The mean of each feature where it is known, and the mean of how far it is from its centre."""
    values = np.array([context.features.values for context in contexts])
    known = ~np.array([context.features.mask for context in contexts])
    count = known.sum(axis=0)
    means = (values * known).sum(axis=0) / np.maximum(count, 1)
    scaled = np.zeros((len(contexts), policy.scaler.size))
    for row, context in zip(scaled, contexts, strict=True):
        policy.scaler.scaled(context.features, row)
    shown = [float(mean) if n else None for mean, n in zip(means, count, strict=True)]
    return shown, scaled.mean(axis=0)[: len(policy.names)].tolist()


def _left_out(policy: Policy, contexts: Sequence[Context], chosen: str, allowed: Sequence[str]) -> Explanation:
    before = _chances(policy, contexts, allowed)
    other = _best_other(before, chosen)
    values, away = _seen(policy, contexts)
    causes = []
    for place, name in enumerate(policy.names):
        after = _chances(policy, [_without(policy, context, place) for context in contexts], allowed)
        lost = (before[arm] - after[arm] for arm in (chosen, other))
        causes.append(Cause(name, values[place], away[place], *lost))
    return Explanation(LEFT_OUT, chosen, other, before[chosen], before[other], causes)


def _chances(policy: Policy, contexts: Sequence[Context], allowed: Sequence[str]) -> dict[str, float]:
    rows = [policy.chances(context, allowed) for context in contexts]
    return {arm: float(np.mean([row[arm] for row in rows])) for arm in allowed}


def _without(policy: Policy, context: Context, place: int) -> Context:
    """The context with one feature at its centre, as if it said nothing."""
    vector, centre = context.features, float(policy.scaler.centre[place])
    values, mask = vector.values.copy(), vector.mask.copy()
    values[place], mask[place] = np.copysign(np.expm1(abs(centre)), centre), False
    return replace(context, features=FeatureVector(vector.names, values, mask, vector.version))


# ---- for a person ----

_UNITS = {feature.name: feature.unit for feature in FEATURES}
#: Causes that are told one by one; the rest is summed.
_MOST_TOLD = 6


def text_of(explanation: Explanation, what: str = "reward") -> list[str]:
    """The explanation as lines; the texts of arms are as they are.

    :param what: what the scores are, where they are sums.
    """
    e = explanation
    if not any(cause.difference for cause in e.causes):
        return ["no feature moved the choice: the policy does not look at any, or knows nothing of them yet"]
    told = sorted(e.causes, key=lambda cause: -abs(cause.difference))[:_MOST_TOLD]
    lines = [f"for {e.chosen}, rather than {e.other}:" if e.how == EXACT else f"for {e.chosen}:"]
    lines += [f"  {_size(e, cause):+.3f}  {_told(cause)}" for cause in sorted(told, key=lambda c: -_size(e, c))]
    if e.how != EXACT:
        return [*lines, f"  of a chance of {e.chosen_score:.3f}: what it loses where that feature is as usual"]
    rest = e.chosen_score - e.other_score - sum(cause.difference for cause in told)
    if len(e.causes) > len(told):
        lines.append(f"  {rest:+.3f}  {len(e.causes) - len(told)} others together")
    return [
        *lines,
        f"  {e.chosen_score - e.other_score:+.3f}  in {what}: {e.chosen_score:+.3f} and {e.other_score:+.3f}",
    ]


def _size(explanation: Explanation, cause: Cause) -> float:
    return cause.difference if explanation.how == EXACT else cause.chosen


def _told(cause: Cause) -> str:
    if cause.name in (ALWAYS, RUNNING):
        return cause.name
    if cause.value is None:
        return f"{cause.name} is not known"
    side = "above" if cause.away >= 0 else "below"
    value = format_duration(cause.value) if _UNITS.get(cause.name) == "ns" else f"{cause.value:.4g}"
    return f"{cause.name} = {value}, {abs(cause.away):.1f} scales {side} what is usual"


def document_of(explanation: Explanation) -> dict[str, object]:
    """The explanation for JSON."""
    e = explanation
    return {
        "how": e.how,
        "chosen": e.chosen,
        "other": e.other,
        "chosen_score": e.chosen_score,
        "other_score": e.other_score,
        "causes": [vars(cause) | {"difference": cause.difference} for cause in e.causes],
    }
