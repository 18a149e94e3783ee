"""Presets, plans and runs of workloads in; tables for a person out."""

import shlex
from typing import Any

from rich.console import Group, RenderableType

from schedtel.cli import lines
from schedtel.cli.display.cells import Grid, below, line, plain_rows, terminal_console
from schedtel.durations import format_duration
from schedtel.workloads.external import TOOLS
from schedtel.workloads.outcome import Outcome
from schedtel.workloads.plan import Plan
from schedtel.workloads.spec import TaskClass, Workload

_PLAIN_WIDTH = 160
_COUNTS = ("planned", "released", "completed", "unfinished")
#: Column → its figure.
_TIMES = {f"{name} {word}": f"{name.lower()}_{word}_ns" for name in ("TAT", "RT") for word in ("mean", "p50", "p99")}
#: The same of classes with a deadline.
_LATE = {f"tardy {word}": f"tardiness_{word}_ns" for word in ("mean", "p99")}
#: Lines that are shown of what a program of others said.
_MOST_SAID = 12


def show_presets(presets: dict[str, Workload], installed: dict[str, str | None]) -> None:
    """One row for each preset, and one for each program of others that a workload may run.

    :param installed: such a program's name → its path, or None where it is not installed.
    """
    table = Grid()
    for header in ("preset", "length", "classes", "what it is"):
        table.column(header, wraps=header == "what it is")
    for name, workload in presets.items():
        parts = " ".join([*(c.name for c in workload.classes), *(f"({one.tool})" for one in workload.externals)])
        table.row(name, format_duration(workload.duration_ns), parts, workload.description)
    tools = _grid("program", "installed", left=2)
    for name, path in installed.items():
        tools.row(name, path or f"no ({TOOLS[name].advice})")
    show(table, below(tools))


def show_plan(planned: Plan) -> None:
    """One row for each class of a plan, and the digest that names the plan."""
    table = _grid("class", "arrival", "service", "behaviour", "tasks", left=5)
    for header in ("jobs", "work", "CPUs"):
        table.column(header, right=True)
    for number, found in enumerate(planned.workload.classes):
        work_ns = float(planned.of_class(number)["work_ns"].sum())
        load = f"{planned.load(number):.3f}" if found.arrival.is_open else "as many as it gets"
        table.row(*_described(found), f"{planned.counts[number]:,}", format_duration(work_ns), load)
    workload = planned.workload
    show(table, below(line(f"seed {workload.seed}, {format_duration(workload.duration_ns)}, sha256 {planned.sha256}")))


def _described(found: TaskClass) -> tuple[str, ...]:
    rate = found.arrival.mean_rate()
    arrival = f"{found.arrival.kind} {rate:g}/s" if rate else found.arrival.kind
    service = f"{found.service.kind} {format_duration(found.service.mean_ns)}"
    tasks = f"{found.workers} lives at most" if found.life else f"{found.workers} {found.tasks}"
    return found.name, arrival, service if found.service.kind != "recorded" else "recorded", found.behaviour.kind, tasks


def show_outcome(outcome: Outcome) -> None:
    """One row for each class of a run, what each program of others said, and a line about the generator itself."""
    summary = outcome.summary()
    table = outcome_table(summary)
    parts = [table] if table.row_count else []
    show(*parts, *_said(outcome), below(line(_about(summary))))


def outcome_table(summary: dict[str, Any]) -> Grid:
    """How the jobs of each class fared, from :meth:`Outcome.summary`: one row for each class."""
    has_deadlines = any(figures["deadline_ns"] for figures in summary["classes"].values())
    counts = (*_COUNTS, "missed") if has_deadlines else _COUNTS
    times = _TIMES | (_LATE if has_deadlines else {})
    table = _grid("class", *counts, *times, left=1)
    for name, figures in summary["classes"].items():
        numbers = ("-" if figures[word] is None else f"{figures[word]:,}" for word in counts)
        table.row(name, *numbers, *(format_duration(figures[key]) for key in times.values()))
    return table


def _said(outcome: Outcome) -> list[RenderableType]:
    """The last lines of what the programs of others said."""
    found: list[RenderableType] = []
    for one in outcome.externals:
        last = one.output.strip().split("\n")[-_MOST_SAID:]
        found += [below(line((one.name, "bold"), f"  {shlex.join(one.command)}")), *(line(f"  {row}") for row in last)]
    return found


def _about(summary: dict[str, Any]) -> str:
    own, length = summary["dispatcher"], format_duration(summary["length_ns"])
    digest = f"seed {summary['seed']}, sha256 {summary['sha256'][:16]}"
    if not own["released"]:
        return f"{length}; {digest}"
    late = ", ".join(f"{word} {format_duration(own[f'late_{word}_ns'])}" for word in ("p50", "p99", "max"))
    share = f"{100 * own['cpu_share']:.2g} % of a CPU"
    return (
        f"{length}; dispatcher ({own['policy']}): {own['released']:,} released, late by {late}; {share}; "
        f"{summary['loops_per_us']:.0f} loops/µs; {digest}"
    )


def _grid(*headers: str, left: int) -> Grid:
    table = Grid()
    for number, header in enumerate(headers):
        table.column(header, right=number >= left)
    return table


def show(*parts: Grid | RenderableType) -> None:
    """Print parts to stdout: to a terminal with styles, elsewhere as plain lines without blanks at their ends."""
    console = terminal_console()
    if console.is_terminal:
        console.print(Group(*parts))
        return
    for row in plain_rows(_PLAIN_WIDTH, lambda plain: plain.print(Group(*parts))):
        lines.answer(row)
