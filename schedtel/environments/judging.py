"""Policies in; what each cost in the same episodes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.batched import Batched, Masks, Observations

#: Observations and masks in; an action for each environment out.
Actor: TypeAlias = Callable[[Observations, Masks], NDArray[np.int32]]


class Scored(Batched, Protocol):
    """Environments that tell what their episodes cost."""

    def cost(self) -> NDArray[np.float64]:
        """What the last whole episode of each environment cost: less is better; NaN before one has ended."""
        ...


@dataclass(frozen=True)
class Judge:
    """What a policy is compared with.

    :param make: how many → environments whose first episode is a whole one; group → environments.
    :param groups: kinds of episodes that are judged apart; the first word of a line of a table.
    :param rules: name → the rule that acts in given environments.
    :param unit: of the cost, and what it is divided by to be shown.
    """

    make: Callable[[int, str], Scored]
    groups: tuple[str, ...]
    rules: Mapping[str, Callable[[Scored], Actor]]
    cost: str
    unit: str
    divisor: float


def costs_of(environments: Scored, actor: Actor, seed: int) -> NDArray[np.float64]:
    """What the first episode of each environment costs under an actor, shape (count,)."""
    observations, masks = environments.reset(seed)
    while np.isnan(environments.cost()).any():
        observations, _, _, masks = environments.step(actor(observations, masks))
    return environments.cost().copy()
