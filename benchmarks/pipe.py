"""Time of a round trip of ``perf bench sched pipe``, both tasks on one CPU, while a peer watches (bpf_stats off)."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from statistics import mean

from benchmarks import kernel, peers, workloads
from benchmarks.measures import Row, Target, ratio, rotations, row

PART = "pipe"
#: More than a second, so that every sample has a window's end in it.
LOOPS, WARM_UP_LOOPS, REPEATS = 200_000, 10_000, 9
#: A collector's first windows pay for imports and first uses; that is start-up, and not what a round trip costs.
_SETTLE_S = 2.5
_TARGETS = {"runqlat": Target(0.5), "perf sched record": Target(0.2)}


def measure() -> tuple[list[Row], list[str]]:
    """Rows, and notes on what could not be measured."""
    if not workloads.tool("perf"):
        return [], ["pipe: not measured, perf is missing (apt install linux-perf)"]
    notes = ["pipe: kernel.bpf_stats_enabled is 1, which slows BPF programs down"] if kernel.counts() else []
    takers: dict[str, Callable[[], float]] = {
        "nobody": lambda: _sample(None),
        # Measured twice in each round: how far the two are apart is what chance and the machine add.
        "nobody again": lambda: _sample(None),
        "schedtel": lambda: _sample(peers.schedtel_command()),
        "runqlat": lambda: _sample(peers.runqlat_command()),
        "perf sched record": _recorded_sample,
    }
    if peers.runqlat_command() is None:
        del takers["runqlat"]
        notes.append("pipe: runqlat is missing (apt install libbpf-tools)")
    return _rows(_samples(takers)), notes


def _sample(command: tuple[str, ...] | None) -> float:
    """Nanoseconds a round trip."""
    with peers.running(command) if command else nullcontext() as pid:
        time.sleep(_SETTLE_S if pid else 0)
        workloads.pipe_ns(WARM_UP_LOOPS)
        return workloads.pipe_ns(LOOPS)


def _recorded_sample() -> float:
    workloads.pipe_ns(WARM_UP_LOOPS)
    return workloads.recorded_pipe_ns(LOOPS)


def _samples(takers: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in takers}
    for order in rotations(list(takers), REPEATS):
        for name in order:
            samples[name].append(peers.undisturbed(takers[name]))
    return samples


def _rows(samples: dict[str, list[float]]) -> list[Row]:
    nobody = [mean(pair) for pair in zip(samples["nobody"], samples["nobody again"], strict=True)]
    rows = [row("round trip", name, "ns", values) for name, values in samples.items()]
    watched = {name: values for name, values in samples.items() if not name.startswith("nobody")}
    added = {name: _added(values, nobody) for name, values in watched.items()}
    rows += [row("added", name, "ns", values) for name, values in added.items()]
    rows.append(row("noise of added", "nobody", "ns", _added(samples["nobody again"], samples["nobody"])))
    rows += [row("slowdown", name, "ratio", _divided(samples[name], nobody)) for name in added]
    for peer, target in _TARGETS.items():
        if peer in added:
            rows.append(ratio("added", added["schedtel"], added[peer], peer, target))
    return rows


def _added(values: list[float], nobody: list[float]) -> list[float]:
    return [value - base for value, base in zip(values, nobody, strict=True)]


def _divided(values: list[float], nobody: list[float]) -> list[float]:
    return [value / base for value, base in zip(values, nobody, strict=True)]
