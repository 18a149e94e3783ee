"""The card of the policy that ships in; the arm to run by itself first, whatever the load, and its figures out.

The card tells what each arm has cost over the workloads of an experiment. The arm that is proposed is the one that is
surest to cost less than the default: the upper end of its interval is the lowest, and below 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from schedtel.agent.cold_start import card
from schedtel.host.sched_ext import read_state
from schedtel.schedulers import sched_ext

_SCX = "scx:"


@dataclass(frozen=True)
class Proposal:
    """An arm that cost less than the default in an experiment, under loads of every kind.

    :param value, low, high: its cost against the default's in percent, and the 95 % interval over workloads.
    :param better_in: in how many of the workloads it cost less.
    :param worst: the workload in which it cost most, and ``worst_percent`` how much against the default.
    :param missing: why this machine cannot have it; empty where it can.
    """

    arm: str
    experiment: str
    workloads: int
    better_in: int
    value: float
    low: float
    high: float
    worst: str
    worst_percent: float
    missing: str = ""


def missing_here(arm: str) -> str:
    """Why this machine cannot have an arm: no sched_ext, or no such scheduler. Empty for all others."""
    if not arm.startswith(_SCX):
        return ""
    if read_state() is None:
        return "its kernel has no sched_ext"
    name = arm.removeprefix(_SCX)
    return "" if name in sched_ext.installed() else f"no program scx_{name} is on the path"


def proposals(
    arms: Iterable[str], missing: Callable[[str], str] = lambda _: "", said: dict[str, Any] | None = None
) -> list[Proposal]:
    """The arm to run by itself first; where it is missing, the best of those that are not comes after it.

    :param arms: what may be chosen.
    :param missing: why an arm cannot be had, or an empty text.
    :param said: a card; None: that of the policy that ships.
    """
    wanted = set(arms)
    known = [one for one in _known(said or card()) if one.arm in wanted and one.high < 0]
    ranked = [replace(one, missing=missing(one.arm)) for one in sorted(known, key=lambda one: one.high)]
    return [*ranked[:1], *[one for one in ranked[1:] if ranked[0].missing and not one.missing][:1]]


def _known(said: dict[str, Any]) -> Iterator[Proposal]:
    for experiment in said["experiments"]:
        for arm, figures in experiment["by_itself_percent"].items():
            yield Proposal(arm, experiment["title"], len(experiment["workloads"]), **figures)


def text_of(found: list[Proposal]) -> list[str]:
    """The proposals as lines; the texts of arms are as they are."""
    return [line for label, one in zip(("first: ", "here: "), found, strict=False) for line in _told(label, one)]


def _told(label: str, one: Proposal) -> Iterator[str]:
    yield (
        f"{label}{one.arm} by itself: {one.value:+.1f} % [{one.low:+.1f}, {one.high:+.1f}] against the default, "
        f"less in {one.better_in} of {one.workloads} workloads, at worst {one.worst_percent:+.0f} % in {one.worst} "
        f"({one.experiment})"
    )
    if one.missing:
        yield f"  this machine cannot have it: {one.missing}"
