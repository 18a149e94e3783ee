"""What an algorithm has learned in; the same cut into parts, each of which can take its steps alone, out.

A part is a stretch of all weights, one after another, with what belongs to it of the other arrays. So it may begin and
end within a layer, and all parts have the same size, or one number more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedtel.training.learner.network import Arrays, step_of_adam
from schedtel.training.learner.passes import Floats, taken_apart

_NETWORK = "network."
#: As :meth:`DQN.arrays` names them, in the order of :class:`Shard`.
_NAMES = (_NETWORK + "{}", "target.{}", "adam.{}.exp_avg", "adam.{}.exp_avg_sq")
_STEPS = "adam.{}.step"


class Shard(NamedTuple):
    """A part of the weights, of those for the targets, and of both moments of Adam, and the steps that it has taken."""

    weights: Floats
    target: Floats
    mean: Floats
    squares: Floats
    steps: int

    def copy(self) -> Shard:
        """The same, of its own: what Ray hands over cannot be written to."""
        weights, target, mean, squares = (np.array(each) for each in self[:4])
        return Shard(weights, target, mean, squares, self.steps)

    def after(self, slopes: Floats, rate: float, *, copies: bool) -> Shard:
        """Itself, a step further; its arrays are changed.

        :param copies: whether the weights for the targets become the same then.
        """
        step_of_adam(self.weights, slopes, self.mean, self.squares, rate, float(self.steps + 1))
        if copies:
            self.target[:] = self.weights
        return self._replace(steps=self.steps + 1)


def cut(flat: Floats, count: int) -> list[Floats]:
    """So many parts of what there is one of for each weight."""
    return np.array_split(flat, count)


def shards_of(arrays: Arrays, count: int) -> list[Shard]:
    """All that was learned, in so many parts. They are copies."""
    weights = list(_weights_in(arrays))
    flats = (np.concatenate([arrays[name.format(each)].ravel() for each in weights]) for name in _NAMES)
    steps = int(arrays[_STEPS.format(weights[0])])
    return [Shard._make((*parts, steps)).copy() for parts in zip(*(cut(each, count) for each in flats), strict=True)]


def together(shards: Sequence[Shard], like: Arrays) -> dict[str, NDArray[np.generic]]:
    """All that was learned, in arrays of the names and shapes that others have."""
    weights, found = list(_weights_in(like)), dict[str, NDArray[np.generic]]()
    for name, parts in zip(_NAMES, zip(*(shard[:4] for shard in shards), strict=True), strict=True):
        flat = np.concatenate(parts)
        found |= zip(
            map(name.format, weights), taken_apart(flat, (like[_NETWORK + each] for each in weights)), strict=True
        )
    return found | {_STEPS.format(each): np.array(shards[0].steps, np.float32) for each in weights}


def _weights_in(arrays: Arrays) -> Iterator[str]:
    return (name.removeprefix(_NETWORK) for name in arrays if name.startswith(_NETWORK))
