"""Features of candidates in; the chance of each to be next, by a small network in numpy, out.

Each candidate's features go through two layers. What a candidate is beside the others, their mean, goes through a
third, which gives its score; the mean alone gives the score of another task than these. The chances are the softmax of
the scores. The order of the candidates does not matter, nor does their number.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from schedtel.oracle.candidates import MOST_CANDIDATES, NAMES
from schedtel.oracle.samples import Samples

#: Width of the layers.
HIDDEN = 32
#: Forecasts that are made at once.
_PIECE = 4096


@dataclass(frozen=True)
class Weights:
    """The arrays of a network, float32. ``w`` are matrices from features or layers, ``b`` their biases."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray
    w3_mean: np.ndarray
    b3: np.ndarray
    w4: np.ndarray
    w_other: np.ndarray
    b_other: np.ndarray

    @property
    def parameters(self) -> int:
        return sum(getattr(self, each.name).size for each in fields(self))


#: The shape of each array.
SHAPES = {
    "w1": (len(NAMES), HIDDEN),
    "b1": (HIDDEN,),
    "w2": (HIDDEN, HIDDEN),
    "b2": (HIDDEN,),
    "w3": (HIDDEN, HIDDEN),
    "w3_mean": (HIDDEN, HIDDEN),
    "b3": (HIDDEN,),
    "w4": (HIDDEN,),
    "w_other": (HIDDEN,),
    "b_other": (1,),
}


def scores(weights: Weights, features: np.ndarray) -> np.ndarray:
    """The scores of one forecast's candidates, and of another task behind them.

    :param features: float32, shape (candidates, features), of the candidates alone.
    """
    layer = np.maximum(features @ weights.w1 + weights.b1, 0)
    layer = np.maximum(layer @ weights.w2 + weights.b2, 0)
    mean = layer.sum(axis=0) * np.float32(1 / len(layer))
    beside = np.maximum(layer @ weights.w3 + (mean @ weights.w3_mean + weights.b3), 0)
    found = np.empty(len(layer) + 1, np.float32)
    found[:-1] = beside @ weights.w4
    found[-1:] = mean @ weights.w_other + weights.b_other
    return found


def chances(weights: Weights, features: np.ndarray) -> np.ndarray:
    """The chances of one forecast's candidates, and of another task behind them; arguments as of :func:`scores`."""
    raw = scores(weights, features)
    grown = np.exp(raw - raw.max())
    return grown / grown.sum()


def forecasts(weights: Weights, samples: Samples) -> np.ndarray:
    """Logarithms of the chances of all candidates: shape (n, MOST_CANDIDATES + 1), the last column for another task."""
    found = [np.zeros((0, MOST_CANDIDATES + 1))]
    for begin in range(0, len(samples), _PIECE):
        rows = slice(begin, begin + _PIECE)
        found.append(_together(weights, samples.features[rows], samples.counts[rows]))
    return np.concatenate(found)


def _together(weights: Weights, features: np.ndarray, counts: np.ndarray) -> np.ndarray:
    is_there = np.arange(MOST_CANDIDATES) < counts[:, None]
    layer = np.maximum(features @ weights.w1 + weights.b1, 0)
    layer = np.maximum(layer @ weights.w2 + weights.b2, 0)
    mean = (layer * is_there[:, :, None]).sum(axis=1) / counts[:, None].clip(min=1)
    beside = np.maximum(layer @ weights.w3 + (mean @ weights.w3_mean + weights.b3)[:, None], 0)
    raw = np.where(is_there, beside @ weights.w4, -np.inf)
    other = mean @ weights.w_other + weights.b_other
    whole = np.concatenate([raw, other[:, None]], axis=1).astype(np.float64)
    whole -= whole.max(axis=1, keepdims=True)
    return whole - np.log(np.exp(whole).sum(axis=1, keepdims=True))
