"""Graphs in; a linear rule that decides on them well out: the simplest of all models, and what a learner has to beat.

A rule is a weight for each of the numbers that are seen of a choice; the choice of the highest sum is taken. It is
searched for by the cross-entropy method (R. Rubinstein, 1999): rules are drawn around a mean, and the best of them make
the next mean. It starts from the job that ends first, with some patience.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schedtel.dags.dag import Dag
from schedtel.environments.dag_engine import SEEN
from schedtel.environments.dag_policy import CHOICES
from schedtel.environments.dag_sim import DagSim

_RULES, _BEST = 64, 10
#: How far the next mean goes towards that of the best.
_PACE = 0.7
_FIRST_SPREAD, _LEAST_SPREAD = 0.5, 0.01
#: Number that is seen → its first weight: waiting, time, way to the end, arrival.
_FIRST = {0: -0.6, 1: -1.0, 4: 0.3, 5: -1.0}


def search(dags: Sequence[Dag], rounds: int, noise: float, seed: int) -> dict[str, NDArray[np.float32]]:
    """The arrays of the rule with the least mean makespan, as a share of each graph's bound.

    :param rounds: how often rules are drawn, ``_RULES`` at a time.
    :param noise: as of :class:`DagSim`.
    """
    sims = [DagSim([dag], _RULES, choices=CHOICES, noise=noise) for dag in dags]
    random = np.random.default_rng(seed)
    mean, spread = np.zeros(SEEN), np.full(SEEN, _FIRST_SPREAD)
    mean[list(_FIRST)] = list(_FIRST.values())
    for number in range(rounds):
        rules = mean + spread * random.normal(size=(_RULES, SEEN))
        rules[0] = mean
        costs = np.mean([_played(sim, rules, seed + number) / sim.dags[0].least_makespan for sim in sims], axis=0)
        best = rules[np.argsort(costs, kind="stable")[:_BEST]]
        mean += _PACE * (best.mean(axis=0) - mean)
        spread += _PACE * (best.std(axis=0) + _LEAST_SPREAD - spread)
    return {"0.weight": mean[None].astype(np.float32), "0.bias": np.zeros(1, np.float32)}


def _played(sim: DagSim, rules: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The makespan of the first episode of each environment, in which a rule of its own decides."""
    seen, masks = sim.reset(seed)
    found = np.full(sim.count, np.nan)
    while np.isnan(found).any():
        scores = np.einsum("erf,ef->er", seen.reshape(*masks.shape, SEEN), rules)
        seen, _, ended, masks = sim.step(np.where(masks, scores, -np.inf).argmax(axis=1))
        new = ended & np.isnan(found)
        found[new] = sim.makespans[new]
    return found
