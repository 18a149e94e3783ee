"""Small traces: lines of perf with times in ms, and the windows that an import makes of them."""

import io
from pathlib import Path

import traces
from traces import PERF

import schedtel

IDLE, IDLE1, A, B, C = ("swapper/0", 0), ("swapper/1", 0), ("task-a", 101), ("task-b", 102), ("task-c", 103)
MS = 1_000_000
START = 1_000 * MS


def at(ms: float) -> int:
    return START + round(ms * MS)


def windows(*lines: str, window: str = "1s", **options) -> list[schedtel.Window]:
    text = "".join(f"{line}\n" for line in lines).encode()
    return list(schedtel.import_trace(io.BytesIO(text), window, **options))


def only(*lines: str, **options) -> schedtel.Window:
    [window] = windows(*lines, **options)
    return window


def rows(window: schedtel.Window) -> dict[int, dict[str, object]]:
    return {row["tid"]: row for row in window.tasks.to_pylist()}


def summary(window: schedtel.Window) -> dict[str, object]:
    return window.summary.to_pylist()[0]


def switch(ms, cpu, prev, following, state="S", **options):
    return traces.switch(PERF, at(ms), cpu, prev, following, state, **options)


def woken(ms, cpu, task, event="sched_wakeup", **options):
    return traces.woken(PERF, at(ms), cpu, task, event, **options)


def born(ms, cpu, parent, child):
    return [traces.forked(PERF, at(ms), cpu, parent, child), woken(ms, cpu, child, "sched_wakeup_new")]


TRACE = [
    "# hostname : web1",
    switch(0, 0, IDLE, B, "R"),
    *born(1, 0, B, A),
    switch(3, 0, B, A, "S"),
    "not a line of perf",
    traces.exited(PERF, at(8), 0, A),
    switch(9, 0, A, IDLE, "Z"),
    woken(1_500, 0, B),
]


def write_trace(path: Path) -> Path:
    """TRACE as a file."""
    path.write_text("".join(f"{line}\n" for line in TRACE))
    return path
