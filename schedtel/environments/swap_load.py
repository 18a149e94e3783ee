"""A seed in; the phases of an episode of SwapSim out: one workload after another, each with jobs of its own."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from schedtel.durations import NS_PER_S
from schedtel.errors import UsageError
from schedtel.workloads.plan import Plan, make_plan
from schedtel.workloads.spec import load_workload

#: The presets that are planned and have tasks which wake: those of ``hogs-jobs`` are born and end, so that a part of L
#: cannot be known. The others are programs of others, which cannot be simulated.
WORKLOADS = (
    *("hogs-probe", "equal", "heavy-tailed", "bursty", "web", "batch", "pipe"),
    *("fork-storm", "frames", "compile", "editor"),
)
#: A plan is so much longer than its phase, so that it does not end within it.
_LONGER_NS = NS_PER_S
_SEEDS = 1 << 31


@dataclass(frozen=True)
class Phase:
    """A workload, by its name, and the seed of its jobs."""

    workload: str
    seed: int

    def plan(self, length_ns: int) -> Plan:
        """The jobs of a phase of this length, and some more."""
        return make_plan(load_workload(self.workload).with_options(self.seed, length_ns + _LONGER_NS))


@dataclass(frozen=True)
class Loads:
    """What episodes are made of.

    :param workloads: names or files of workloads; in an episode each has a phase before one has its next.
    :param phases: of an episode.
    :param windows: of a phase.

    Raises :class:`UsageError` for none of these.
    """

    workloads: tuple[str, ...] = WORKLOADS
    phases: int = 6
    windows: int = 10

    def __post_init__(self) -> None:
        if not self.workloads or not (1 <= self.phases <= 1000 and 1 <= self.windows <= 10_000):
            raise UsageError(
                f"cannot make episodes of {self.phases} phases of {self.windows} windows of {len(self.workloads)} "
                "workloads (1 to 1000 phases, 1 to 10000 windows)"
            )

    def episode(self, draw: np.random.Generator) -> Iterator[Phase]:
        """The phases of an episode, in order."""
        rounds = -(-self.phases // len(self.workloads))
        order = np.concatenate([draw.permutation(len(self.workloads)) for _ in range(rounds)])[: self.phases]
        seeds = draw.integers(1, _SEEDS, self.phases)
        return (Phase(self.workloads[n], seed) for n, seed in zip(order.tolist(), seeds.tolist(), strict=True))
