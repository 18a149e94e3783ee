"""Loads and who watches them in; how long each takes with nobody watching, with somebody, and with nobody again, out.

What somebody adds is a small difference of large numbers, between which the machine drifts: so each load runs with
nobody watching right before and right after, and beside each run goes a yardstick, by which drift is taken out.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple, TypeVar

from benchmarks import kernel, peers, process, rungs, workloads
from benchmarks.measures import Plan, favouring
from benchmarks.peers import Peer
from benchmarks.rounds import interleaved

Taken = TypeVar("Taken")
ROUNDS = 3
#: Those that a target compares, and their turns in each round: they differ by not much more than what a turn is off.
_COMPARED, _TURNS = ("schedtel", peers.FROM_10_MS, "runqlat", "perf sched record"), 2
#: A load runs again and again for so long while somebody watches, which is a window; and before and after, alone.
_WATCHED_S, _ALONE_S = peers.USUAL_WINDOW_S, 2.5


class Run(NamedTuple):
    """What one run of a load took, and a piece of the yardstick beside it; 1 where there was none."""

    took: float
    piece_ns: float


@dataclass(frozen=True)
class Load:
    """What a ``run`` takes, in units, while it keeps every CPU busy.

    ``by_yardstick``: how fast the machine is for it is told by a yardstick; that is so for what the kernel does.
    """

    unit: str
    run: Callable[[], float]
    by_yardstick: bool

    def runs(self, seconds: float) -> list[Run]:
        """One run at least, and others until so much time has passed."""
        begin, done = time.monotonic(), []
        while not done or time.monotonic() - begin < seconds:
            done.append(self._run_by_yardstick() if self.by_yardstick else Run(self.run(), 1.0))
        return done

    def _run_by_yardstick(self) -> Run:
        with workloads.yardstick() as pieces:
            took = self.run()
        # The longest are of interrupts, of which nothing is in what a task took.
        return Run(took, mean(pieces[: max(1, len(pieces) * 19 // 20)]))

    def watched_runs(self, collector: int) -> tuple[list[Run], float]:
        """Runs of a window's length, and the part of all CPUs that the process which collects, if any, takes of it."""
        with ThreadPoolExecutor(1) as beside:
            share = beside.submit(_share_of_cpus, collector, _WATCHED_S)
            return self.runs(_WATCHED_S), share.result()


def _share_of_cpus(collector: int, seconds: float) -> float:
    """What a process takes of them; nothing where nobody collects, or only programs attached by this process watch."""
    if collector in (0, os.getpid()):
        return 0.0
    begin, before = time.monotonic_ns(), process.cpu_ns(collector)
    time.sleep(seconds)
    return (process.cpu_ns(collector) - before) / (time.monotonic_ns() - begin) / len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Sample:
    """A load under a watcher, and as it would have been meanwhile with nobody watching."""

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
    """A load under a peer, beside the load alone before it came and after it went."""
    before = load.runs(_ALONE_S)
    with peer.watching() as collector:
        load.runs(peer.settle_s)  # what is written at a window's end is of the time before
        watched, share = load.watched_runs(collector)
    return compared(watched, share, before + load.runs(_ALONE_S))


def compared(watched: list[Run], share: float, alone: list[Run]) -> Sample:
    """Watched runs, the collector's part of the CPUs on top; and those alone, at the pace that the watched ones had."""
    took = mean(run.took for run in watched)
    slower = mean(run.took / run.piece_ns for run in watched) / mean(run.took / run.piece_ns for run in alone)
    return Sample(took * (1 + share), took / slower)
