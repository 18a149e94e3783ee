"""Loads of other kinds in; how many bytes `schedtel events record` writes for each event of the machine, out.

``compile``: two shells that compile the load generator again and again. ``messaging``: `perf bench sched messaging`.
``fork storm``: processes that are forked, exec and end. All files of a recording count, with the names and lives of
tasks, of which a fork storm has many.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import builds, recorders, workloads
from benchmarks.event_rates import lost_in
from benchmarks.measures import Plan, Row, Target, row

_ROUNDS, _FOR_S, _FORKS, _SHELLS = 3, 4, 12_000, 2
_BYTES = Target(4.5)
_TABLES = ("events", "tasks", "gaps")
_SUBJECT = "schedtel events record"


def measure(plan: Plan) -> list[Row]:
    """The rows of all loads."""
    loads: dict[str, Callable[[], object]] = {"compile": _compile, "fork storm": lambda: workloads.forks_ns(_FORKS)}
    if workloads.has_perf():
        loads["messaging"] = workloads.messaging
    return [
        row_
        for name, load in loads.items()
        for row_ in _rows(name, [_recorded(load) for _ in range(plan.rounds(_ROUNDS))])
    ]


def _recorded(load: Callable[[], object]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recorded"
        command = recorders.events_command(path)
        _, took = recorders.recorded(command, recorders.wait_for_programs, lambda _: load())
        events = recorders.events_in(path)
        sizes = {table: sum(part.stat().st_size for part in (path / table).glob("*")) for table in _TABLES}
        return {
            "rate": events / took.lasted_ns * 1e6,
            "bytes": sum(sizes.values()) / events,
            "events": sizes["events"] / events,
            "lost": float(lost_in(path)),
        }


def _compile() -> None:
    """Compile for some seconds, in several shells at a time."""
    command = [*builds.load_command(), "-o", "/dev/null"]
    end = time.monotonic() + _FOR_S
    while time.monotonic() < end:
        for process in [subprocess.Popen(command) for _ in range(_SHELLS)]:
            process.wait()


def _rows(load: str, samples: list[dict[str, float]]) -> list[Row]:
    units = {
        "rate": ("events", "thousand/s", None),
        "bytes": ("size of an event", "bytes", _BYTES),
        "events": ("size of an event without tasks and gaps", "bytes", None),
        "lost": ("lost events", "events", None),
    }
    return [
        row(f"{load}: {title}", _SUBJECT, unit, [one[key] for one in samples], target)
        for key, (title, unit, target) in units.items()
    ]
