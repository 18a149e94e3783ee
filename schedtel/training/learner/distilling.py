"""Models and a graph for each in; the arrays of one network that decides on each graph as its model does, out.

The network plays, and is told what the model would have done wherever it comes to (S. Ross et al., "A Reduction of
Imitation Learning and Structured Prediction to No-Regret Online Learning", 2011). So it is told, too, what to do after
a decision of its own that the model would not have made.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schedtel.errors import CapabilityError

try:  # first: what follows needs torch as well
    import torch
except ImportError:
    raise CapabilityError("cannot distil: torch is not installed (pip install 'schedtel[learn]')") from None

from schedtel.dags.dag import Dag
from schedtel.environments.dag_policy import CHOICES
from schedtel.environments.dag_sim import DagSim
from schedtel.models.network import Network
from schedtel.models.weights import Arrays
from schedtel.training.learner.dqn import best_actions
from schedtel.training.learner.exported import layers_of
from schedtel.training.learner.network import Optimiser, ScoringNetwork
from schedtel.training.learner.policy import log_chances

#: How often all graphs are played, and what follows is gone through.
_ROUNDS, _PASSES = 12, 8
#: Of each graph, machines on which times vary by so much; and one on which they are as planned.
_COUNT, _NOISE = 15, 0.2
_HIDDEN, _RATE, _LARGEST_SLOPE, _PART = 64, 2e-3, 1.0, 256

#: Observations, masks, and what the model does.
_Lessons = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def distilled(lessons: Sequence[tuple[Arrays, Dag]], seed: int = 0) -> Arrays:
    """The layers of a network that has learned from each model on its graph.

    Raises :class:`UsageError` for a model that cannot score the choices of :class:`DagSim`.
    """
    plays = [(Network(arrays), sim) for arrays, dag in lessons for sim in _machines(dag)]
    network = ScoringNetwork(plays[0][1].layout, _HIDDEN, seed)
    optimiser, random, told = Optimiser(network, _RATE, _LARGEST_SLOPE), np.random.default_rng(seed), list[_Lessons]()
    for number in range(_ROUNDS):
        told += [_lessons(model, sim, network if number else None, seed + number) for model, sim in plays]
        known = [torch.cat(parts) for parts in zip(*told, strict=True)]
        for _ in range(_PASSES):
            _go_through(network, optimiser, known, random.permutation(len(known[0])))
    return layers_of(network)


def _machines(dag: Dag) -> list[DagSim]:
    return [DagSim([dag], count, choices=CHOICES, noise=noise) for count, noise in ((_COUNT, _NOISE), (1, 0.0))]


def _lessons(model: Network, sim: DagSim, player: ScoringNetwork | None, seed: int) -> _Lessons:
    """An episode of each machine, in which the network decides, or the model itself."""
    model.need_for(sim.observation_size, sim.action_count)
    (seen, masks), rows, live = sim.reset(seed), [], np.ones(sim.count, np.bool_)
    while live.any():
        told = model.decide(seen, masks)
        rows.append([values[live].copy() for values in (seen, masks, told)])
        seen, _, ended, masks = sim.step(told if player is None else best_actions(player, seen, masks))
        live &= ~ended
    seen_all, allowed, actions = (torch.from_numpy(np.concatenate(values)) for values in zip(*rows, strict=True))
    return seen_all, allowed, actions.long()


def _go_through(
    network: ScoringNetwork, optimiser: Optimiser, known: Sequence[torch.Tensor], order: NDArray[np.int64]
) -> None:
    """Make what was told more likely, in parts."""
    for part in np.array_split(order, max(1, len(order) // _PART)):
        seen, masks, told = (values[torch.from_numpy(part)] for values in known)
        logs = log_chances(network(seen)[1], masks)
        optimiser.descend(-logs.gather(1, told[:, None]).mean())
