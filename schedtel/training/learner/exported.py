"""A run's checkpoint in; the arrays of a model for :mod:`schedtel.models` out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from schedtel.environments.registry import entry_of
from schedtel.errors import UsageError
from schedtel.models.weights import Arrays
from schedtel.training.learner.algorithms import network_in
from schedtel.training.learner.checkpoint import load
from schedtel.training.learner.network import ScoringNetwork


def weights_of(directory: Path) -> Arrays:
    """The layers that score a choice, by the names that :class:`schedtel.models.network.Network` has for them.

    Raises :class:`UsageError` for a run whose network does not score choices, and as
    :func:`~schedtel.training.learner.checkpoint.load`.
    """
    run = load(directory)
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
