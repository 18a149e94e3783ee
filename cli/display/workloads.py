"""Presets, plans and runs of workloads in; tables for a person out."""

from rich.console import RenderableType

from schedtel.cli import lines
from schedtel.cli.display.cells import Grid, below, line, plain_console, terminal_console
from schedtel.durations import format_duration
from schedtel.workloads.plan import Plan
from schedtel.workloads.spec import TaskClass, Workload

_PLAIN_WIDTH = 160


def show_presets(presets: dict[str, Workload]) -> None:
    """One row for each preset."""
    table = Grid()
    for header in ("preset", "length", "classes", "what it is"):
        table.column(header, wraps=header == "what it is")
    for name, workload in presets.items():
        classes = " ".join(c.name for c in workload.classes)
        table.row(name, format_duration(workload.duration_ns), classes, workload.description)
    show(table)


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


def _grid(*headers: str, left: int) -> Grid:
    table = Grid()
    for number, header in enumerate(headers):
        table.column(header, right=number >= left)
    return table


def show(*parts: Grid | RenderableType) -> None:
    """Print parts to stdout: to a terminal with styles, elsewhere as plain lines without blanks at their ends."""
    console = terminal_console()
    if console.is_terminal:
        for part in parts:
            console.print(part)
        return
    plain = plain_console(_PLAIN_WIDTH)
    with plain.capture() as captured:
        for part in parts:
            plain.print(part)
    for row in captured.get().split("\n")[:-1]:
        lines.answer(row.rstrip())
