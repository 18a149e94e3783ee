"""MigrateSim in; what a fixed rule does there out: the rules that a learned policy has to beat.

A rule says where each thread is to be kept, and has one thread a step brought there, as a policy could. Where threads
are kept, they are spread over the CPUs in turn.
"""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.batched import Masks, Observations
from schedtel.environments.judging import Actor, Costs, Judge, Scored, costs_of
from schedtel.environments.migrate import MigrateSim
from schedtel.environments.migrate_load import GROUPS, LARGE_FROM_NS

#: Environments in; which of their threads are to be kept, shape (count, threads).
Chosen = Callable[[MigrateSim], NDArray[np.bool_]]


def keeping(environments: MigrateSim, chosen: Chosen) -> Actor:
    """Keep the chosen threads of each machine, and no other."""
    rows = np.arange(environments.count)

    def actions(_: Observations, __: Masks) -> NDArray[np.int32]:
        wanted, cpus = chosen(environments), environments.cpus
        at = np.where(wanted, (np.cumsum(wanted, axis=1) - 1) % cpus, -1)
        differs = environments.fleet.kept_on != at
        thread = differs.argmax(axis=1)
        target = at[rows, thread]
        change = thread * (cpus + 1) + np.where(target >= 0, target, cpus)
        return np.where(differs.any(axis=1), change, environments.action_count - 1).astype(np.int32)

    return actions


def _none(environments: MigrateSim) -> NDArray[np.bool_]:
    return np.zeros((environments.count, environments.threads), np.bool_)


def _all(environments: MigrateSim) -> NDArray[np.bool_]:
    return np.ones((environments.count, environments.threads), np.bool_)


def _large(environments: MigrateSim) -> NDArray[np.bool_]:
    return environments.migration_ns > LARGE_FROM_NS


def _rule(chosen: Chosen) -> Callable[[Scored, int], Costs]:
    def rule(environments: Scored, seed: int) -> Costs:
        assert isinstance(environments, MigrateSim)
        return costs_of(environments, keeping(environments, chosen), seed)

    return rule


def _make(count: int, group: str) -> MigrateSim:
    return MigrateSim(count, group=group, staggered=False)


#: The rules: the balancer alone, every thread on one CPU, and only those with large working sets.
JUDGE = Judge(
    _make,
    GROUPS,
    MappingProxyType({"stealing": _rule(_none), "pinning": _rule(_all), "steal only small": _rule(_large)}),
    "mean TAT",
    "ms",
    1e6,
)
