"""Policies in; what each cost in the same episodes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.batched import Batched, Masks, Observations

#: Observations and masks in; an action for each environment out.
Actor: TypeAlias = Callable[[Observations, Masks], NDArray[np.int32]]
Costs: TypeAlias = NDArray[np.float64]


class Scored(Batched, Protocol):
    """Environments that tell what their episodes cost."""

    def cost(self) -> Costs:
        """What the last whole episode of each environment cost: less is better; NaN before one has ended."""
        ...


@dataclass(frozen=True)
class Judge:
    """What a policy is compared with.

    :param make: how many are asked for, and a group → environments whose first episode is a whole one.
    :param groups: kinds of episodes that are judged apart; the first word of a line of a table.
    :param rules: name → what the first episode of each of some environments costs under it, by their seed.
    :param unit: of the cost, and what it is divided by to be shown.
    :param by_difference: whether costs are compared by their difference, since they may be 0; else by their ratio.
    :param is_of_models: whether what was learned can be a model of :mod:`schedtel.models`.
    """

    make: Callable[[int, str], Scored]
    groups: tuple[str, ...]
    rules: Mapping[str, Callable[[Scored, int], Costs]]
    cost: str
    unit: str
    divisor: float
    by_difference: bool = False
    is_of_models: bool = False


def costs_of(environments: Scored, actor: Actor, seed: int) -> Costs:
    """What the first episode of each environment costs under an actor, shape (count,)."""
    observations, masks = environments.reset(seed)
    found = np.full(environments.count, np.nan)
    while np.isnan(found).any():
        observations, _, ended, masks = environments.step(actor(observations, masks))
        first = ended & np.isnan(found)
        found[first] = environments.cost()[first]
    return found
