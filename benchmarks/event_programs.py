"""What the BPF programs of single events cost at a switch and a wakeup, beside an empty program and one that reads the
clock, at the same tracepoints and in the same run.

The kernel times each run (bpf_stats_enabled), and what that adds is in all of them alike. An event's *own* cost is what
its program takes more than the one that only reads the clock: the call and the clock are paid by anybody who wants to
know when something happened. With books it is the programs of ``schedtel events record --books``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import kernel, recorders, rungs, workloads
from benchmarks.failures import PeerError
from benchmarks.measures import Plan, Row, Target, row
from benchmarks.rounds import interleaved

_ROUNDS, _TRIPS, _WARM_UP_TRIPS = 9, 60_000, 5_000
_EMPTY, _CLOCK = rungs.NAMES[:2]
_EVENTS, _BOOKS = "schedtel events", "schedtel events, books"
_OWN = Target(24)


@dataclass(frozen=True)
class _Subject:
    """Who is watching, as a context that yields the pid; and the program at each event."""

    watching: Callable[[], AbstractContextManager[int]]
    programs: dict[str, str]


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows, and notes on what could not be measured."""
    ladder = {peer.name: peer for peer in rungs.ladder()}
    subjects = {
        name: _Subject(ladder[name].watching, {event: rungs.PROGRAMS[event][0] for event in ("switch", "wakeup")})
        for name in (_EMPTY, _CLOCK)
    }
    ours = {"switch": "on_switch", "wakeup": "on_wakeup"}
    subjects[_EVENTS] = _Subject(_recording, ours)
    subjects[_BOOKS] = _Subject(partial(_recording, "--books"), ours)
    with kernel.counting():
        samples, notes = interleaved(subjects, plan.rounds(_ROUNDS), _sample)
    return _rows(samples), notes


@contextmanager
def _recording(*arguments: str) -> Iterator[int]:
    """A recorder of events, which runs until the context ends."""
    with (
        tempfile.TemporaryDirectory() as folder,
        recorders.running(
            recorders.events_command(Path(folder) / "recorded", *arguments), recorders.wait_for_programs
        ) as process,
    ):
        yield process.pid


def _sample(subject: _Subject) -> dict[str, float]:
    """Event → mean nanoseconds of a run of the program there, while two tasks on one CPU pass a byte to and fro."""
    with subject.watching() as pid:
        workloads.pipe(_WARM_UP_TRIPS)
        before = kernel.program_runs(pid)
        workloads.pipe(_TRIPS)
        after = kernel.program_runs(pid)
    grown = {event: after[name].since(before[name]) for event, name in subject.programs.items()}
    if min(runs.runs for runs in grown.values()) < _TRIPS:
        raise PeerError(f"process {pid} did not watch: its programs ran {grown}, expected {_TRIPS} runs")
    return {event: runs.mean_ns for event, runs in grown.items()}


def _rows(samples: dict[str, list[dict[str, float]]]) -> list[Row]:
    rows = []
    for event in ("switch", "wakeup"):
        for name, taken in samples.items():
            rows.append(row(f"program at a {event}", name, "ns/run", [one[event] for one in taken]))
        for name, under, target in ((_EVENTS, _CLOCK, _OWN), (_BOOKS, _EVENTS, None)):
            if {name, under} <= samples.keys():
                pairs = zip(samples[name], samples[under], strict=True)
                own = [mine[event] - theirs[event] for mine, theirs in pairs]
                rows.append(row(f"{event}: more than {under}", name, "ns/run", own, target))
    return rows
