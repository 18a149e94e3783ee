"""Samples in; rows of medians, spreads and ratios out."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from statistics import median


@dataclass(frozen=True)
class Target:
    """An upper limit for a median, in the row's unit."""

    most: float
    strict: bool = False

    def __str__(self) -> str:
        return f"{'<' if self.strict else '≤'} {self.most:g}"

    @classmethod
    def of(cls, text: str) -> "Target":
        """The target that ``str()`` wrote as this text."""
        sign, most = text.split()
        return cls(float(most), strict=sign == "<")

    def reached(self, value: float) -> bool:
        return value < self.most if self.strict else value <= self.most


@dataclass(frozen=True)
class Plan:
    """How much to measure, from the command's options."""

    repeats: int | None = None
    large: bool = False
    minutes: float = 60.0

    def rounds(self, usual: int) -> int:
        return self.repeats or usual


@dataclass(frozen=True)
class Row:
    """One line of the results: the measure, its subject, every sample, and the target.

    ``value`` is the median of the samples, except in a ratio, where it is the ratio of two medians and the samples
    are the ratios inside each round. A row of a curve has its position ``at`` on an ``axis``.
    """

    measure: str
    subject: str
    unit: str
    value: float
    samples: tuple[float, ...]
    target: Target | None = None
    part: str = ""
    axis: str = ""
    at: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached.

        None if there is no target, or if the value is NaN because what was added is less than the noise.
        """
        return self.target.reached(self.value) if self.target and not isnan(self.value) else None


def row(measure: str, subject: str, unit: str, samples: Iterable[float], target: Target | None = None) -> Row:
    """A row whose value is the median of its samples."""
    kept = tuple(samples)
    return Row(measure, subject, unit, median(kept), kept, target)


def point(measure: str, subject: str, unit: str, samples: Iterable[float], axis: str, at: float) -> Row:
    """One point of a curve: the median of its samples, at a position on an axis."""
    kept = tuple(samples)
    return Row(measure, subject, unit, median(kept), kept, axis=axis, at=at)


def ratio(measure: str, mine: list[float], theirs: list[float], names: str, target: Target | None = None) -> Row:
    """The cost of one subject divided by that of another; ``names`` are both, as in ``schedtel / runqlat``."""
    # A round in which the other subject added nothing has no ratio; the ratio of the medians is still defined.
    rounds = tuple(a / b for a, b in zip(mine, theirs, strict=True) if b > 0)
    other = median(theirs)
    known = other > 0 and median(mine) >= 0
    value = median(mine) / other if known else float("nan")
    return Row(measure, names, "ratio", value, rounds or (value,), target)


def rotations(names: list[str], repeats: int) -> list[list[str]]:
    """The order of subjects in each round: each subject comes first in turn, and every second round runs backwards.

    So drift of the machine affects all subjects alike, and no subject always follows the same neighbour.
    """
    turned = [names[turn % len(names) :] + names[: turn % len(names)] for turn in range(repeats)]
    return [order[::-1] if turn % 2 else order for turn, order in enumerate(turned)]


def favouring(favoured: list[str], others: list[str], times: int) -> list[str]:
    """The turns of one round: the favoured subjects ``times`` times, each time followed by a part of the others."""
    between = -(-len(others) // times)
    gaps = (others[gap * between : (gap + 1) * between] for gap in range(times))
    return [name for gap in gaps for name in (*favoured, *gap)]


def slope(times: list[float], values: list[float]) -> float:
    """Least-squares slope of values over times; 0 for fewer than two points."""
    if len(times) < 2:
        return 0.0
    middle_time, middle_value = sum(times) / len(times), sum(values) / len(values)
    spread = sum((time - middle_time) ** 2 for time in times)
    together = sum((time - middle_time) * (value - middle_value) for time, value in zip(times, values, strict=True))
    return together / spread if spread else 0.0
