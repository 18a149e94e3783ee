"""The command: parts in, results printed and written out."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import click

from benchmarks import flush, memory, peers, pipe, programs, report, startup
from benchmarks.measures import Row
from schedtel.errors import SchedtelError

PARTS: dict[str, ModuleType] = {module.PART: module for module in (programs, pipe, startup, memory, flush)}
_RESULTS = Path(__file__).parent / "results"


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--output", type=click.Path(path_type=Path), default=_RESULTS, help="Directory of the results.")
def main(parts: tuple[str, ...], output: Path) -> None:
    """Measure schedtel beside its peers, all in one run. Without PARTS, everything; about five minutes.

    Targets are printed beside what was measured. A missed target is no error.
    """
    if os.geteuid():
        sys.exit("benchmarks: loading BPF programs and reading their run times needs root (use sudo)")
    rows, notes = _measure(parts or tuple(PARTS))
    facts = report.machine() | {part: str(PARTS[part].__doc__).splitlines()[0] for part in parts or PARTS}
    click.echo(report.markdown(rows, facts, notes))
    report.write(output, rows, facts, notes)
    click.echo(f"written to {output}", err=True)


def _measure(parts: tuple[str, ...]) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    notes: list[str] = []
    for part in parts:
        begin = time.monotonic()
        found, said = _measured(part)
        rows += [replace(row, part=part) for row in found]
        notes += said
        click.echo(f"{part}: {time.monotonic() - begin:.0f} s", err=True)
    if disturbed := peers.observers.disturbed_samples:
        notes.append(f"{disturbed} samples were taken while BPF programs of other processes were loaded")
    return rows, notes


def _measured(part: str) -> tuple[list[Row], list[str]]:
    """Rows and notes of a part; that it could not be measured is a note too, and the other parts go on."""
    try:
        return PARTS[part].measure()
    except (peers.PeerError, SchedtelError) as error:
        return [], [f"{part}: not measured: {error}"]


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
