"""An experiment in; its runs in the order in which they are to be made, out: interleaved, random, with paired seeds.

A repeat is a block: it has each workload under each arm once, in random order. So drift of the machine touches all arms
alike, and an experiment that was stopped has whole blocks but for the last one. In a block, a workload has the same
seed under all arms, so arms differ by their schedule alone and not by the plan.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from schedtel.experiments.spec import ExperimentSpec


@dataclass(frozen=True)
class Cell:
    """One run: a workload under an arm, in repeat ``repeat`` (from 1), with the seed of that repeat's plan."""

    workload: str
    scheduler: str
    repeat: int
    seed: int

    @property
    def key(self) -> str:
        """The name of the run in the store: the same for the same cell, whatever characters the names have."""
        return hashlib.sha256("\0".join((self.workload, self.scheduler, str(self.repeat))).encode()).hexdigest()[:16]


def cells(spec: ExperimentSpec) -> list[Cell]:
    """All runs, in their order. More repeats add runs at the end and change none of the others."""
    return [cell for repeat in range(1, spec.repeats + 1) for cell in _block(spec, repeat)]


def _block(spec: ExperimentSpec, repeat: int) -> Iterator[Cell]:
    order = [(workload, scheduler) for workload in spec.workloads for scheduler in spec.schedulers]
    random.Random(f"{spec.seed}/{repeat}").shuffle(order)
    for workload, scheduler in order:
        yield Cell(workload, scheduler, repeat, seed_of(spec, workload, repeat))


def seed_of(spec: ExperimentSpec, workload: str, repeat: int) -> int:
    """The seed of a workload's plan in a repeat, from 0 to 2^63 - 1; another workload's is independent of it."""
    return seed_from(spec.seed, workload, 1 if spec.same_seed else repeat)


def seed_from(seed: int, name: str, repeat: int) -> int:
    """The seed of a plan by that of all plans, a name and a repeat."""
    said = f"{seed}\0{name}\0{repeat}".encode()
    return int.from_bytes(hashlib.sha256(said).digest()[:8], "big") >> 1
