"""Samples in; the forecasts of simple rules out, as logarithms of chances of the same candidates.

The chances of Markov rules are learned online, in the run itself, as the candidates' features are. The other rules name
one task, and order the rest by how often each ran; their numbers are an order and no chances.
"""

from __future__ import annotations

import numpy as np

from schedtel.oracle.candidates import MOST_CANDIDATES, NAMES
from schedtel.oracle.samples import Samples

#: What is left for a candidate that a rule gives no chance, and for none of the candidates.
LEAST = 1e-6
#: Rules whose numbers are chances.
MARKOV = ("majority", "markov1", "markov2", "markov3")
#: Rules that name one task.
NAMING = ("last", "head of queue", "newest of queue")
RULES = (*MARKOV, *NAMING)


def feature(samples: Samples, name: str) -> np.ndarray:
    """A feature of all candidates, shape (n, MOST_CANDIDATES)."""
    return samples.features[:, :, NAMES.index(name)]


def rule(samples: Samples, name: str) -> np.ndarray:
    """The forecasts of a rule, one of RULES: shape (n, MOST_CANDIDATES + 1), the last column for another task."""
    if name in MARKOV:
        return logs(feature(samples, name), samples)
    return logs(0.9 * _named(samples, name) + 0.1 * feature(samples, "majority"), samples)


def _named(samples: Samples, name: str) -> np.ndarray:
    """1 for the candidate that a rule names. With an empty queue that is the idle task, or what ran before it."""
    leaver, idle = feature(samples, "leaver"), feature(samples, "idle")
    if name == "last":
        return leaver
    waits = feature(samples, "head" if name == "head of queue" else "newest")
    now_idle = feature(samples, "now_idle")
    otherwise = np.where(now_idle > 0, leaver, idle)
    return np.where(waits.any(axis=1, keepdims=True), waits, otherwise)


def logs(chances: np.ndarray, samples: Samples) -> np.ndarray:
    """Chances of the candidates, shape (n, MOST_CANDIDATES), as logarithms; what is left is for another task."""
    is_there = np.arange(MOST_CANDIDATES) < samples.counts[:, None]
    known = np.where(is_there, np.maximum(chances.astype(np.float64), LEAST), 0.0)
    other = np.maximum(1 - known.sum(axis=1, keepdims=True), LEAST)
    whole = np.concatenate([known, other], axis=1)
    with np.errstate(divide="ignore"):
        return np.log(whole / whole.sum(axis=1, keepdims=True))


def without_idle(forecasts: np.ndarray, samples: Samples) -> np.ndarray:
    """The same forecasts, if it is known that a task comes and not the idle one."""
    idle = np.concatenate([feature(samples, "idle") > 0, np.zeros((len(samples), 1), bool)], axis=1)
    left = np.where(idle, -np.inf, forecasts)
    return left - np.log(np.exp(left).sum(axis=1, keepdims=True))
