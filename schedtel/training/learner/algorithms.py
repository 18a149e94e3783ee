"""Settings in; the algorithm out, which has not learned yet."""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.batched import Batched
from schedtel.environments.registry import entry_of
from schedtel.errors import UsageError
from schedtel.training.learner import network as networks  # first: where torch is missing, it says so
from schedtel.training.learner.checkpoint import Checkpoint
from schedtel.training.learner.dqn import DQN
from schedtel.training.learner.experience import Act, Chunk
from schedtel.training.learner.ppo import PPO
from schedtel.training.learner.reinforce import Reinforce
from schedtel.training.learner.replay import Batch, Replay
from schedtel.training.learner.settings import Settings


class Algorithm(Protocol):
    """What learns."""

    #: Steps of all environments in a chunk, or ``EPISODES``.
    chunk: int
    network: networks.Network
    updates: int
    loss: float

    def acting(self, count: int, seed: int) -> Act:
        """How to act in so many environments while it learns."""
        ...

    def take(self, chunk: Chunk) -> None:
        """Learn from a chunk that was made by acting so."""
        ...

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What it has learned."""
        ...

    def fill(self, arrays: networks.Arrays) -> None:
        """Go on from what another has learned. Raises :class:`ValueError` for arrays that are not of such a one."""
        ...


@runtime_checkable
class Replaying(Algorithm, Protocol):
    """One that learns from what it draws from a replay, which may be in another process."""

    #: Transitions of an update, those that are replayed for each step, and those that there must be before.
    batch: int
    replayed: float
    least: int

    def replay(self, seed: int) -> Replay:
        """An empty memory for what it learns from."""
        ...

    def update(self, batch: Batch) -> NDArray[np.float32]:
        """Learn from some transitions; returns by how much each was wrong."""
        ...

    def slopes_of(self, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """By how much some transitions were wrong, and the slope of their mean loss by all weights, as one array."""
        ...

    def be_at(self, weights: NDArray[np.float32], target: NDArray[np.float32]) -> None:
        """Have these weights, and these of the network for the targets, each as one array."""
        ...


def algorithm_of(settings: Settings, environment: Batched) -> Algorithm:
    """The algorithm for environments of these sizes."""
    sizes, layout = (environment.observation_size, environment.action_count), getattr(environment, "layout", None)
    truncates = entry_of(settings.environment).truncates
    if settings.algorithm == "dqn":
        return DQN(settings, *sizes, truncates=truncates, layout=layout)
    network = networks.network_of(*sizes, settings.hidden, settings.seed, layout)
    if settings.algorithm == "ppo":
        return PPO(settings, network, truncates=truncates)
    return Reinforce(settings, network)


def network_in(run: Checkpoint, environment: Batched) -> networks.Network:
    """The network of a run's checkpoint, for these environments.

    Raises :class:`UsageError` where it is of another size.
    """
    algorithm = algorithm_of(run.settings, environment)
    try:
        algorithm.fill(run.arrays)
    except ValueError as error:
        raise UsageError(f"cannot use a run: its {error} is of another size (train it again)") from error
    return algorithm.network
