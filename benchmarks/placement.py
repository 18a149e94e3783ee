"""What a watcher adds to a pinned round trip in each of many loads, at places of the kernel's choice and at others.

The kernel puts the machine code of a program, its maps and the states of tasks somewhere else in each load. A sample is
one load: four pairs of tasks make round trips one after the other, and of all their chunks the calmest quarter counts
(see pipe). The spread inside a load is that of its four pairs.

A moved subject is schedtel's programs without a collector, attached by this process after one thing was put somewhere
else on purpose: ``programs`` (up to 40 other objects were loaded before ours, with their programs and maps), ``states``
(up to 3,000 sleeping tasks have taken states, and addresses of tasks). If a place mattered, the loads would differ by
more than the pairs inside a load.

The results keep earlier runs of this part, so that there are several hours. The targets hold for the worst load: its
time, divided by the median of the other subject in the same run.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from statistics import median, stdev
from typing import NamedTuple

import schedtel
from benchmarks import builds, peers, rungs, workloads
from benchmarks.measures import Plan, Row, Target, row
from benchmarks.peers import Peer
from benchmarks.pipe import like_with_like
from benchmarks.rounds import interleaved
from schedtel.kernel.libbpf import BpfObject

PART = "placement"
_LOADS, _PAIRS, _TRIPS = 10, 4, 25_000
_UNIT = "ns/round trip"
_WATCHERS = ("runqlat", "perf sched record")
_TARGETS = {rungs.FLOOR: Target(1.3), "runqlat": Target(0.40), "perf sched record": Target(0.15)}
_SEED = 18
#: Puts something in the way of the next load, for as long as its context lasts.
Way = Callable[[random.Random], AbstractContextManager[object]]


class Load(NamedTuple):
    """Nanoseconds that one load added to a round trip: by the calmest chunks of all pairs, and by each pair."""

    added: float
    by_pair: tuple[float, ...]


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    others = [peer for peer in peers.measured() if peer.name in _WATCHERS]
    ladder = [peer for peer in rungs.ladder() if peer.name in ("empty", rungs.FLOOR)]
    subjects = {peer.name: peer for peer in (*ladder, peers.schedtel(), *others, *_moved(random.Random(_SEED)))}
    hour = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    samples, notes = interleaved(subjects, plan.rounds(_LOADS), _sample)
    return _rows(samples, hour), notes


def _sample(peer: Peer) -> Load:
    before = workloads.pipe(_TRIPS)
    with peer.watching():
        time.sleep(peer.settle_s)
        watched = [workloads.pipe(_TRIPS) for _ in range(_PAIRS)]
    alone = before + workloads.pipe(_TRIPS)
    every = like_with_like([chunk for pair in watched for chunk in pair], alone)
    return Load(every.added, tuple(like_with_like(pair, alone).added for pair in watched))


# ---- places ----


def _moved(chance: random.Random) -> list[Peer]:
    ways: dict[str, Way] = {"nothing": lambda _: nullcontext(), "programs": _programs, "states": _states}
    return [Peer(f"{name} moved", partial(_attached, way, chance), settle_s=0.1) for name, way in ways.items()]


@contextmanager
def _attached(way: Way, chance: random.Random) -> Iterator[int]:
    """schedtel's programs, attached by this process behind what was put in their way. Yields 0: no collector runs."""
    with way(chance), schedtel.live(window="1m"):
        yield 0


@contextmanager
def _programs(chance: random.Random) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(chance.randrange(40)):
            number = chance.randrange(len(rungs.NAMES)) + 1
            loaded = BpfObject(builds.bpf_object("ladder", RUNG=number, **rungs.SIZES))
            stack.callback(loaded.close)
            loaded.load()
        yield


def _states(chance: random.Random) -> AbstractContextManager[object]:
    return workloads.workers(chance.randrange(1, 3000))


# ---- rows ----


def _rows(samples: dict[str, list[Load]], hour: str) -> list[Row]:
    """What each subject added in each load; both spreads; and the worst load of schedtel beside the others' medians."""
    added = {name: [load.added for load in loads] for name, loads in samples.items()}
    rows = [row(f"added, {hour}", name, _UNIT, values) for name, values in added.items()]
    for name, loads in samples.items():
        inside = [stdev(load.by_pair) for load in loads]
        rows.append(row(f"spread of pairs in a load, {hour}", name, _UNIT, inside))
        if len(loads) > 1:
            rows.append(row(f"spread of loads, {hour}", name, _UNIT, [stdev(added[name])]))
    for other, target in _TARGETS.items():
        if other in added:
            rows.append(_worst(added["schedtel"], added[other], other, hour, target))
    return rows


def _worst(ours: list[float], theirs: list[float], other: str, hour: str, target: Target) -> Row:
    loads = tuple(value / median(theirs) for value in ours)
    return Row(f"worst load, {hour}", f"schedtel / {other}", "ratio", max(loads), loads, target)
