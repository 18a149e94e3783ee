"""A run's checkpoint in; the arrays of a model for :mod:`schedtel.models`, and how long its decisions take, out."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.registry import entry_of
from schedtel.errors import UsageError
from schedtel.models.network import Network
from schedtel.models.weights import Arrays
from schedtel.training.learner.algorithms import network_in
from schedtel.training.learner.checkpoint import Checkpoint
from schedtel.training.learner.network import ScoringNetwork


def weights_of(run: Checkpoint) -> Arrays:
    """The layers that score a choice, by the names that :class:`schedtel.models.network.Network` has for them.

    Raises :class:`UsageError` for a run whose network does not score choices.
    """
    network = network_in(run, entry_of(run.settings.environment).make(1, **run.settings.options))
    if not isinstance(network, ScoringNetwork):
        raise UsageError(
            f"cannot export a run of {run.settings.environment}: models are for DagSim (train there, or judge the run)"
        )
    return layers_of(network)


def layers_of(network: ScoringNetwork) -> Arrays:
    """The arrays of the layers by which a choice is scored."""
    layers = enumerate(network.scoring_layers)
    parts = {f"{number}.{part}": value for number, layer in layers for part, value in layer.state_dict().items()}
    return {name: np.array(value.numpy(), np.float32) for name, value in parts.items()}


def decision_us(run: Checkpoint, decisions: int = 5_000) -> NDArray[np.float64]:
    """The CPU time that the model of a run takes for each of some decisions, one at a time, in its own environment.

    By the clock, it would be that of other programs, too. What is observed is there already: that takes about a
    microsecond. Raises as :func:`weights_of`.
    """
    network, settings = Network(weights_of(run)), run.settings
    environment = entry_of(settings.environment).make(1, **settings.options)
    (seen, masks), found = environment.reset(settings.seed), np.empty(decisions)
    for number in range(decisions):
        begun_ns = time.thread_time_ns()
        actions = network.decide(seen, masks)
        found[number] = time.thread_time_ns() - begun_ns
        seen, _, _, masks = environment.step(actions)
    return found / 1e3
