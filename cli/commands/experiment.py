"""``schedtel experiment``: workloads and schedulers in TOML in; runs of each under each, and what they show, out."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq

from schedtel.cli import lines
from schedtel.cli.output import opened
from schedtel.cli.progress import tell_run
from schedtel.cli.session import stop_on_signals
from schedtel.cli.strict import StrictGroup
from schedtel.errors import UsageError
from schedtel.experiments.design import cells
from schedtel.experiments.findings import Findings, findings_of
from schedtel.experiments.page import render
from schedtel.experiments.running import Experiment
from schedtel.experiments.spec import ExperimentSpec, read_spec
from schedtel.experiments.store import read_store
from schedtel.experiments.tables import csv_of, table_of, text_of
from schedtel.lab.experiment import LabExperiment
from schedtel.lab.jobs import machine
from schedtel.lab.packages import DEFAULT_KERNEL
from schedtel.report import write_page

_INTERRUPTED = 1


@click.group("experiment", cls=StrictGroup, short_help="Run workloads under schedulers, and compare them.")
def command() -> None:
    """Compare schedulers: each workload of a file of TOML runs under each scheduler, several times, in random order."""


@command.command("plan", short_help="Print the runs in their order.")
@click.argument("spec", metavar="SPEC")
@click.option(
    "--format", "kind", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Lines, or JSON."
)
def plan(spec: str, kind: str) -> None:
    """Print the runs that SPEC asks for, in the order in which they would be made, without making any."""
    planned = cells(read_spec(spec))
    if kind == "json":
        lines.document(json.dumps([asdict(cell) for cell in planned], indent=1))
        return
    for number, cell in enumerate(planned, 1):
        lines.answer(f"{number:6}  repeat {cell.repeat}  {cell.workload}  {cell.scheduler}  seed {cell.seed}")


@command.command("run", short_help="Make the runs.")
@click.argument("spec", metavar="SPEC")
@click.option("-o", "--output", required=True, metavar="DIR", help="Directory for the runs; an earlier one goes on.")
@click.option("--lab", "in_lab", is_flag=True, help="Make each run in a guest, in virtual time: see `schedtel lab`.")
@click.option(
    "--kernel", metavar="VERSION", help=f"With --lab: the guest's kernel, 6.18 or 7.2.  [default: {DEFAULT_KERNEL}]"
)
@click.option("--cpus", type=int, help="With --lab: the guest's CPUs, 1 or 2.  [default: 1]")
@click.option("--kvm", is_flag=True, help="With --lab: real time instead of virtual time, on a machine with KVM.")
@click.option(
    "--scx", "programs", multiple=True, metavar="PATH", help="With --lab: program scx_NAME of an arm. May be repeated."
)
def run(
    spec: str,
    output: str,
    in_lab: bool,
    kernel: str | None,
    cpus: int | None,
    kvm: bool,
    programs: tuple[str, ...],
) -> int:
    """Make the runs that SPEC asks for, and print what they show.

    What is in the directory already is not run again, so an experiment that was stopped goes on. Ctrl-C gives the run
    in progress up. Exit status 1 if runs are missing in the end.
    """
    experiment = _experiment(read_spec(spec), output, in_lab, kernel, cpus, kvm, programs)
    with stop_on_signals(experiment.stop):
        experiment.run(tell_run)
    missing = len(experiment.remaining())
    if missing:
        lines.remark(f"stopped: {missing} runs are missing (run it again to go on)")
        return _INTERRUPTED
    lines.document(text_of(_findings(output)).rstrip("\n"))
    return 0


def _experiment(
    spec: ExperimentSpec,
    output: str,
    in_lab: bool,
    kernel: str | None,
    cpus: int | None,
    kvm: bool,
    programs: tuple[str, ...],
) -> Experiment | LabExperiment:
    if in_lab:
        guest = machine(kernel or DEFAULT_KERNEL, 1 if cpus is None else cpus, lines.remark, kvm=kvm)
        return LabExperiment(spec, output, guest, programs=map(Path, programs), notice=lines.remark)
    if kernel is not None or cpus is not None or kvm or programs:
        raise UsageError("cannot use --kernel, --cpus, --kvm or --scx on this machine: a guest has them (add --lab)")
    return Experiment(spec, output)


@command.command("report", short_help="Say what the runs show.")
@click.argument("directory", metavar="DIR")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "csv", "parquet", "html"]),
    help="By default as the name of the output ends, else text.",
)
@click.option("-o", "--output", metavar="FILE", help="Where to write it; by default stdout.")
def report(directory: str, kind: str | None, output: str | None) -> None:
    """Say what the runs in DIR show: variability, comparisons with the first scheduler, and what could be seen."""
    kind = kind or _KINDS.get(Path(output or "").suffix.lower(), "text")
    if kind == "parquet" and output in (None, "-") and sys.stdout.isatty():
        raise UsageError("cannot write Parquet to a terminal (give -o FILE, or another --format)")
    findings = _findings(directory)
    if kind == "html" and output not in (None, "-"):
        write_page(render(findings), str(output))
        return
    with opened(output) as stream:
        stream.write(_parquet(findings) if kind == "parquet" else _TEXTS[kind](findings).encode())


def _parquet(findings: Findings) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table_of(findings), sink)
    return sink.getvalue().to_pybytes()


_KINDS = {".csv": "csv", ".parquet": "parquet", ".html": "html", ".htm": "html"}
_TEXTS: dict[str, Any] = {"text": text_of, "csv": csv_of, "html": render}


def _findings(directory: str) -> Findings:
    spec, runs = read_store(directory)
    if not runs:
        raise UsageError(f"cannot report on {directory}: no run of it is whole (run it first)")
    arms = spec.get("schedulers")
    return findings_of(str(spec.get("title", "experiment")), runs, arms if isinstance(arms, list) else [])
