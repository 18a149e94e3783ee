"""Loads and watchers in; the time of each load under each watcher, and without a watcher before and after, out.

The time that a watcher adds is a small difference of two large numbers, between whose measurements the machine drifts.
So each load runs without a watcher right before and right after, and a yardstick beside each run removes the drift.
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

AnySample = TypeVar("AnySample")
ROUNDS = 3
#: Subjects that a target compares, and their turns in each round: they differ by little more than the error of a turn.
_COMPARED, _TURNS = ("schedtel", peers.FROM_10_MS, "runqlat", "perf sched record"), 2
#: Seconds for which a load runs repeatedly under a watcher, which is a window; and alone, before and after.
_WATCHED_S, _ALONE_S = peers.USUAL_WINDOW_S, 2.5


class Run(NamedTuple):
    """The time of one run of a load, and of a piece of the yardstick beside it (1 without a yardstick)."""

    took: float
    piece_ns: float


@dataclass(frozen=True)
class Load:
    """A load that keeps every CPU busy; ``run`` executes it and returns its time in ``unit``.

    ``by_yardstick``: a yardstick shows how fast the machine is for this load; true for loads of kernel work.
    """

    unit: str
    run: Callable[[], float]
    by_yardstick: bool

    def runs(self, seconds: float) -> list[Run]:
        """Run at least once, and again until ``seconds`` have passed."""
        begin, done = time.monotonic(), []
        while not done or time.monotonic() - begin < seconds:
            done.append(self._run_by_yardstick() if self.by_yardstick else Run(self.run(), 1.0))
        return done

    def _run_by_yardstick(self) -> Run:
        with workloads.yardstick() as pieces:
            took = self.run()
        # The longest pieces contain interrupts, whose time is not in the load's CPU time.
        return Run(took, mean(pieces[: max(1, len(pieces) * 19 // 20)]))

    def watched_runs(self, collector: int) -> tuple[list[Run], float]:
        """Runs over a window's length, and the part of all CPUs that the collector takes meanwhile.

        :param collector: its pid; 0 if there is none.
        """
        with ThreadPoolExecutor(1) as beside:
            share = beside.submit(_share_of_cpus, collector, _WATCHED_S)
            return self.runs(_WATCHED_S), share.result()


def _share_of_cpus(collector: int, seconds: float) -> float:
    """The part of all CPUs that the collector takes.

    0 without a collector, or if this process attached the programs that watch.
    """
    if collector in (0, os.getpid()):
        return 0.0
    begin, before = time.monotonic_ns(), process.cpu_ns(collector)
    time.sleep(seconds)
    return (process.cpu_ns(collector) - before) / (time.monotonic_ns() - begin) / len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Sample:
    """The time of a load under a watcher, and the time that it would have taken meanwhile without one."""

    watched: float
    alone: float

    @property
    def slowdown(self) -> float:
        return self.watched / self.alone

    @property
    def added(self) -> float:
        return self.watched - self.alone


def under_everybody(
    part: str, plan: Plan, sample: Callable[[Peer], AnySample], watchers: list[Peer]
) -> tuple[dict[str, list[AnySample]], list[str]]:
    """Name → a sample for each turn, of ``nobody`` (no watcher), the ladder and the watchers; and notes.

    Notes say whether bpf_stats is on, and which subjects failed.
    """
    notes = [f"{part}: kernel.bpf_stats_enabled is 1, which slows BPF programs down"] if kernel.counts() else []
    nobody = Peer("nobody", lambda: nullcontext(0), settle_s=0)
    subjects = {peer.name: peer for peer in (nobody, *rungs.ladder(), *watchers)}
    compared = [name for name in _COMPARED if name in subjects]
    turns = favouring(compared, [name for name in subjects if name not in compared], _TURNS)
    samples, failures = interleaved(subjects, plan.rounds(ROUNDS), sample, turns=turns)
    return samples, notes + failures


def between(load: Load, peer: Peer) -> Sample:
    """A load under a peer, compared with the load alone before the peer starts and after it has ended."""
    before = load.runs(_ALONE_S)
    with peer.watching() as collector:
        load.runs(peer.settle_s)  # the work at a window's end is for the time before it
        watched, share = load.watched_runs(collector)
    return compared(watched, share, before + load.runs(_ALONE_S))


def compared(watched: list[Run], share: float, alone: list[Run]) -> Sample:
    """Mean time of the watched runs with the collector's part of the CPUs added; and of the runs alone.

    The time of the runs alone is scaled by the yardstick to the machine's pace during the watched runs.
    """
    took = mean(run.took for run in watched)
    slower = mean(run.took / run.piece_ns for run in watched) / mean(run.took / run.piece_ns for run in alone)
    return Sample(took * (1 + share), took / slower)
