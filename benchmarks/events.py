"""Single events, recorded by schedtel and by `perf sched record`: what it adds to a round trip of two pinned tasks, the
size of what is written, and how long it takes from the end of the run until there is a table, or text, of all events.

Runs only on request: ``python -m benchmarks events``. The two take turns. A round trip under each is compared with
round trips alone right before and after, as in the part pipe. What perf has written is text only after `perf script`.
At the end, what the recorder alone does with as many events as two pinned pipes make, and with five million a second
from a program that writes into its ring; how many bytes an event of other loads has; and what the programs take at an
event, with and without books, beside an empty one and one that reads the clock.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import event_programs, event_rates, event_sizes, recorders, workloads
from benchmarks.failures import PeerError
from benchmarks.measures import Plan, Row, Target, ratio, row
from benchmarks.peers import tool
from benchmarks.pipe import like_with_like
from benchmarks.rounds import interleaved

PART = "events"
_ROUNDS, _TRIPS, _PATIENCE_S = 6, 350_000, 60  # a round trip has three events
#: What the recorder's CPU time is told for, since a quick machine has more events.
_EVENTS_PER_S = 300_000
_OURS, _BOOKS, _PERF = "schedtel events record", "schedtel events record --books", "perf sched record"
_SLOWER, _SMALLER, _SOONER, _BYTES, _CPU = Target(0.17), Target(0.03), Target(0.01), Target(2.0), Target(6.0)


@dataclass(frozen=True)
class _Recorder:
    """How to record to a path; whether the process records by now; and what it has written, counted."""

    command: Callable[[Path], list[str]]
    has_begun: Callable[[subprocess.Popen], None]
    count: Callable[[Path], int]


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    perf = tool("perf")
    if perf is None:
        raise PeerError("perf is not installed")
    subjects = {
        _OURS: _Recorder(recorders.events_command, recorders.wait_for_programs, recorders.events_in),
        _BOOKS: _Recorder(
            lambda path: recorders.events_command(path, "--books"), recorders.wait_for_programs, recorders.events_in
        ),
        _PERF: _Recorder(
            lambda path: [perf, "sched", "record", "-o", str(path)],
            recorders.wait_for_events,
            lambda path: _lines_of_script(perf, path),
        ),
    }
    samples, notes = interleaved(subjects, plan.rounds(_ROUNDS), _sample)
    programs, more = event_programs.measure(plan)
    return _rows(samples) + programs + event_rates.measure(plan) + event_sizes.measure(plan), notes + more


def _lines_of_script(perf: str, path: Path) -> int:
    """All events as text, which is what perf makes of its file."""
    script = subprocess.run([perf, "script", "-i", str(path)], capture_output=True, check=True)
    return script.stdout.count(b"\n")


def _sample(recorder: _Recorder) -> dict[str, float]:
    before = workloads.pipe(_TRIPS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recorded"
        watched, took = recorders.recorded(recorder.command(path), recorder.has_begun, lambda _: workloads.pipe(_TRIPS))
        events = recorder.count(path)
        counted_ns = time.monotonic_ns() - took.ended_ns
        size = sum(part.stat().st_size for part in (path, *path.rglob("*")) if part.is_file())
    trip = like_with_like(watched, before + workloads.pipe(_TRIPS))
    return {
        "added": trip.added,
        "bytes": size / events,
        "closed": took.closed_ns / 1e6,
        "table": counted_ns / 1e6,
        "cpu": took.cpu_ns / events * _EVENTS_PER_S / 1e9 * 100,
        "resident": took.resident_mb,
        "rate": events / took.lasted_ns * 1e6,
    }


def _rows(samples: dict[str, list[dict[str, float]]]) -> list[Row]:
    units = {
        "added": ("added", "ns/round trip", None),
        "bytes": ("size of an event", "bytes", _BYTES),
        "closed": ("end of the run → closed file", "ms", None),
        "table": ("end of the run → all events counted in the table, or printed", "ms", None),
        "cpu": (f"CPU time of the recorder for {_EVENTS_PER_S} events/s", "% of a CPU", _CPU),
        "resident": ("memory of the recorder", "MB", None),
        "rate": ("events", "thousand/s", None),
    }
    rows = []
    for name, taken in samples.items():
        for key, (title, unit, target) in units.items():
            rows.append(row(title, name, unit, [one[key] for one in taken], target if name == _OURS else None))
    if {_OURS, _PERF} <= samples.keys():
        compared = {"added": _SLOWER, "bytes": _SMALLER, "table": _SOONER}
        for key, target in compared.items():
            mine, theirs = ([one[key] for one in samples[name]] for name in (_OURS, _PERF))
            rows.append(ratio(units[key][0], mine, theirs, f"{_OURS} / {_PERF}", target))
    return rows
