"""CPU time and resident memory of a collector: windows of 5 s with 300 and with 10,000 active tasks.

A task is active if it ran in the window; here, each task wakes up once a second. Peers print every 5 s, too.
"""

import time

from benchmarks import peers, process, workloads
from benchmarks.measures import Plan, Row, Target, row
from benchmarks.peers import USUAL_WINDOW_S, Peer
from benchmarks.rounds import interleaved

PART = "collector"
ROUNDS = 2
#: How many windows one sample takes.
_WINDOWS = 2
#: ftrace has no collector here: no process reads its buffers.
_NOT_HERE = "ftrace"
_RSS_TARGET = Target(75)
_CPU_TARGETS = {300: Target(0.3), 10_000: Target(2.0)}


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    subjects = {peer.name: peer for peer in peers.measured(USUAL_WINDOW_S) if peer.name != _NOT_HERE}
    rows, notes = _rows(subjects, 300, plan.rounds(ROUNDS))
    more_rows, more_notes = _rows({"schedtel": subjects["schedtel"]}, 10_000, plan.rounds(ROUNDS))
    return rows + more_rows, notes + more_notes


def _rows(subjects: dict[str, Peer], active: int, rounds: int) -> tuple[list[Row], list[str]]:
    with workloads.workers(active) as load:
        samples, notes = interleaved(subjects, rounds, lambda peer: _sample(peer, load), attempts=2)
    rows = []
    for name, values in samples.items():
        cpu, resident = (list(column) for column in zip(*values, strict=True))
        targets = (_CPU_TARGETS[active], _RSS_TARGET) if name == "schedtel" else (None, None)
        rows.append(row(f"CPU, {active:,} active tasks", name, "% of a CPU", cpu, targets[0]))
        rows.append(row(f"RSS, {active:,} active tasks", name, "MB", resident, targets[1]))
    return rows, notes


def _sample(peer: Peer, load: workloads.Workers) -> tuple[float, float]:
    """CPU in percent over whole windows without the first, and megabytes of memory at their end."""
    with peer.watching() as pid:
        # From just after one edge of schedtel's grid to just after another: it contains as many flushes as windows.
        _pulse_until(load, _next_edge_s() + 0.5)
        begin, before = time.monotonic(), process.cpu_ns(pid)
        _pulse_until(load, begin + _WINDOWS * USUAL_WINDOW_S)
        cpu_ns, seconds = process.cpu_ns(pid) - before, time.monotonic() - begin
        return cpu_ns / 1e7 / seconds, process.resident_mb(pid)


def _next_edge_s() -> float:
    return (time.monotonic() // USUAL_WINDOW_S + 1) * USUAL_WINDOW_S


def _pulse_until(load: workloads.Workers, moment_s: float) -> None:
    """Wake every task once a second until a moment on CLOCK_MONOTONIC."""
    while (left := moment_s - time.monotonic()) > 0:
        load.pulse()
        time.sleep(min(1.0, max(0.0, left)))
