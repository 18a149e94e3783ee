"""A trial in; its blocks, in the order in which they are to be made, out.

A *block* is one repeat under one method: all rounds, phase after phase, while the method is in effect. In each round
every workload has a phase, in random order. Repeat n has the same phases with the same plans under all methods, and the
methods of a repeat are in random order, so that a machine's drift touches all of them alike.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from schedtel.experiments.design import Cell, seed_from
from schedtel.trials.spec import TrialSpec


@dataclass(frozen=True)
class Block:
    """A repeat under a method.

    :param phases: in their order; the workload of each is called ``ROUND/WORKLOAD`` (see :func:`place_of`).
    """

    scheduler: str
    repeat: int
    phases: tuple[Cell, ...]


def blocks(spec: TrialSpec) -> list[Block]:
    """All blocks, in their order. More repeats add blocks at the end and change none of the others."""
    return [block for repeat in range(1, spec.repeats + 1) for block in _of_repeat(spec, repeat)]


def _of_repeat(spec: TrialSpec, repeat: int) -> Iterator[Block]:
    draw = random.Random(f"{spec.seed}/{repeat}")
    methods, named = list(spec.schedulers), []
    for number in range(1, spec.rounds + 1):
        order = list(spec.workloads)
        draw.shuffle(order)
        named += [f"{number}/{workload}" for workload in order]
    draw.shuffle(methods)
    for method in methods:
        phases = (Cell(name, method, repeat, seed_from(spec.seed, name, repeat)) for name in named)
        yield Block(method, repeat, tuple(phases))


def place_of(name: str) -> tuple[int, str]:
    """The round and the workload of a phase, by its name. Raises :class:`ValueError` for another name."""
    number, slash, workload = name.partition("/")
    if not (slash and workload and number.isascii() and number.isdecimal()):
        raise ValueError(f"no phase: {name[:60]!r}")
    return int(number), workload
