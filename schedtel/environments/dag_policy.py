"""A network and graphs in; the makespans of the schedules that it decides on out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schedtel.dags.dag import Dag
from schedtel.environments.dag_sim import DagSim
from schedtel.models.network import Network

#: The number of choices by which a model is judged; one that scores each row by itself can do with any.
CHOICES = 24


def makespan(network: Network, dag: Dag) -> float:
    """The makespan where the network decides and times are as planned.

    Raises :class:`UsageError` for a network that cannot score the choices of :class:`DagSim`.
    """
    return float(makespans(network, DagSim([dag], choices=CHOICES), seed=0)[0])


def makespans(network: Network, sim: DagSim, seed: int) -> NDArray[np.int64]:
    """The makespan of the first episode in each environment.

    Raises :class:`UsageError` for a network that cannot score its choices.
    """
    network.need_for(sim.observation_size, sim.action_count)
    seen, masks = sim.reset(seed)
    found = np.full(sim.count, -1, np.int64)
    while (found < 0).any():
        seen, _, ended, masks = sim.step(network.decide(seen, masks))
        new = ended & (found < 0)
        found[new] = sim.makespans[new]
    return found
