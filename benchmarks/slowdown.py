"""How much longer four loads take while somebody watches the scheduler (bpf_stats off): ladder and peers in one run.

``pipe``: a round trip of two pinned tasks; ``messaging``: 10 groups of 40 processes; ``fork storm``: a process that is
forked, execs and ends, in one of two lanes; ``cpu bound``: arithmetic on every CPU. Pipe and storm: of the better
quarter of the time; the others: the shortest of some runs. What a collector does now and then is not in that, so its
CPU time meanwhile, by the kernel's books, is added to all but the pipe: divided by the CPUs, which these loads keep
busy. Each is a median over rounds, each round in another order. What a target compares has five turns in each of them,
since what these differ by is not much more than what a turn is off.

What somebody adds is a small difference of large numbers, between which the machine drifts: so each load runs with
nobody watching right before and right after, in each round for each of them. Where these two differ by more than the
load does by itself on a quiet machine, all three run again. The slowdown of ``nobody`` is what chance makes of 1.
"""

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import mean

from benchmarks import kernel, peers, process, rungs, workloads
from benchmarks.measures import Plan, Row, Target, favouring, ratio, row
from benchmarks.peers import Peer
from benchmarks.rounds import interleaved

PART = "slowdown"
ROUNDS = 3
#: Turns in each round of those that a target compares.
_TURNS = 5
#: How often a load runs at most with nobody, somebody, nobody watching, until the machine is the same before and after.
_MOST_TRIES = 3


@dataclass(frozen=True)
class Load:
    """How long a ``run`` takes, in units; the least of ``runs`` is what counts.

    ``steady``: by how much of it two runs differ on a machine that is the same. ``busy``: whether it keeps every CPU
    busy, so that a collector takes its CPU time from it.
    """

    unit: str
    run: Callable[[], float]
    steady: float
    runs: int = 1
    busy: bool = True

    def sample(self, collector: int = 0) -> float:
        """How long it takes, and the part that the process which collects, if any, takes of the CPUs on top."""
        begin, before = time.monotonic_ns(), _cpu_ns(collector)
        taken = min(self.run() for _ in range(self.runs))
        share = (_cpu_ns(collector) - before) / (time.monotonic_ns() - begin) / len(os.sched_getaffinity(0))
        return taken * (1 + share * self.busy)


def _cpu_ns(collector: int) -> int:
    """CPU time of a collector so far; none where nobody collects, or only programs attached by this process watch."""
    return process.cpu_ns(collector) if collector not in (0, os.getpid()) else 0


_PIPE, _NOBODY = "pipe", "nobody"
_LOADS = {
    _PIPE: Load("ns/round trip", lambda: workloads.pipe_ns(100_000), steady=0.03, busy=False),
    "messaging": Load("ms", lambda: workloads.messaging_ns(10, 50) / 1e6, steady=0.05, runs=3),
    "fork storm": Load("µs/process", lambda: workloads.forks_ns(3_000) / 1e3, steady=0.03),
    "cpu bound": Load("ms", lambda: workloads.spin_ns(250) / 1e6, steady=0.03, runs=2),
}
_ADDED_TARGETS = {"runqlat": Target(0.40), "perf sched record": Target(0.15)}
_NO_WORSE = {"messaging": Target(1.0), "fork storm": Target(1.0)}
_COMPARED = ("schedtel", *_ADDED_TARGETS)


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


#: (load, watcher) → a sample for each turn.
Samples = dict[tuple[str, str], list[Sample]]


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """Rows, and notes on what could not be measured."""
    if not workloads.has_perf():
        return [], ["slowdown: not measured, perf is missing (apt install linux-perf)"]
    notes = ["slowdown: kernel.bpf_stats_enabled is 1, which slows BPF programs down"] if kernel.counts() else []
    nobody = Peer(_NOBODY, lambda: nullcontext(0), settle_s=0)
    takers = {peer.name: peer for peer in (nobody, *rungs.ladder(), *peers.measured())}
    compared = [name for name in _COMPARED if name in takers]
    turns = favouring(compared, [name for name in takers if name not in compared], _TURNS)
    taken, said = interleaved(takers, plan.rounds(ROUNDS), _sample, turns=turns)
    samples = {(load, name): [one[load] for one in each] for name, each in taken.items() for load in each[0]}
    return [line for load in _LOADS for line in _rows(load, samples, list(taken))], notes + said


def _sample(peer: Peer) -> dict[str, Sample]:
    """One sample of each load under a peer."""
    return {name: _between(load, peer) for name, load in _LOADS.items()}


def _between(load: Load, peer: Peer) -> Sample:
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


def _rows(load: str, samples: Samples, names: list[str]) -> list[Row]:
    rows = [row(load, name, _LOADS[load].unit, [sample.watched for sample in samples[load, name]]) for name in names]
    slower = {name: [sample.slowdown for sample in samples[load, name]] for name in names}
    rows += [row(f"{load}, slowdown", name, "ratio", values) for name, values in slower.items()]
    if load == _PIPE:
        return rows + _pipe_added(samples, names)
    if "runqlat" in names:
        both = (slower["schedtel"], slower["runqlat"])
        rows.append(ratio(f"{load}, slowdown", *both, "schedtel / runqlat", _NO_WORSE.get(load)))
    return rows


def _pipe_added(samples: Samples, names: list[str]) -> list[Row]:
    """What each adds to a round trip, and schedtel in parts of what others add."""
    added = {name: [sample.added for sample in samples[_PIPE, name]] for name in names}
    rows = [row("pipe, added", name, "ns/round trip", values) for name, values in added.items()]
    for peer, target in _ADDED_TARGETS.items():
        if peer in added:
            rows.append(ratio("pipe, added", added["schedtel"], added[peer], f"schedtel / {peer}", target))
    return rows
