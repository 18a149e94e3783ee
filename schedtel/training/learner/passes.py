"""Weights and observations in; a network's numbers, and the slope of a loss by each weight, out.

:mod:`.network` says what is computed; here the same is written into buffers that stay in the cache, some observations
at a time, without what torch allocates on the way: five times as fast for networks this small. Matrices are multiplied
by torch, whose library takes three quarters of the time of numpy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from schedtel.environments.batched import Masks, Observations
from schedtel.environments.layout import Layout
from schedtel.errors import CapabilityError
from schedtel.simulator.compiling import kept

try:
    from threadpoolctl import threadpool_limits
except ImportError:
    raise CapabilityError("cannot train: threadpoolctl is not installed (pip install 'schedtel[learn]')") from None

#: More threads make these small matrices slower, and much slower where other programs run.
threadpool_limits(1, "blas")

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]
#: Results between layers, by name.
Buffers = dict[str, Floats]
#: Observations at a time: of eight things, and with 64 hidden numbers, a buffer then has 512 KiB.
TILE = 256


class Passes(Protocol):
    """A network at work on up to ``TILE`` observations at a time. It sees each change of its weights.

    ``slopes`` has an array for each array of the weights; ``all_slopes`` is all of them, as one.
    """

    slopes: dict[str, Floats]
    all_slopes: Floats

    def forward(self, observations: Observations) -> tuple[Floats, Floats]:
        """Values (n,) and numbers (n, actions). They are the caller's until the next call, and no longer."""
        ...

    def backward(self, value_slopes: Floats, number_slopes: Floats) -> None:
        """Add the slope by each weight, given those by what the last call of :meth:`forward` returned."""
        ...


def passes_of(weights: Weights, layout: Layout | None, buffers: Buffers | None = None) -> Passes:
    """A network of these weights, named as :class:`~schedtel.training.learner.network.Network` names them.

    :param buffers: those that another network writes into as well: where both are at work in turn, they stay cached.
    """
    return SharedPasses(weights, layout, buffers) if layout else PlainPasses(weights, buffers)


def taken_apart(flat: Floats, like: Iterable[NDArray[np.generic]]) -> list[Floats]:
    """What one array has of others, one after another, in their shapes. They are views of it."""
    shapes = [each.shape for each in like]
    ends = np.cumsum([np.prod(shape, dtype=np.int64) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]


def tiles(count: int) -> Iterator[slice]:
    """All rows, some at a time."""
    return (slice(begin, min(begin + TILE, count)) for begin in range(0, count, TILE))


def best_of(passes: Passes, observations: Observations, masks: Masks) -> NDArray[np.int32]:
    """The allowed action with the highest number, of each observation."""
    found = np.zeros(len(observations), np.int32)
    for rows in tiles(len(observations)):
        best(passes.forward(observations[rows])[1], masks[rows], found[rows])
    return found


@kept
def best(numbers: Floats, masks: Masks, found: NDArray[np.int32]) -> None:
    """The allowed action with the highest number, of each row."""
    for i in range(len(found)):
        highest = np.float32(-np.inf)
        for action in range(numbers.shape[1]):
            if masks[i, action] and numbers[i, action] > highest:
                highest, found[i] = numbers[i, action], action


@kept
def activate(x: Floats, shared: Floats, mean: Floats) -> None:
    """max(0, x + shared) in the place of x, shape (n, things, hidden), and its mean over the things."""
    n, things, hidden = x.shape
    part = np.float32(1.0 / things)
    for i in range(n):
        for h in range(hidden):
            mean[i, h] = 0
        for k in range(things):
            for h in range(hidden):
                value = max(x[i, k, h] + shared[i, h], np.float32(0))
                x[i, k, h] = value
                mean[i, h] += part * value


@kept
def spread(each: Floats, shift: Floats, numbers: Floats) -> None:
    """Numbers of each thing, shape (n, things, actions), plus those that all things share, as the first of others."""
    for i in range(each.shape[0]):
        for k in range(each.shape[1]):
            for a in range(each.shape[2]):
                numbers[i, k * each.shape[2] + a] = each[i, k, a] + shift[a]


@kept
def activate_back(slopes: Floats, by_mean: Floats, x: Floats, summed: Floats) -> None:
    """The way back through :func:`activate`: slopes by its input in the place of those by x, and their sum over the
    things.
    """
    n, things, hidden = x.shape
    part = np.float32(1.0 / things)
    for i in range(n):
        for h in range(hidden):
            summed[i, h] = 0
        for k in range(things):
            for h in range(hidden):
                value = slopes[i, k, h] + part * by_mean[i, h] if x[i, k, h] > 0 else np.float32(0)
                slopes[i, k, h] = value
                summed[i, h] += value


def _add_product(total: Floats, slopes: Floats, inputs: Floats) -> None:
    """Add the slopes by the weights between these inputs and what has these slopes."""
    found = torch.from_numpy(total)
    torch.addmm(found, torch.from_numpy(slopes).T, torch.from_numpy(inputs), out=found)


class _Layers:
    """Weights and slopes by the number of their layer, and buffers by name."""

    def __init__(self, weights: Weights, buffers: Buffers | None = None) -> None:
        self.all_slopes = np.zeros(sum(each.size for each in weights.values()), np.float32)
        self.slopes = dict(zip(weights, taken_apart(self.all_slopes, weights.values()), strict=True))
        count = len(weights) // 2
        self._w, self._b = ([weights[f"layers.{n}.{kind}"] for n in range(count)] for kind in ("weight", "bias"))
        self._dw, self._db = ([self.slopes[f"layers.{n}.{kind}"] for n in range(count)] for kind in ("weight", "bias"))
        self._buffers = {} if buffers is None else buffers

    def _buffer(self, name: str, rows: int, width: int) -> Floats:
        found = self._buffers.get(name)
        if found is None or len(found) < rows:
            found = self._buffers[name] = np.empty((rows, width), np.float32)
        return found[:rows]

    def _times(self, name: str, x: Floats, weights: Floats) -> Floats:
        found = self._buffer(name, len(x), weights.shape[1])
        torch.mm(torch.from_numpy(x), torch.from_numpy(weights), out=torch.from_numpy(found))
        return found

    def _add_slopes(self, layer: int, slopes: Floats, inputs: Floats) -> None:
        _add_product(self._dw[layer], slopes, inputs)
        self._add_shifts(layer, slopes)

    def _add_shifts(self, layer: int, slopes: Floats) -> None:
        self._db[layer] += np.ones(len(slopes), np.float32) @ slopes  # quicker than a sum


class PlainPasses(_Layers):
    """Of :class:`~schedtel.training.learner.network.Network`."""

    def forward(self, observations: Observations) -> tuple[Floats, Floats]:
        """See :meth:`Passes.forward`."""
        self._x = [observations]
        for layer in (0, 1):
            x = self._times(f"x{layer}", self._x[-1], self._w[layer].T)
            x += self._b[layer]
            self._x.append(np.maximum(x, 0, out=x))
        found = self._times("out", self._x[-1], self._w[2].T)
        found += self._b[2]
        return found[:, 0], found[:, 1:]

    def backward(self, value_slopes: Floats, number_slopes: Floats) -> None:
        """See :meth:`Passes.backward`."""
        slopes = np.concatenate([value_slopes[:, None], number_slopes], axis=1)
        for layer in (2, 1, 0):
            self._add_slopes(layer, slopes, self._x[layer])
            if layer:
                slopes = self._times(f"d{layer}", slopes, self._w[layer])
                slopes *= self._x[layer] > 0


class SharedPasses(_Layers):
    """Of :class:`~schedtel.training.learner.network.SharedNetwork`.

    What all things of an observation have in common, and their mean, is multiplied once and not for each thing.
    """

    def __init__(self, weights: Weights, layout: Layout, buffers: Buffers | None = None) -> None:
        super().__init__(weights, buffers)
        self._layout, self._hidden = layout, len(self._b[0])

    def forward(self, observations: Observations) -> tuple[Floats, Floats]:
        """See :meth:`Passes.forward`."""
        n, layout, hidden = len(observations), self._layout, self._hidden
        self._common = observations[:, : layout.common]
        self._things = self._buffer("things", n * layout.things, layout.numbers)
        self._things.reshape(n, -1)[:] = observations[:, layout.common :]
        shared = self._times("shared", self._common, self._w[0][:, : layout.common].T)
        shared += self._b[0]
        self._x, self._mean_x = self._hidden_layer("x", self._things, self._w[0][:, layout.common :], shared)
        shared = self._times("shared", self._mean_x, self._w[1][:, hidden:].T)
        shared += self._b[1]
        self._y, self._mean_y = self._hidden_layer("y", self._x, self._w[1][:, :hidden], shared)
        whole = self._times("whole", self._mean_y, self._w[3].T)
        whole += self._b[3]
        of_things = layout.things * layout.actions
        numbers = self._buffer("numbers", n, of_things + layout.others)
        each = self._times("each", self._y, self._w[2].T)
        spread(each.reshape(n, layout.things, -1), self._b[2], numbers)
        numbers[:, of_things:] = whole[:, 1:]
        return whole[:, 0], numbers

    def _hidden_layer(self, name: str, x: Floats, weights: Floats, shared: Floats) -> tuple[Floats, Floats]:
        found, mean = self._times(name, x, weights.T), self._buffer(f"mean {name}", len(shared), self._hidden)
        activate(found.reshape(len(shared), -1, self._hidden), shared, mean)
        return found, mean

    def backward(self, value_slopes: Floats, number_slopes: Floats) -> None:
        """See :meth:`Passes.backward`."""
        layout, hidden = self._layout, self._hidden
        of_things = layout.things * layout.actions
        whole = np.concatenate([value_slopes[:, None], number_slopes[:, of_things:]], axis=1)
        each = np.ascontiguousarray(number_slopes[:, :of_things]).reshape(-1, layout.actions)
        self._add_slopes(3, whole, self._mean_y)
        self._add_slopes(2, each, self._y)
        dy, shared = self._hidden_back("dy", each, self._w[2], whole @ self._w[3], self._y)
        _add_product(self._dw[1][:, :hidden], dy, self._x)
        _add_product(self._dw[1][:, hidden:], shared, self._mean_x)
        self._add_shifts(1, shared)
        dx, shared = self._hidden_back("dx", dy, self._w[1][:, :hidden], shared @ self._w[1][:, hidden:], self._x)
        _add_product(self._dw[0][:, layout.common :], dx, self._things)
        _add_product(self._dw[0][:, : layout.common], shared, self._common)
        self._add_shifts(0, shared)

    def _hidden_back(
        self, name: str, slopes: Floats, weights: Floats, by_mean: Floats, x: Floats
    ) -> tuple[Floats, Floats]:
        """Slopes by the input of a hidden layer's max(0, x), and their sum over the things.

        :param slopes: by what uses the layer, whose weights follow; by_mean: by its mean.
        """
        found, summed = self._times(name, slopes, weights), self._buffer("summed", len(by_mean), self._hidden)
        shape = (len(by_mean), -1, self._hidden)
        activate_back(found.reshape(shape), by_mean, x.reshape(shape), summed)
        return found, summed
