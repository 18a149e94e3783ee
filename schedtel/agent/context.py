"""A window and the arm that ran in it in; what a policy decides by out, and the same as numbers of one scale.

Features of a window depend on the arm under which it was measured, so the arm is part of the context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from schedtel.errors import UsageError
from schedtel.windows import tables
from schedtel.windows.features import FEATURES, FEATURES_VERSION, FeatureVector

if TYPE_CHECKING:
    from schedtel.windows.window import Window

#: The features that policies see unless others are named: few enough to learn from some hundred windows, all of them
#: of the kernel's part.
CHOSEN = (
    *("tat_mean_ns", "tat_p99_ns", "rt_mean_ns", "rt_p99_ns"),
    *("burst_tat_mean_ns", "burst_tat_p99_ns", "burst_rt_mean_ns", "burst_rt_p99_ns", "preempt_wait_mean_ns"),
    *("fairness_cv", "running_avg", "runqueue_length_avg", "blocked_avg", "idle_share"),
    *("burst_tat_count", "voluntary_switches", "involuntary_switches", "forks"),
)
#: A scaled feature lies within this many scales of its centre.
_MOST_SCALES = 4.0
#: A scale is at least this, in units of the logarithm: differences below 1 % are no news.
_LEAST_SCALE = 0.01
#: Before so many values, none is taken for an outlier.
_FIRST = 8


@dataclass(frozen=True, eq=False)
class Context:
    """What is known when a decision is made.

    :param features: those of the last window, as :meth:`schedtel.Window.features` has them, or some of them.
    :param running: the arm that ran in that window; an empty text if none of the policy's did.
    :param busiest_cpu: busy part of the busiest CPU's time in that window; None if it is not known.
    """

    features: FeatureVector
    running: str = ""
    busiest_cpu: float | None = None


def context_of(window: Window, running: str, names: Sequence[str] = CHOSEN) -> Context:
    """The context that a window makes. Raises :class:`schedtel.UsageError` for a name that is no feature."""
    return Context(some_of(window.features(), names), running, busiest_cpu(window))


def some_of(vector: FeatureVector, names: Sequence[str]) -> FeatureVector:
    """The features with these names, in this order. Raises :class:`schedtel.UsageError` for one that is not there."""
    if missing := [name for name in names if name not in vector.names]:
        raise UsageError(f"cannot choose feature {missing[0]!r}: there is none of this name (see `schedtel features`)")
    places = [vector.names.index(name) for name in names]
    return FeatureVector(tuple(names), vector.values[places], vector.mask[places], vector.version)


def busiest_cpu(window: Window) -> float | None:
    """The largest busy part of a CPU's time, of those that were online; None without CPUs."""
    busy_ns, idle_ns = (tables.column(window.cpus, name).astype(np.float64) for name in ("busy_ns", "idle_ns"))
    known = busy_ns + idle_ns > 0
    return float((busy_ns[known] / (busy_ns + idle_ns)[known]).max()) if known.any() else None


def check_features(names: Sequence[str], version: int, whose: str) -> None:
    """Raise :class:`UsageError` where features are not those of this schedtel.

    :param whose: what they belong to, for the message.
    """
    if version != FEATURES_VERSION:
        raise UsageError(
            f"cannot use {whose}: its features have version {version}, this schedtel has {FEATURES_VERSION} "
            "(train or record it again)"
        )
    known = {feature.name for feature in FEATURES}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"cannot use {whose}: {unknown[0][:60]!r} is no feature (see `schedtel schema`)")


class Scaler:
    """Features → numbers of one scale: robust, by the values seen so far.

    Times and counts are skewed, so it works on sign(x) ln(1 + |x|). The centre is the mean, the scale the standard
    deviation, both updated with a gain of 1/n by values that are first brought within 4 scales of the centre: one
    outlier moves them little, and they settle. A missing feature is at its centre, and has its mark set.

    :param count: number of features.
    """

    def __init__(self, count: int) -> None:
        self.seen = np.zeros(count)
        self.centre, self.variance = np.zeros(count), np.ones(count)

    @property
    def size(self) -> int:
        """Numbers that :meth:`scaled` returns: each feature, and the mark of each."""
        return 2 * len(self.centre)

    def add(self, features: FeatureVector) -> None:
        """Learn from the features of one window."""
        known = ~features.mask
        self.seen += known
        gain = known / np.maximum(self.seen, 1)
        away = _logarithm(features.values) - self.centre
        reach = _MOST_SCALES * np.sqrt(self.variance)
        settled = self.seen > _FIRST
        away = np.where(settled, np.clip(away, -reach, reach), away)
        self.centre += gain * away
        self.variance += np.where(self.seen > 1, gain * (away**2 * (1 - gain) - self.variance), 0)
        np.maximum(self.variance, _LEAST_SCALE**2, out=self.variance)

    def scaled(self, features: FeatureVector, out: np.ndarray) -> None:
        """Write the scaled features and their marks, shape (``size``,)."""
        count = len(self.centre)
        away = (_logarithm(features.values) - self.centre) / np.sqrt(self.variance)
        away[features.mask] = 0
        np.minimum(np.maximum(away, -_MOST_SCALES), _MOST_SCALES, out=out[:count])
        out[count:] = features.mask


def _logarithm(values: np.ndarray) -> np.ndarray:
    return np.copysign(np.log1p(np.abs(values)), values)
