"""A long run of ``schedtel live`` under changing load: are memory and files flat, the grid kept, and no event lost?

Runs only on request: ``python -m benchmarks soak --minutes N``. Windows are short, so that an hour has 14,400 of them.
``programs_skipped`` is shown separately: schedtel does not lose those events; the kernel withholds them (in the context
of a protected process).
"""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle, pairwise

from benchmarks import peers, process, workloads
from benchmarks.failures import BenchmarkError
from benchmarks.measures import Plan, Row, Target, point, row, slope

PART = "soak"
WINDOW, _WINDOW_NS = "250ms", 250_000_000
_LOSSES = ("ring_dropped", "state_failed", "samples_discarded")
_POINTS = 200
#: Windows at the start, in which the process still allocates memory that it will reuse.
_WARM_UP = 40
#: Growth that still counts as flat: for some minutes the heap grows until it has blocks of all sizes.
_FLAT_MB = Target(1)
#: Index of the last window, which is left out: the process that writes it is ending and already closes its files.
_LAST = -1
_LOADS: tuple[Callable[[], object], ...] = (
    lambda: time.sleep(2),
    lambda: workloads.switches_per_second(100_000, 2_000),
    lambda: workloads.lives_ns(4_000, 4),
    lambda: workloads.forks_ns(1_000, 2),
    lambda: workloads.spin_ns(500),
    lambda: _pulses(2_000, 8),
    lambda: workloads.switches_per_second(1_000, 2_000),
)


@dataclass
class Seen:
    """Observations at the arrival of each window, and sums of losses."""

    seconds: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)
    delay_ms: list[float] = field(default_factory=list)
    active: list[float] = field(default_factory=list)
    cpu_percent: list[float] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    losses: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*_LOSSES, "programs_skipped"), 0))


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    begin, seen = time.monotonic(), Seen()
    end = begin + 60 * plan.minutes
    collector = subprocess.Popen(peers.schedtel_command(WINDOW), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    reader = threading.Thread(target=_read, args=(collector, begin, seen))
    reader.start()
    try:
        for load in cycle(_LOADS):
            load()
            if time.monotonic() > end or collector.poll() is not None:
                break
    finally:
        collector.terminate()
        reader.join(20)
        collector.wait(20)
    if collector.returncode or len(seen.seconds) <= _WARM_UP:
        message = collector.stderr.read().decode(errors="replace").strip()
        raise BenchmarkError(f"soak: {len(seen.seconds)} windows, ended with {collector.returncode}: {message}")
    return _rows(seen), [f"soak: {len(seen.seconds):,} windows of {WINDOW} in {seen.seconds[-1] / 60:.1f} min"]


def _pulses(count: int, times: int) -> None:
    with workloads.workers(count) as load:
        for _ in range(times):
            load.pulse()
            time.sleep(0.2)


def _read(collector: subprocess.Popen, begin: float, seen: Seen) -> None:
    for line in collector.stdout:
        moment_ns = time.monotonic_ns()
        summary = json.loads(line)["summary"]
        end_ns = summary["window_start_ns"] + summary["window_ns"]
        try:
            files = process.open_files(collector.pid)
        except OSError:  # the process has ended after its last window
            return
        seen.seconds.append(moment_ns / 1e9 - begin)
        seen.files.append(files)
        seen.resident_mb.append(summary["collector_rss_bytes"] / 1e6)
        seen.delay_ms.append((moment_ns - end_ns) / 1e6)
        seen.active.append(summary["tasks_active"])
        seen.cpu_percent.append(100 * summary["collector_cpu_ns"] / summary["window_ns"])
        seen.edges.append((summary["window_start_ns"], end_ns))
        for name in seen.losses:
            seen.losses[name] += summary[name]


def _rows(seen: Seen) -> list[Row]:
    settled = slice(_WARM_UP, _LAST)
    # By then each load has run at least once, so the process has allocated the memory that they need.
    later = slice(len(seen.seconds) // 4, _LAST)
    hours = [second / 3600 for second in seen.seconds[later]]
    gaps = sum(after[0] != before[1] for before, after in pairwise(seen.edges))
    # The first window begins when tracing does.
    off_grid = sum(start % _WINDOW_NS != 0 for start, _ in seen.edges[1:])
    rows = [
        _row("RSS", "MB", seen.resident_mb[settled]),
        _row("RSS, growth from the second quarter on (least squares)", "MB/h", [slope(hours, seen.resident_mb[later])]),
        _row("RSS, from the second quarter to the last", "MB", [_drift(seen.resident_mb)], _FLAT_MB),
        # A sample is one higher if the process was just reading a file of /proc.
        _row("open files, from the second quarter to the last", "1", [_drift(seen.files)], Target(0)),
        _row("window's end to its line", "ms", seen.delay_ms[settled]),
        _row("window's end to its line, drift", "ms", [_drift(seen.delay_ms)]),
        _row("windows off the grid", "1", [off_grid], Target(0)),
        _row("gaps and overlaps", "1", [gaps], Target(0)),
        _row("collector CPU", "% of a CPU", seen.cpu_percent[settled]),
    ]
    rows += [_row(name, "1", [seen.losses[name]], Target(0)) for name in _LOSSES]
    rows.append(_row("programs_skipped (withheld by the kernel)", "1", [seen.losses["programs_skipped"]]))
    return rows + _curves(seen)


def _row(measure: str, unit: str, samples: list[float], target: Target | None = None) -> Row:
    return row(measure, "schedtel", unit, samples, target)


def _drift(values: list[float]) -> float:
    """Median of the last quarter minus that of the second, which start-up and single windows do not affect."""
    quarter = len(values) // 4
    return row("", "", "", values[-quarter:]).value - row("", "", "", values[quarter : 2 * quarter]).value


def _curves(seen: Seen) -> list[Row]:
    """A point for each stretch of the run, with the median of its windows."""
    curves = {
        ("RSS", "MB"): seen.resident_mb,
        ("open files", "1"): seen.files,
        ("window's end to its line", "ms"): seen.delay_ms,
        ("active tasks", "1"): seen.active,
        ("collector CPU", "% of a CPU"): seen.cpu_percent,
    }
    count = len(seen.seconds) + _LAST
    step = -(-count // _POINTS)
    stretches = [slice(start, min(start + step, count)) for start in range(0, count, step)]
    return [
        point(f"{measure} over time", "schedtel", unit, values[stretch], "seconds", seen.seconds[stretch][0])
        for (measure, unit), values in curves.items()
        for stretch in stretches
    ]
