"""The command ``python -m benchmarks``: names of parts in; results out, printed and written to files."""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import click

from benchmarks import (
    agent,
    collector,
    control,
    events,
    flush,
    footprint,
    generator,
    growth,
    peers,
    pipe,
    placement,
    pressure,
    programs,
    report,
    simulator,
    slowdown,
    soak,
    startup,
    training,
)
from benchmarks.failures import BenchmarkError
from benchmarks.measures import Plan, Row
from schedtel.errors import SchedtelError

#: Parts that are measured if the user names none, in this order.
USUAL: dict[str, ModuleType] = {
    module.PART: module for module in (programs, pipe, slowdown, startup, collector, flush, footprint, growth, pressure)
}
PARTS = USUAL | {
    module.PART: module for module in (soak, control, placement, generator, agent, events, simulator, training)
}
#: Parts whose results keep the rows of earlier runs.
KEPT = {placement.PART}
RESULTS = Path(__file__).parent / "results"


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS, help="Directory of the results.")
@click.option("--repeats", type=click.IntRange(min=1), help="Rounds of every part, instead of its own number.")
@click.option("--large", is_flag=True, help="Growth up to 50,000 threads and windows of a minute.")
@click.option("--minutes", type=click.FloatRange(min=0.2), default=60.0, show_default=True, help="Length of the soak.")
def main(parts: tuple[str, ...], output: Path, repeats: int | None, large: bool, minutes: float) -> None:
    """Measure schedtel beside its peers. Without PARTS, everything but the soak, the control, the placement,
    the generator of workloads, the agent's policies, single events, the simulator and learning; an hour or more.

    Targets are printed beside what was measured. A missed target is no error. Parts that are not measured keep the
    results they had.
    """
    if os.geteuid():
        sys.exit("benchmarks: loading BPF programs and reading their run times needs root (use sudo)")
    # SIGTERM unwinds the stack, so that the peers are stopped and kernel.bpf_stats_enabled is restored.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    plan = Plan(repeats, large, minutes)
    for part in parts or USUAL:
        begin = time.monotonic()
        rows, notes = _measured(part, plan)
        if part in KEPT:
            rows = report.kept_rows(output, part, rows) + rows
        report.write_part(output, part, rows, report.machine() | report.peer_facts(peers.everybody()), notes)
        click.echo(f"{part}: {time.monotonic() - begin:.0f} s", err=True)
    text = _document(output)
    (output / "results.md").write_text(text, encoding="utf-8")
    click.echo(text)
    click.echo(f"written to {output}", err=True)


def _measured(part: str, plan: Plan) -> tuple[list[Row], list[str]]:
    """Rows and notes of a part. A part that cannot be measured yields a note, and the other parts go on."""
    peers.observers.disturbed_samples = 0
    try:
        rows, notes = PARTS[part].measure(plan)
    except (BenchmarkError, SchedtelError, OSError) as error:
        return [], [f"{part}: not measured: {error}"]
    if disturbed := peers.observers.disturbed_samples:
        notes = [*notes, f"{disturbed} samples were taken while BPF programs of other processes were loaded"]
    return [replace(row, part=part) for row in rows], notes


def _document(output: Path) -> str:
    results = [result for part in PARTS if (result := report.read_part(output, part))]
    return report.markdown(results, {part: str(module.__doc__).strip() for part, module in PARTS.items()})


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
