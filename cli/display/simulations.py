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
    """One row for each class, one for each kind of device beside the CPUs, and a line about the machine.

    :param facts: the machine, how many events its simulation was, and the figures of devices.
    """
    machine, summary = facts["machine"], outcome.summary()
    about = (
        f"{format_duration(summary['length_ns'])} simulated: {machine['cpus']} CPUs, {machine['scheduler']}, "
        f"slice {format_duration(machine['slice_ns'])}, tick {format_duration(machine['tick_ns'])}; "
        f"{facts['events']:,} events; seed {summary['seed']}, sha256 {summary['sha256'][:16]}"
    )
    devices = [below(_devices(facts["devices"]))] if facts["devices"] else []
    show(outcome_table(summary), *devices, below(line(about)))


def _devices(devices: dict[str, dict[str, Any]]) -> Grid:
    table = Grid()
    for number, header in enumerate(("device", "count", "busy", "begun", "ended", "wait mean", "wait max")):
        table.column(header, right=number > 0)
    for name, of in devices.items():
        waits = (format_duration(of[f"wait_{word}_ns"]) for word in ("mean", "max"))
        table.row(name, f"{of['count']}", f"{of['busy_share']:.1%}", f"{of['begun']:,}", f"{of['ended']:,}", *waits)
    return table
