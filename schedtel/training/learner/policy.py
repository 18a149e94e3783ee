"""A network of logits in; actions by chance out, and what algorithms that learn such a policy have in common."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from schedtel.environments.batched import Masks, Observations
from schedtel.training.learner.network import Arrays, Network, Optimiser, arrays_of, fill
from schedtel.training.learner.settings import Settings

#: The logarithm of no chance.
_NEVER = -1e9
#: A draw may be 0.
_TINY = np.float32(1e-30)
_LARGEST_SLOPE = 1.0
#: Steps of an update, by which share a chance may change before that no longer counts, and what an error of a value
#: and an undecided policy weigh.
_PART, _CLIPPED, _VALUED, _UNDECIDED = 2048, 0.2, 0.5, 0.01
#: What is left of the rate at the end of a run.
_LAST_SHARE = 0.1
_STEPS = "learned.steps"


def log_chances(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """The logarithm of each action's chance, shape (n, actions); of actions that are not allowed it is far below."""
    return torch.log_softmax(logits.masked_fill(~masks, _NEVER), 1)


def entropy(logs: torch.Tensor) -> torch.Tensor:
    """How undecided a policy is, shape (n,), in nats."""
    return -(logs.exp() * logs).sum(1)


class Sampling:
    """Actions that are drawn by their chances."""

    def __init__(self, network: Network, seed: int) -> None:
        self._network, self._random = network, np.random.default_rng(seed)

    def __call__(self, observations: Observations, masks: Masks) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        with torch.inference_mode():
            logits = self._network(torch.from_numpy(observations))[1]
            logs: NDArray[np.float32] = log_chances(logits, torch.from_numpy(masks)).numpy()
        # The least of exponential draws, each divided by its chance, is each action's with its chance.
        draws = np.log(self._random.standard_exponential(logs.shape, np.float32) + _TINY)
        actions = np.where(masks, logs - draws, -np.inf).argmax(axis=1).astype(np.int32)
        return actions, logs[np.arange(len(actions)), actions]


class Taken(NamedTuple):
    """Steps that were taken, each a row, and what is known of them since.

    :param worth: by how much each was better than the mean of all.
    :param wanted: what the value of each should have been; None: no value is learned.
    """

    observations: NDArray[np.float32]
    masks: NDArray[np.bool_]
    actions: NDArray[np.int32]
    chances: NDArray[np.float32]
    worth: NDArray[np.float32]
    wanted: NDArray[np.float32] | None = None


class PolicyLearner:
    """A network whose logits are a policy, its optimiser, and how far it is in its run.

    Rate and exploring fall as it goes on: the rate to a tenth, what is given for an undecided policy to nothing. A run
    that is made longer goes on with a higher rate.
    """

    #: How often each step is learned from.
    rounds: int

    def __init__(self, settings: Settings, network: Network) -> None:
        self.network, self._settings = network, settings
        self._optimiser = Optimiser(network, settings.rate, _LARGEST_SLOPE)
        self._steps = torch.zeros((), dtype=torch.int64)
        self.updates, self.loss = 0, 0.0

    def acting(self, _: int, seed: int) -> Sampling:
        """How to act while it learns."""
        return Sampling(self.network, seed)

    @property
    def left(self) -> float:
        """The part of the run that is left, from 1 to 0."""
        return max(0.0, 1.0 - float(self._steps) / self._settings.steps)

    def learn(self, taken: Taken) -> None:
        """Make what was worth more than the mean more likely, in parts of about ``_PART`` steps."""
        steps, order = len(taken.actions), np.random.default_rng((self._settings.seed, self.updates))
        rows = [None if values is None else torch.from_numpy(values) for values in taken]
        for _ in range(self.rounds):
            for part in np.array_split(order.permutation(steps), max(1, round(steps / _PART))):
                at = torch.from_numpy(part)
                self._descend(*(None if values is None else values[at] for values in rows))
        self._steps += steps

    def _descend(
        self,
        observations: torch.Tensor,
        masks: torch.Tensor,
        actions: torch.Tensor,
        chances: torch.Tensor,
        worth: torch.Tensor,
        wanted: torch.Tensor | None,
    ) -> None:
        values, logits = self.network(observations)
        logs = log_chances(logits, masks)
        ratio = (logs.gather(1, actions[:, None].long())[:, 0] - chances).exp()
        gains = torch.minimum(ratio * worth, ratio.clamp(1 - _CLIPPED, 1 + _CLIPPED) * worth)
        loss = -gains.mean() - _UNDECIDED * self.left * entropy(logs).mean()
        if wanted is not None:
            loss = loss + _VALUED * (values - wanted).square().mean()
        self._optimiser.descend(loss, _LAST_SHARE + (1 - _LAST_SHARE) * self.left)
        self.loss = float(loss.detach())
        self.updates += 1

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What it has learned."""
        return (
            arrays_of("network", self.network.state_dict())
            | arrays_of("adam", self._optimiser.tensors())
            | {_STEPS: self._steps.numpy().copy()}
        )

    def fill(self, arrays: Arrays) -> None:
        """Go on from what another has learned. Raises :class:`ValueError` for arrays that are not of such a learner."""
        fill("network", self.network.state_dict(), arrays)
        fill("adam", self._optimiser.tensors(), arrays)
        fill("learned", {"steps": self._steps}, arrays)
