"""A family and a seed in; an instance that SAGA and schedtel can both say out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from schedtel.dags.dag import Dag, Edge, Kind

SEEDS = range(12)
#: Every speed divides it, so that all times are whole.
_WHOLE = 60
_SPEEDS = (1, 2, 3, 4, 5, 6)


@dataclass(frozen=True)
class Instance:
    """A job takes its cost by the speed of its machine; between two machines, an edge takes its size.

    The first job comes before all others, the last one after: SAGA would add such jobs itself.
    """

    family: str
    seed: int
    costs: tuple[int, ...]
    speeds: tuple[int, ...]
    edges: tuple[tuple[int, int, int], ...]

    def dag(self) -> Dag:
        """The same as a graph."""
        kinds = tuple(Kind(f"m{number}-", 1) for number in range(len(self.speeds)))
        times = tuple(tuple(cost // speed for speed in self.speeds) for cost in self.costs)
        jobs = tuple(f"j{number}" for number in range(len(self.costs)))
        return Dag(f"{self.family}-{self.seed}", kinds, jobs, times, tuple(Edge(*edge) for edge in self.edges))


def _random(draw: random.Random) -> Iterator[tuple[int, int]]:
    """Twenty jobs; each waits for one to three of the five before it."""
    for job in range(1, 20):
        before = range(max(0, job - 5), job)
        yield from ((one, job) for one in sorted(draw.sample(before, min(len(before), draw.randint(1, 3)))))


def _layers(draw: random.Random) -> Iterator[tuple[int, int]]:
    """Layers of one to six jobs, each job of which waits for all of the layer before: what is ready is one layer."""
    last, first = [0], 1
    while first < 19:
        layer = list(range(first, min(19, first + draw.randint(1, 6))))
        yield from ((one, job) for job in layer for one in last)
        last, first = layer, layer[-1] + 1
    yield from ((one, 19) for one in last)


def _joined(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """With an edge to the last job from each that nothing waits for."""
    waited_for = {before for before, _ in pairs}
    return pairs + [(job, 19) for job in range(1, 19) if job not in waited_for]


def _instance(family: str, seed: int) -> Instance:
    draw = random.Random(f"{family} {seed}")
    shape = _layers if family == "layers" else _random
    pairs = sorted(set(_joined(list(shape(draw)))))
    most = 3 if family == "ties" else 1_000_000
    speeds = (1,) * 3 if family == "ties" else tuple(draw.sample(_SPEEDS, draw.randint(2, 4)))
    costs = tuple(_WHOLE * draw.randint(1, most) for _ in range(20))
    sizes = (0, _WHOLE) if family == "ties" else range(20 * most)
    edges = tuple((before, after, draw.choice(sizes)) for before, after in pairs)
    return Instance(family, seed, costs, speeds, edges)


def instances() -> list[Instance]:
    """All of them: of ``random`` and ``layers`` no two numbers are alike, of ``ties`` most are, and all machines."""
    return [_instance(family, seed) for family in ("random", "layers", "ties") for seed in SEEDS]
