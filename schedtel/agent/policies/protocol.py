"""What policies are given and what they say: settings, a view of a context, a decision, a belief."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from schedtel.agent.context import Context
from schedtel.agent.policies.tally import Memory
from schedtel.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """What every policy has.

    :param floor: part of all decisions that are drawn evenly from the allowed arms, 0 to 1.
    :param budget: part of all decisions that may fall on arms believed worse than the best: whose interval lies below
        its mean. None: any part.
    :param seed: of the draws.
    :param drift: whether the policy watches its errors, and explores again when they have changed.
    :param memory: how rewards are forgotten.

    Raises :class:`UsageError` for values outside, and for a floor above the budget.
    """

    floor: float = 0.02
    budget: float | None = 0.05
    seed: int = 0
    drift: bool = True
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        for name, value in (("floor", self.floor), ("budget", self.budget)):
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"cannot use a {name} of {value}: it is a part of all decisions (0 to 1)")
        if self.budget is not None and self.floor > self.budget:
            raise UsageError(
                f"cannot keep to a budget of {self.budget} with a floor of {self.floor}: the floor alone would spend "
                "more (lower the floor, or raise the budget)"
            )
        if not 0 <= self.seed < 1 << 64:
            raise UsageError(f"cannot draw with seed {self.seed}: it must be 0 to 2^64 - 1")


#: The settings of a policy that is given none.
USUAL = Settings()


@dataclass(frozen=True)
class Decision:
    """An arm, the chance with which it was drawn, and the chances of all arms that were allowed, by name."""

    arm: str
    propensity: float
    propensities: Mapping[str, float]


@dataclass(frozen=True)
class Belief:
    """What a policy thinks of an arm in a context: the mean reward, and how far the truth may lie from it (95 %)."""

    mean: float
    width: float


class View(NamedTuple):
    """What chances are made of: the context and its numbers, the allowed slots, and what is believed of each."""

    context: Context
    x: np.ndarray
    slots: np.ndarray
    means: np.ndarray
    widths: np.ndarray

    def all_to(self, place: int) -> np.ndarray:
        """All of the chance to one of the slots, by its place among them."""
        chances = np.zeros(len(self.slots))
        chances[place] = 1
        return chances

    def all_to_slot(self, slot: int) -> np.ndarray:
        """All of the chance to a slot; to the first allowed one where it is not allowed."""
        at = np.flatnonzero(self.slots == slot)
        return self.all_to(int(at[0]) if len(at) else 0)
