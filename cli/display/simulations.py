"""Simulated schedulers and what became of simulated jobs in; tables for a person out."""

from typing import Any

from schedtel.cli.display.cells import Grid, below, line
from schedtel.cli.display.workloads import outcome_table, show
from schedtel.durations import format_duration
from schedtel.simulator.machine import DESCRIPTIONS
from schedtel.workloads.outcome import Outcome


def show_schedulers() -> None:
    """One row for each scheduler."""
    table = Grid()
    table.column("scheduler")
    table.column("what it is", wraps=True)
    for name, text in DESCRIPTIONS.items():
        table.row(name, text)
    show(table)


def show_simulated(outcome: Outcome, facts: dict[str, Any]) -> None:
    """One row for each class, and a line about the machine.

    :param facts: the machine, and how many events its simulation was.
    """
    machine, summary = facts["machine"], outcome.summary()
    about = (
        f"{format_duration(summary['length_ns'])} simulated: {machine['cpus']} CPUs, {machine['scheduler']}, "
        f"slice {format_duration(machine['slice_ns'])}, tick {format_duration(machine['tick_ns'])}; "
        f"{facts['events']:,} events; seed {summary['seed']}, sha256 {summary['sha256'][:16]}"
    )
    show(outcome_table(summary), below(line(about)))
