"""What an agent sees, thinks and has done in a window, for a view of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ArmView:
    """What the agent thinks of an arm.

    :param mean, low, high: the believed reward and its interval; None where nothing is known.
    :param decisions: how often it was run.
    :param propensity: the chance that it had in the last decision; None where a guard decided.
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
    """The agent after a window.

    :param time_ns: CLOCK_MONOTONIC.
    :param mode: ``act``, ``dry-run``, ``shadow`` or ``observe``.
    :param scheduler: as the kernel says.
    :param running: the arm that ran in the window.
    :param chosen: the arm that was chosen for the next one.
    :param words: what it did and why, one sentence.
    :param guard: why the guard decided; empty if it did not.
    :param features: those that the policy sees, by name.
    :param reward: of the last decision that has one; None before.
    :param exploration_share: part of the decisions that went to arms believed worse.
    :param cpu_share: CPU time of the agent, as a part of one CPU.
    :param gap_ns: time without the arm at the last swap; None before.
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
