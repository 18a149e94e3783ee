"""How much longer four loads take while somebody watches the scheduler (bpf_stats off): ladder and peers in one run.

``pipe``: a round trip of two pinned tasks, of the better quarter of the time; ``messaging``: 10 groups of 40
processes, the shortest of three runs; ``fork storm``: fork, exec, exit in two lanes, likewise; ``cpu bound``:
arithmetic on every CPU. Each is a median over rounds, each round in another order.

What somebody adds to a round trip of the pipe is a small difference of large numbers, between which the machine drifts:
so the pipe runs with nobody watching right before and right after, in each round for each of them, and where these two
differ by more than 3 %, all three run again.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from statistics import mean

from benchmarks import kernel, peers, rungs, workloads
from benchmarks.measures import Plan, Row, Target, ratio, row
from benchmarks.peers import Peer
from benchmarks.rounds import interleaved

PART = "slowdown"
ROUNDS, PIPE_TRIPS, WARM_UP_TRIPS = 7, 100_000, 5_000
_FORKS = 800


def _shortest(run: Callable[[], float]) -> float:
    """Of three runs: on a machine that others share, the longer ones are about the others."""
    return min(run() for _ in range(3))


#: name → (unit, what one sample is)
_LOADS: dict[str, tuple[str, Callable[[], float]]] = {
    "messaging": ("ms", lambda: _shortest(lambda: workloads.messaging_ns(10, 50)) / 1e6),
    "fork storm": ("µs/fork", lambda: _shortest(lambda: workloads.forks_ns(_FORKS)) / 1e3 / _FORKS),
    "cpu bound": ("ms", lambda: workloads.spin_ns(500) / 1e6),
}
_ADDED_TARGETS = {"runqlat": Target(0.40), "perf sched record": Target(0.15)}
_NO_WORSE = Target(1.0)
#: Measured twice in each round: how far the two are apart is what chance and the machine add.
_NOBODY = ("nobody", "nobody again")
#: Samples that go by the second name are of the pipe with nobody watching, around those with a watcher.
_PIPE, _ALONE = "pipe", "pipe alone"
#: Where the pipe alone is not as fast after a watcher as before it, by this part, the machine has changed: once more.
_STEADY, _MOST_TRIES = 0.03, 6
Samples = dict[tuple[str, str], list[float]]


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """Rows, and notes on what could not be measured."""
    if not workloads.has_perf():
        return [], ["slowdown: not measured, perf is missing (apt install linux-perf)"]
    notes = ["slowdown: kernel.bpf_stats_enabled is 1, which slows BPF programs down"] if kernel.counts() else []
    nobody, again = (Peer(name, lambda: nullcontext(0), settle_s=0) for name in _NOBODY)
    # Not side by side: drift of the machine, which lies between all the others, must lie between these two as well.
    takers = {peer.name: peer for peer in (nobody, *rungs.ladder(), again, *peers.measured())}
    taken, said = interleaved(takers, plan.rounds(ROUNDS), _sample)
    samples = {(load, name): [one[load] for one in each] for name, each in taken.items() for load in each[0]}
    watchers = [name for name in taken if name not in _NOBODY]
    return [line for load in (_PIPE, *_LOADS) for line in _rows(load, samples, watchers)], notes + said


def _sample(peer: Peer) -> dict[str, float]:
    """One value of each load under a peer; and of the pipe before it came and after it went."""
    before = workloads.pipe_ns(PIPE_TRIPS)
    for _ in range(_MOST_TRIES):
        with peer.watching():
            time.sleep(peer.settle_s)
            workloads.pipe_ns(WARM_UP_TRIPS)
            piped = workloads.pipe_ns(2 * PIPE_TRIPS)
        begun, before = before, workloads.pipe_ns(PIPE_TRIPS)
        if abs(before - begun) < _STEADY * begun:
            break
    with peer.watching():
        time.sleep(peer.settle_s)
        values = {load: sample() for load, (_, sample) in _LOADS.items()}
    return values | {_PIPE: piped, _ALONE: mean((begun, before))}


def _rows(load: str, samples: Samples, watchers: list[str]) -> list[Row]:
    first, again = (samples[load, name] for name in _NOBODY)
    nobody = [mean(pair) for pair in zip(first, again, strict=True)]
    slower = {name: _divided(samples[load, name], nobody) for name in watchers}
    unit = "ns/round trip" if load == _PIPE else _LOADS[load][0]
    rows = [row(load, name, unit, samples[load, name]) for name in (*_NOBODY, *watchers)]
    rows.append(row(f"{load}, noise", "nobody again / nobody", "ratio", _divided(again, first)))
    rows += [row(f"{load}, slowdown", name, "ratio", values) for name, values in slower.items()]
    return rows + (_pipe_added(samples, watchers) if load == _PIPE else _ratios(load, samples))


def _pipe_added(samples: Samples, watchers: list[str]) -> list[Row]:
    """What each adds to a round trip, and schedtel in parts of what others add."""
    added = {name: _added(samples[_PIPE, name], samples[_ALONE, name]) for name in watchers}
    rows = [row("pipe, added", name, "ns/round trip", values) for name, values in added.items()]
    for peer, target in _ADDED_TARGETS.items():
        if peer in added:
            rows.append(ratio("pipe, added", added["schedtel"], added[peer], f"schedtel / {peer}", target))
    return rows


def _ratios(load: str, samples: Samples) -> list[Row]:
    if (load, "runqlat") not in samples:
        return []
    target = _NO_WORSE if load in ("messaging", "fork storm") else None
    return [ratio(load, samples[load, "schedtel"], samples[load, "runqlat"], "schedtel / runqlat", target)]


def _added(values: list[float], nobody: list[float]) -> list[float]:
    return [value - base for value, base in zip(values, nobody, strict=True)]


def _divided(values: list[float], nobody: list[float]) -> list[float]:
    return [value / base for value, base in zip(values, nobody, strict=True)]
