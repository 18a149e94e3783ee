"""An agent's view at one decision in; one line for a person out."""

from __future__ import annotations

import math
from collections.abc import Mapping

from schedtel.agent.status import ArmView, Status
from schedtel.durations import format_duration

#: Features that a line tells, where they are known, and their names in it.
_SEEN = (
    ("wakeup_wait_p99_ns", "p99 wakeup wait"),
    ("burst_tat_mean_ns", "burst TAT"),
    ("tat_mean_ns", "TAT"),
    ("runqueue_length_avg", "waiting"),
)


def line_of(status: Status) -> str:
    """What it saw, what it thinks of each arm, what it did and why."""
    seen = ", ".join(_seen(status.features)) or "nothing"
    return f"window {status.window_id}: saw {seen} | {'; '.join(map(_thought, status.arms))} | {status.words}"


def _seen(features: Mapping[str, float]) -> list[str]:
    known = [(name, said) for name, said in _SEEN if name in features]
    return [f"{said} {_number(name, features[name])}" for name, said in known]


def _number(name: str, value: float) -> str:
    return format_duration(value) if name.endswith("_ns") else f"{value:.1f}"


def _thought(view: ArmView) -> str:
    if view.barred:
        return f"{view.arm} barred ({view.barred})"
    if view.mean is None:
        return f"{view.arm} unknown"
    interval = "" if view.low is None or view.high is None else f" [{view.low:+.2f}, {view.high:+.2f}]"
    return f"{view.arm} {view.mean:+.2f}{interval}"


def sentence(before: str, chosen: str, why: str, mode: str) -> str:
    """What was done, or would have been, and why."""
    if mode in ("dry-run", "shadow"):
        return f"would run {chosen}: {why}"
    if mode == "observe":
        return f"only observes: {why}"
    done = f"stays with {chosen}" if before == chosen else f"switches to {chosen}"
    return f"{done}: {why}"


def by_policy(chance: float, view: ArmView) -> str:
    """Why a policy's arm was chosen."""
    said = f"the policy gives it {100 * chance:.0f} %"
    if view.mean is None:
        return f"{said}, and nothing is known of it yet"
    side = "below" if view.mean >= 0 else "above"
    return f"{said}; so far its cost is {100 * _saved(view.mean):.0f} % {side} that of EEVDF"


def _saved(reward: float) -> float:
    """The part of EEVDF's cost by which a reward's cost is lower, or higher."""
    return abs(math.expm1(-reward))
