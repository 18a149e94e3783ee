"""``schedtel sim``: a workload, and what a machine is like, in; how the jobs fared there, and a recording, out."""

import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from schedtel.cli import lines
from schedtel.cli.display.simulations import show_schedulers, show_simulated
from schedtel.cli.jobs import chosen_plan, plan_options, result_lines, write_lines
from schedtel.cli.options import format_option, together
from schedtel.cli.output import opened
from schedtel.cli.session import stop_on_signals
from schedtel.cli.signals import restored_cursor
from schedtel.cli.strict import StrictGroup
from schedtel.durations import parse_duration
from schedtel.errors import UsageError
from schedtel.simulator.machine import DESCRIPTIONS, MOST_CPUS, Machine
from schedtel.simulator.machine_file import machine_text, read_machine
from schedtel.windows.grid import window_length

if TYPE_CHECKING:
    from schedtel.recordings.recorder import Recorder
    from schedtel.simulator.simulation import Simulation

#: Seconds between two flushes. Each flush writes the current part of the recording anew, so not after every window.
_FLUSH_S = 1.0
#: Runs between two lines about how far a comparison is.
_EACH = 50
#: Option → the field of a machine, what it is, and its default.
_COSTS = {
    "--slice": ("slice_ns", "How long a task keeps its CPU while others wait.", "the scheduler's own"),
    "--tick": ("tick_ns", "Slices end on ticks.", "4ms"),
    "--switch-cost": ("switch_ns", "Of a switch.", "1500ns"),
    "--migration-cost": ("migration_ns", "Of a migration while the last CPU's cache is warm.", "16us"),
    "--warm": ("warm_ns", "How long a cache stays warm.", "5ms"),
    "--disk": ("disk_ns", "Of a write that waits for the disk.", "1ms"),
}
_MACHINE_OPTIONS = (
    click.option("--machine", "machine_file", metavar="FILE", help="What takes time, as `sim calibrate` wrote it."),
    *(
        click.option(option, name, metavar="DURATION", help=f"{what}  [default: that of the machine, {default}]")
        for option, (name, what, default) in _COSTS.items()
    ),
)


@click.group("sim", cls=StrictGroup, short_help="Run a workload on a simulated machine.")
def command() -> None:
    """Run the jobs of a workload on a simulated machine, under a simulated scheduler. Needs `schedtel[sim]`.

    SPEC is the name of a preset (see `schedtel workload list`) or a TOML file, whose name has a slash or ends in .toml.
    """


@command.command("list", short_help="List the schedulers.")
@format_option("table", "json")
def list_(kind: str) -> None:
    """List the schedulers that can be simulated."""
    if kind == "json":
        lines.document(json.dumps({"schedulers": DESCRIPTIONS}, indent=2))
    else:
        show_schedulers()


@command.command("run", short_help="Simulate it, and say how its jobs fared.")
@click.argument("spec", metavar="SPEC")
@plan_options
@click.option(
    "--scheduler", type=click.Choice(list(DESCRIPTIONS)), default="eevdf", show_default=True, help="Which one runs."
)
@click.option("--cpus", type=click.IntRange(1, MOST_CPUS), default=2, show_default=True, help="CPUs of the machine.")
@together(_MACHINE_OPTIONS)
@click.option("-o", "--output", metavar="DIR", help="Record its windows: a directory, new or empty.")
@click.option("-w", "--window", default="1s", show_default=True, metavar="DURATION", help="Length of a window.")
@format_option("table", "json", "ndjson")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def run(
    spec: str,
    seed: int | None,
    duration: str | None,
    scheduler: str,
    cpus: int,
    output: str | None,
    window: str,
    kind: str,
    quiet: bool,
    machine_file: str | None,
    **costs: str | None,
) -> None:
    """Simulate the jobs of SPEC, and print how long they took. The same arguments give the same bytes.

    The jobs are those of `schedtel workload run` with the same file and seed. With -o, the windows are recorded as
    `schedtel record` would have done; `show`, `report` and `compare` read them. Ctrl-C ends the run early.
    """
    machine = replace(_machine(machine_file, costs), cpus=cpus, scheduler=scheduler)
    window_length(window)  # judged before jobs are drawn and numba is imported
    plan = chosen_plan(spec, seed, duration)
    from schedtel.simulator.simulation import Simulation  # noqa: PLC0415  (numba, which nothing else here needs)

    source = Simulation(plan, machine, window)
    with (
        nullcontext() if quiet or not sys.stderr.isatty() else restored_cursor(),
        _recorder(output, source) as recorder,
    ):
        with stop_on_signals(source.stop):
            _simulate(source, recorder, quiet=quiet)
        _tell(source, kind)


@command.command("compare", short_help="Say how near it comes to runs that were made.")
@click.argument("runs", metavar="DIR|FILE")
@together(_MACHINE_OPTIONS)
@click.option(
    "--calibrated-on",
    multiple=True,
    metavar="WORKLOAD",
    help="The machine's numbers are from runs of this one: it is told apart from the others. May be repeated.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="A table of errors, a line of CSV for each figure, or JSON.",
)
@click.option("-o", "--output", metavar="FILE", help="Where to write it; by default stdout.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def compare(
    runs: str,
    machine_file: str | None,
    calibrated_on: tuple[str, ...],
    kind: str,
    output: str | None,
    quiet: bool,
    **costs: str | None,
) -> None:
    """Simulate the plan of each run of an experiment, and print how far the simulated figures are from the measured.

    DIR is a directory of `schedtel experiment run`, FILE one of `schedtel experiment pack`. Each run is compared with
    the simulation of its own plan, seed and arm, on as many CPUs. Arms that cannot be simulated are left out, and told.
    """
    machine = _machine(machine_file, costs)
    from schedtel.experiments.nearness import nearness_of  # noqa: PLC0415  (numba, see above)
    from schedtel.experiments.nearness_report import csv_of, json_of, text_of  # noqa: PLC0415

    found = nearness_of(runs, machine, calibrated_on, (lambda *_: None) if quiet else _tell_compared)
    texts = {"table": text_of, "csv": csv_of, "json": json_of}
    with opened(output) as stream:
        stream.write(texts[kind](found).encode())


@command.command("calibrate", short_help="Measure what a machine is like, for a simulated one.")
@click.option("--runs", metavar="DIR", help="Take what was beside the jobs from runs of `experiment run`.")
@click.option("--on", "workloads", multiple=True, metavar="WORKLOAD", help="With --runs: of this one. May be repeated.")
@click.option("-o", "--output", metavar="FILE", help="The file to write; by default stdout.")
def calibrate(runs: str | None, workloads: tuple[str, ...], output: str | None) -> None:
    """Measure this machine in a few seconds, and write a file for `sim run --machine` and `sim compare --machine`.

    It needs no privileges, and changes nothing. Other load makes all of it longer: leave the machine alone meanwhile.
    With --runs, the cost of a release, the tasks of others and how long work takes are those of runs that were made.
    """
    if bool(workloads) != (runs is not None):
        raise UsageError("cannot calibrate on runs: it needs --runs and --on together (give both, or none)")
    of_runs: dict[str, int] = {}
    heading = f"Linux {platform.release()}, {len(os.sched_getaffinity(0))} CPUs"
    if runs is not None:
        from schedtel.experiments.calibration import calibrated  # noqa: PLC0415  (pyarrow)

        of_runs = calibrated(runs, workloads)
        heading += f"; from runs of {', '.join(workloads)}: releases, others, how long work takes"
    from schedtel.simulator.probes import measured  # noqa: PLC0415  (numpy, after the arguments are judged)

    given = measured() | of_runs
    with opened(output) as stream:
        stream.write(machine_text(given, heading).encode())


def _tell_compared(done: int, total: int) -> None:
    if done % _EACH == 0:
        lines.remark(f"{done} of {total} runs simulated")


def _machine(path: str | None, costs: Mapping[str, str | None]) -> Machine:
    """The machine of a file, or the usual one, with what options say of it."""
    chosen = {name: _nanoseconds(text) for name, text in costs.items() if text is not None}
    return Machine(**(({} if path is None else read_machine(path)) | chosen))


def _nanoseconds(text: str) -> int:
    return 0 if text.strip() in ("0", "0s", "0ms", "0us", "0ns") else parse_duration(text)


@contextmanager
def _recorder(output: str | None, source: "Simulation") -> "Iterator[Recorder | None]":
    from schedtel.recordings.recorder import Recorder  # noqa: PLC0415  (pyarrow, after the arguments are judged)

    if output is None:
        yield None
        return
    with Recorder(output, source.metadata["window"]) as recorder:
        recorder.facts = source.metadata
        yield recorder


def _simulate(source: "Simulation", recorder: "Recorder | None", *, quiet: bool) -> None:
    from schedtel.cli.display.progress import with_progress  # noqa: PLC0415  (see _recorder)

    flushed, describe = time.monotonic(), "{} windows".format
    for made in with_progress(source, "simulating", describe, lambda: source.progress, hidden=quiet):
        if not recorder:
            continue
        recorder.add(made)
        if time.monotonic() - flushed > _FLUSH_S:
            recorder.flush()
            flushed = time.monotonic()
    if recorder:
        recorder.flush()


def _tell(source: "Simulation", kind: str) -> None:
    outcome = source.outcome
    facts: dict[str, Any] = {
        "machine": source.machine.as_dict(),
        "events": source.events,
        "devices": source.devices,
    }
    if kind == "ndjson":
        write_lines(result_lines(outcome))
    elif kind == "json":
        lines.document(json.dumps(outcome.summary() | facts, indent=2))
    else:
        show_simulated(outcome, facts)
    if outcome.interrupted:
        lines.remark("interrupted before the end of the plan")
