"""The scale model: measured constants in; predicted memory, ring traffic and time on a larger machine out.

    python -m benchmarks.model      # writes docs/scale.md from benchmarks/results

The model is plain arithmetic on the results of the other parts. The document lists the assumptions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import report
from benchmarks.__main__ import RESULTS
from benchmarks.failures import BenchmarkError
from schedtel.kernel.core.programs import page_rows
from schedtel.kernel.settings import DEFAULT_RING_BYTES
from schedtel.records.layout import TASK_RECORD

DOCUMENT = Path(__file__).parent.parent / "docs" / "scale.md"
_PAGE_ROWS = page_rows(DEFAULT_RING_BYTES, TASK_RECORD.itemsize)


@dataclass(frozen=True)
class Constants:
    """Measured constants, in nanoseconds and bytes."""

    switch_ns: float
    wakeup_ns: float
    fork_ns: float
    exit_ns: float
    flush_active_ns: float
    walk_sleeper_ns: float
    arrow_ns: float
    task_bytes: float
    cpu_bytes: float
    record_bytes: float
    parquet_row_bytes: float


@dataclass(frozen=True)
class Machine:
    """The machine to predict for. Switches, wakeups and exits are per second; ``active`` is tasks per window."""

    name: str
    cpus: int
    tasks: int
    active: int
    switches: float
    wakeups: float
    exits: float
    window_s: float


@dataclass(frozen=True)
class Prediction:
    """What schedtel would cost on a :class:`Machine`."""

    hot_percent: float
    births_percent: float
    task_memory_mb: float
    cpu_memory_mb: float
    flush_ms: float
    walk_share: float
    arrow_ms: float
    collector_percent: float
    ring_mb_s: float
    ring_absence_ms: float
    parquet_gb_day: float


BIG = Machine("large server", 256, 100_000, 20_000, 2e6, 1e6, 20_000, 5.0)
MACHINES = (
    Machine("like this one, busy", 2, 500, 300, 100_000, 50_000, 100, 5.0),
    BIG,
    Machine("the same, 1 s windows", 256, 100_000, 10_000, 2e6, 1e6, 20_000, 1.0),
    Machine("the same, all tasks active", 256, 100_000, 100_000, 2e6, 1e6, 20_000, 5.0),
)


def predict(machine: Machine, constant: Constants) -> Prediction:
    """The cost on a machine.

    Percentages are of all CPUs of the machine for the BPF programs, and of one CPU for the collector.
    """
    all_ns, window_ns = machine.cpus * 1e9, machine.window_s * 1e9
    exits_a_window = machine.exits * machine.window_s
    rows = machine.active + exits_a_window
    # Whenever the page is full, the next run of the iterator walks past all earlier tasks again, asleep or active.
    again = sum(range(_PAGE_ROWS, machine.active + 1, _PAGE_ROWS)) * machine.tasks / machine.active
    walk_ns = (machine.tasks - machine.active + again) * constant.walk_sleeper_ns
    flush_ns = machine.active * constant.flush_active_ns + walk_ns
    arrow_ns = rows * constant.arrow_ns
    hot_ns = machine.switches * constant.switch_ns + machine.wakeups * constant.wakeup_ns
    births_ns = machine.exits * (constant.fork_ns + constant.exit_ns)
    return Prediction(
        hot_percent=100 * hot_ns / all_ns,
        births_percent=100 * births_ns / all_ns,
        task_memory_mb=machine.tasks * constant.task_bytes / 1e6,
        cpu_memory_mb=machine.cpus * constant.cpu_bytes / 1e6,
        flush_ms=flush_ns / 1e6,
        walk_share=walk_ns / flush_ns,
        arrow_ms=arrow_ns / 1e6,
        collector_percent=100 * (flush_ns + arrow_ns) / window_ns,
        ring_mb_s=machine.exits * constant.record_bytes / 1e6,
        ring_absence_ms=1e3 * (DEFAULT_RING_BYTES / constant.record_bytes) / machine.exits,
        parquet_gb_day=rows * constant.parquet_row_bytes * 86_400 / machine.window_s / 1e9,
    )


# ---- constants from results ----


def constants(directory: Path) -> Constants:
    """The medians of schedtel in a directory of results.

    Raises :class:`BenchmarkError` when a row is missing.
    """
    values = {
        (row["part"], row["measure"], row["at"]): row["value"]
        for part in ("programs", "flush", "growth", "footprint")
        if (result := report.read_part(directory, part))
        for row in result.rows
        if row["subject"] == "schedtel" and row["unit"] != "ratio"
    }
    most = max((at for _, measure, at in values if measure == "walk past a sleeping task"), default=None)
    rows_bytes = _value(values, "footprint", "Parquet, 300 active tasks: tasks")
    return Constants(
        *(_value(values, "programs", event) for event in ("switch", "wakeup", "fork", "exit")),
        flush_active_ns=_value(values, "flush", "flush, 5,000 active tasks"),
        walk_sleeper_ns=_value(values, "growth", "walk past a sleeping task", most),
        arrow_ns=_value(values, "flush", "batch to Arrow, 5,000 active tasks"),
        task_bytes=_value(values, "footprint", "kernel memory for each task, calculated"),
        cpu_bytes=_value(values, "footprint", "kernel memory for each CPU, calculated"),
        record_bytes=_value(values, "footprint", "a task's record in the ring"),
        parquet_row_bytes=rows_bytes / 300,
    )


def _value(
    values: dict[tuple[str, str, float | None], float], part: str, measure: str, at: float | None = None
) -> float:
    try:
        return values[part, measure, at]
    except KeyError:
        raise BenchmarkError(f"the model needs {measure!r}: run `python -m benchmarks {part}` first") from None


# ---- the document ----

_LINES: tuple[tuple[str, str, Callable[[Prediction], float]], ...] = (
    ("switch and wakeup programs", "% of all CPUs", lambda p: p.hot_percent),
    ("fork and exit programs", "% of all CPUs", lambda p: p.births_percent),
    ("kernel memory: tasks", "MB", lambda p: p.task_memory_mb),
    ("kernel memory: CPUs", "MB", lambda p: p.cpu_memory_mb),
    ("flush at a window's end", "ms", lambda p: p.flush_ms),
    ("of it the walk past those who have no row to write", "ratio", lambda p: p.walk_share),
    ("batch to Arrow", "ms", lambda p: p.arrow_ms),
    ("collector: flush and batch", "% of one CPU", lambda p: p.collector_percent),
    ("ring traffic", "MB/s", lambda p: p.ring_mb_s),
    ("exits fit into a 4 MB ring for", "ms", lambda p: p.ring_absence_ms),
    ("rows of `tasks` as Parquet", "GB/day", lambda p: p.parquet_gb_day),
)

_ASSUMED = """\
- The constants hold per event and per task whatever the number of CPUs: the programs write to their own task and their
  own CPU, and share one read-only line, the window grid. Not so the ring, whose lock all exits take: see
  "a record into the ring" in the results for two producers.
- Program times are the kernel's (`bpf_stats_enabled`), so they contain what counting itself costs, the time of an
  empty program in the results. They are an upper bound, on caches as cold as this benchmark's.
- The flush runs on one CPU and reads every task's first cache lines. Across NUMA nodes a line costs two to three times
  as much: take the flush times twice.
- One wakeup for two switches; one row a window for each active task and one for each exit.
- The collector's drain and its batch are taken from windows of 5,000 rows. NDJSON and the terminal's page cost more
  than a batch; see the part `collector`.
- Parquet bytes are those of rows that differ little; the summary and the CPUs' table come on top of them.
"""


def document(constant: Constants, facts: dict[str, str]) -> str:
    """The text of ``docs/scale.md``: predictions for ``MACHINES``, the constants and the assumptions."""
    predictions = [predict(machine, constant) for machine in MACHINES]
    head = ["", "unit", *(machine.name for machine in MACHINES)]
    lines = ["# Scale", "", "What schedtel would take on a machine larger than the one it was measured on. Made by"]
    lines += [f"`python -m benchmarks.model` from the results of {facts['date']} ({facts['cpu']}, Linux"]
    lines += [f"{facts['kernel']}); do not edit.", "", "## Model", "", _line(head), _line("---" for _ in head)]
    lines += [_input(name, unit, of) for name, unit, of in _INPUTS]
    lines += [_line([name, unit, *(_number(of(p)) for p in predictions)]) for name, unit, of in _LINES]
    lines += ["", "## Constants", "", "| constant | value |", "| --- | --- |"]
    lines += [_line([name.replace("_", " "), _number(value)]) for name, value in vars(constant).items()]
    lines += ["", "## Assumptions", "", _ASSUMED]
    return "\n".join(lines)


_INPUTS: tuple[tuple[str, str, Callable[[Machine], float]], ...] = (
    ("CPUs", "", lambda machine: machine.cpus),
    ("tasks", "", lambda machine: machine.tasks),
    ("active in a window", "", lambda machine: machine.active),
    ("switches", "1/s", lambda machine: machine.switches),
    ("exits", "1/s", lambda machine: machine.exits),
    ("window", "s", lambda machine: machine.window_s),
)


def _input(name: str, unit: str, of: Callable[[Machine], float]) -> str:
    return _line([f"*{name}*", unit, *(f"*{of(machine):,.0f}*" for machine in MACHINES)])


def _line(cells: object) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}"


@click.command()
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Directory of the results.")
@click.option("--output", type=click.Path(path_type=Path), default=DOCUMENT, help="The document.")
def main(results: Path, output: Path) -> None:
    """Write the scale model from the results."""
    try:
        measured = constants(results)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    facts = report.read_part(results, "programs").facts
    output.write_text(document(measured, facts), encoding="utf-8")
    click.echo(f"written to {output}", err=True)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.model")
