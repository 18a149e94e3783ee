"""CPU time and resident memory of a collector: windows of 5 s with 300 and with 10,000 active tasks.

A task is active when it ran in the window: here, each of them wakes up once a second. Peers print every 5 s as well.
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
#: It has no collector: nobody reads its buffers.
_NOT_HERE = "ftrace"
_RSS_TARGET = Target(75)
_CPU_TARGETS = {300: Target(0.3), 10_000: Target(2.0)}


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """Rows, and notes on what could not be measured."""
    takers = {peer.name: peer for peer in peers.measured(USUAL_WINDOW_S) if peer.name != _NOT_HERE}
    rows, notes = _rows(takers, 300, plan.rounds(ROUNDS))
    more, said = _rows({"schedtel": takers["schedtel"]}, 10_000, plan.rounds(ROUNDS))
    return rows + more, notes + said


def _rows(takers: dict[str, Peer], active: int, rounds: int) -> tuple[list[Row], list[str]]:
    with workloads.workers(active) as load:
        samples, notes = interleaved(takers, rounds, lambda peer: _sample(peer, load), attempts=2)
    rows = []
    for name, values in samples.items():
        cpu, resident = (list(column) for column in zip(*values, strict=True))
        targets = (_CPU_TARGETS[active], _RSS_TARGET) if name == "schedtel" else (None, None)
        rows.append(row(f"CPU, {active:,} active tasks", name, "% of a CPU", cpu, targets[0]))
        rows.append(row(f"RSS, {active:,} active tasks", name, "MB", resident, targets[1]))
    return rows, notes


def _sample(peer: Peer, load: workloads.Workers) -> tuple[float, float]:
    """Percent of a CPU over whole windows, the first left out; megabytes at their end."""
    with peer.watching() as pid:
        # From just behind one edge of schedtel's grid to just behind another: as many flushes as windows.
        _pulse_until(load, _next_edge_s() + 0.5)
        begin, before = time.monotonic(), process.cpu_ns(pid)
        _pulse_until(load, begin + _WINDOWS * USUAL_WINDOW_S)
        cpu_ns, seconds = process.cpu_ns(pid) - before, time.monotonic() - begin
        return cpu_ns / 1e7 / seconds, process.resident_mb(pid)


def _next_edge_s() -> float:
    return (time.monotonic() // USUAL_WINDOW_S + 1) * USUAL_WINDOW_S


def _pulse_until(load: workloads.Workers, moment_s: float) -> None:
    """Wake every task once a second until then."""
    while (left := moment_s - time.monotonic()) > 0:
        load.pulse()
        time.sleep(min(1.0, max(0.0, left)))
