"""Resident memory of a collector after a few windows, on a quiet machine and with many active tasks."""

import time
from contextlib import nullcontext

from benchmarks import kernel, peers, workloads
from benchmarks.measures import Row, Target, rotations, row

PART = "memory"
REPEATS, WINDOWS = 3, 3
_ACTIVE = 2000
_TARGET = Target(90)


def measure() -> tuple[list[Row], list[str]]:
    """Rows, and notes on what could not be measured."""
    commands, notes = {"schedtel": peers.schedtel_command()}, []
    if runqlat := peers.runqlat_command():
        commands["runqlat"] = runqlat
    else:
        notes.append("memory: runqlat is missing (apt install libbpf-tools)")
    return _rows(commands, 0) + _rows(commands, _ACTIVE), notes


def _rows(commands: dict[str, tuple[str, ...]], active: int) -> list[Row]:
    samples: dict[str, list[float]] = {peer: [] for peer in commands}
    for order in rotations(list(commands), REPEATS):
        for peer in order:
            samples[peer].append(_sample(commands[peer], active))
    name = f"RSS, {active:,} active tasks" if active else "RSS"
    targets = {"schedtel": _TARGET}
    return [row(name, peer, "MB", values, targets.get(peer)) for peer, values in samples.items()]


def _sample(command: tuple[str, ...], active: int) -> float:
    """Megabytes after WINDOWS windows of a second, in each of which so many threads woke up."""
    with workloads.threads(active) if active else nullcontext() as load, peers.running(command) as pid:
        for _ in range(WINDOWS):
            time.sleep(1)
            if load:
                load.pulse()
        time.sleep(0.5)
        return kernel.resident_mb(pid)
