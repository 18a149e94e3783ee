"""SwapSim in; what arms that never change cost there out."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.batched import Masks, Observations
from schedtel.environments.judging import Actor, Costs, Judge, Scored, costs_of
from schedtel.environments.swap import SwapSim
from schedtel.environments.swap_settings import ARMS


def always(number: int) -> Actor:
    """Take the arm of this number."""

    def actions(_: Observations, masks: Masks) -> NDArray[np.int32]:
        return np.full(len(masks), number, np.int32)

    return actions


def best_now(environments: SwapSim) -> Actor:
    """Try all arms, and take the best one of the next window: no policy can know it."""

    def actions(_: Observations, __: Masks) -> NDArray[np.int32]:
        return environments.all_rewards().argmax(axis=1).astype(np.int32)

    return actions


def _always(number: int) -> Callable[[Scored, int], Costs]:
    return lambda environments, seed: costs_of(environments, always(number), seed)


def _best_now(environments: Scored, seed: int) -> Costs:
    assert isinstance(environments, SwapSim)
    return costs_of(environments, best_now(environments), seed)


def _make(count: int, _: str) -> SwapSim:
    return SwapSim(count, staggered=False)


#: The arms, one rule each, and what an oracle would do.
JUDGE = Judge(
    _make,
    ("presets",),
    {arm: _always(number) for number, arm in enumerate(ARMS)} | {"oracle": _best_now},
    "cost beside EEVDF",
    "%",
    0.01,
)
