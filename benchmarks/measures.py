"""Samples in; rows of medians, spreads and ratios out."""

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Target:
    """An upper limit for a median, in the row's unit."""

    most: float
    strict: bool = False

    def __str__(self) -> str:
        return f"{'<' if self.strict else '≤'} {self.most:g}"

    def reached(self, value: float) -> bool:
        return value < self.most if self.strict else value <= self.most


@dataclass(frozen=True)
class Row:
    """One line of the results: what was measured of whom, every sample of it, and what it should be.

    ``value`` is the median of the samples, except in a ratio, where it is the ratio of two medians and the samples
    are the ratios inside each round.
    """

    measure: str
    subject: str
    unit: str
    value: float
    samples: tuple[float, ...]
    target: Target | None = None
    part: str = ""

    @property
    def reached(self) -> bool | None:
        return self.target.reached(self.value) if self.target else None


def row(measure: str, subject: str, unit: str, samples: list[float], target: Target | None = None) -> Row:
    """A row whose value is the median of its samples."""
    return Row(measure, subject, unit, median(samples), tuple(samples), target)


def ratio(measure: str, mine: list[float], theirs: list[float], peer: str, target: Target) -> Row:
    """What schedtel takes in parts of what a peer takes."""
    # A round in which the peer added nothing has no ratio; the ratio of the medians still stands.
    rounds = tuple(a / b for a, b in zip(mine, theirs, strict=True) if b > 0)
    value = median(mine) / median(theirs)
    return Row(measure, f"schedtel / {peer}", "ratio", value, rounds or (value,), target)


def rotations(names: list[str], repeats: int) -> list[list[str]]:
    """The order of each round: every subject comes first equally often, so that drift meets all alike."""
    return [names[turn % len(names) :] + names[: turn % len(names)] for turn in range(repeats)]
