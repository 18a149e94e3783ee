"""What an agent sees, thinks and did at one decision: what its loop hands to an observer, and a view shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ArmView:
    """What is thought of an arm.

    :param mean: mean reward in the current regime, 0 being that of EEVDF; None before the first.
    :param low: lower end of an interval of 95 % for it; None where it is not known.
    :param high: its upper end.
    :param decisions: windows of this arm that were rewarded.
    :param propensity: its chance at this decision; None where it was not allowed, and where a guard decided.
    :param barred: why it may not be taken now; empty if it may.
    """

    arm: str
    mean: float | None
    low: float | None
    high: float | None
    decisions: int
    propensity: float | None
    barred: str


@dataclass(frozen=True)
class Status:
    """An agent's view, once a decision.

    :param time_ns: when it was decided, CLOCK_MONOTONIC.
    :param window_id: the window that it was decided by.
    :param mode: ``act``, ``dry-run``, ``shadow`` or ``observe``.
    :param scheduler: the scheduler in effect, as the kernel says.
    :param running: the arm that ran in the window; empty if none of the agent's did.
    :param chosen: the arm that was chosen for the next window.
    :param words: what was done and why, as one sentence.
    :param guard: why the guard decided in the policy's place; empty if it did not.
    :param features: those that are known of the window, by name.
    :param arms: what is thought of each arm, in their order.
    :param reward: of the newest decision that has one; None before the first.
    :param exploration_share: the part of the time that was spent on arms believed worse than the best.
    :param cpu_share: the part of one CPU that the agent itself used since the decision before.
    :param gap_ns: time without the arm while it was put in place; None where nothing was switched.
    """

    time_ns: int
    window_id: int
    mode: str
    scheduler: str
    running: str
    chosen: str
    words: str
    guard: str
    features: Mapping[str, float]
    arms: Sequence[ArmView]
    reward: float | None
    exploration_share: float
    cpu_share: float
    gap_ns: int | None
