"""Kinds of jobs and a seed in; device times that nobody has measured, the same for the same seed, out.

What is known of workflows is how long their jobs took on CPUs, at best. How much faster a GPU would be is drawn for
each kind of job: a quarter cannot run there, for the others it is a factor from 0.5 to 30, as often below 4 as
above.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from schedtel.dags.dag import LONGEST, NEVER, Kind
from schedtel.errors import UsageError

DEVICES = (Kind("cpu", 2), Kind("gpu", 1))
MOST_SEED = 2**31
_NO_GPU, _LEAST_FACTOR, _MOST_FACTOR = 0.25, 0.5, 30.0
_SEEDED = re.compile(r"(.+)@([0-9]{1,10})")


def split_seed(spec: str) -> tuple[str, int | None]:
    """``montage-2@3`` → what to draw for, and the seed; None where none is given.

    Raises :class:`UsageError` for a seed that is too large.
    """
    match = _SEEDED.fullmatch(spec)
    if match is None:
        return spec, None
    if int(match[2]) > MOST_SEED:
        raise UsageError(f"cannot use graph {spec[:40]!r}: its seed is {match[2]} (give 0 to {MOST_SEED})")
    return match[1], int(match[2])


def factors_of(kinds: Iterable[str], draw: np.random.Generator) -> dict[str, float | None]:
    """By how much a GPU is faster, for each kind of job; None where it cannot run it."""
    return {kind: _factor(draw) for kind in sorted(set(kinds))}


def _factor(draw: np.random.Generator) -> float | None:
    share, has_none = log_uniform(draw, _LEAST_FACTOR, _MOST_FACTOR), draw.random() < _NO_GPU
    return None if has_none else share


def log_uniform(draw: np.random.Generator, least: float, most: float) -> float:
    """A number between two, whose logarithm is drawn uniformly."""
    return float(np.exp(draw.uniform(np.log(least), np.log(most))))


def on_devices(cpu_time: int, factor: float | None) -> tuple[int, int]:
    """The times of a job on the kinds of ``DEVICES``."""
    return cpu_time, NEVER if factor is None else min(LONGEST, max(1, round(cpu_time / factor)))
