"""Loads and who watches them in; how long each takes with nobody watching, with somebody, and with nobody again, out.

What somebody adds is a small difference of large numbers, between which the machine drifts: so each load runs with
nobody watching right before and right after. Where these two differ by more than the load does by itself on a quiet
machine, all three run again.
"""

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import mean
from typing import TypeVar

from benchmarks import kernel, peers, process, rungs
from benchmarks.measures import Plan, favouring
from benchmarks.peers import Peer
from benchmarks.rounds import interleaved

Taken = TypeVar("Taken")
ROUNDS = 3
#: Those that a target compares, and their turns in each round: they differ by not much more than what a turn is off.
_COMPARED, _TURNS = ("schedtel", peers.FROM_10_MS, "runqlat", "perf sched record"), 5
#: How often a load runs at most with nobody, somebody, nobody watching, until the machine is the same before and after.
_MOST_TRIES = 3


@dataclass(frozen=True)
class Load:
    """How long a ``run`` takes, in units, while it keeps every CPU busy; the least of ``runs`` is what counts.

    ``steady``: by how much of it two runs differ on a machine that is the same.
    """

    unit: str
    run: Callable[[], float]
    steady: float
    runs: int = 1

    def sample(self, collector: int = 0) -> float:
        """How long it takes, and the part that the process which collects, if any, takes of the CPUs on top."""
        begin, before = time.monotonic_ns(), _cpu_ns(collector)
        taken = min(self.run() for _ in range(self.runs))
        share = (_cpu_ns(collector) - before) / (time.monotonic_ns() - begin) / len(os.sched_getaffinity(0))
        return taken * (1 + share)


def _cpu_ns(collector: int) -> int:
    """CPU time of a collector so far; none where nobody collects, or only programs attached by this process watch."""
    return process.cpu_ns(collector) if collector not in (0, os.getpid()) else 0


@dataclass(frozen=True)
class Sample:
    """A load under a watcher, and with nobody watching around it."""

    watched: float
    alone: float

    @property
    def slowdown(self) -> float:
        return self.watched / self.alone

    @property
    def added(self) -> float:
        return self.watched - self.alone


def under_everybody(
    part: str, plan: Plan, sample: Callable[[Peer], Taken], watchers: list[Peer]
) -> tuple[dict[str, list[Taken]], list[str]]:
    """Name → a sample for each turn, of nobody, the ladder and the watchers; and notes on what is not as usual."""
    notes = [f"{part}: kernel.bpf_stats_enabled is 1, which slows BPF programs down"] if kernel.counts() else []
    nobody = Peer("nobody", lambda: nullcontext(0), settle_s=0)
    takers = {peer.name: peer for peer in (nobody, *rungs.ladder(), *watchers)}
    compared = [name for name in _COMPARED if name in takers]
    turns = favouring(compared, [name for name in takers if name not in compared], _TURNS)
    samples, said = interleaved(takers, plan.rounds(ROUNDS), sample, turns=turns)
    return samples, notes + said


def between(load: Load, peer: Peer) -> Sample:
    """A load under a peer, with the load alone before it came and after it went."""
    before = load.sample()
    for _ in range(_MOST_TRIES):
        with peer.watching() as collector:
            time.sleep(peer.settle_s)
            watched = load.sample(collector)
        begun, before = before, load.sample()
        if abs(before - begun) < load.steady * begun:
            break
    return Sample(watched, mean((begun, before)))
