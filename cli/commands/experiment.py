"""``schedtel experiment``: workloads and schedulers in TOML in; runs of each under each, and what they show, out."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq

from schedtel.access.tls import read_tls
from schedtel.access.tokens import read_token
from schedtel.cli import lines
from schedtel.cli.options import client_options, refuse_without_stream
from schedtel.cli.output import opened
from schedtel.cli.session import stop_on_signals
from schedtel.cli.strict import StrictGroup
from schedtel.durations import format_duration
from schedtel.errors import UsageError
from schedtel.experiments.design import cells
from schedtel.experiments.findings import Findings, findings_of
from schedtel.experiments.page import render
from schedtel.experiments.running import Experiment, Progress
from schedtel.experiments.spec import read_spec
from schedtel.experiments.store import read_store
from schedtel.experiments.tables import csv_of, table_of, text_of
from schedtel.lab.experiment import LabExperiment
from schedtel.lab.jobs import machine
from schedtel.lab.packages import DEFAULT_KERNEL
from schedtel.report import write_page
from schedtel.target.client import Connection
from schedtel.target.experiment import TargetExperiment

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
@click.option("--target", metavar="URI", help="Make each run on another machine: see `schedtel target serve`.")
@client_options
@click.option("--lab", "in_lab", is_flag=True, help="Make each run in a guest, in virtual time: see `schedtel lab`.")
@click.option(
    "--kernel", metavar="VERSION", help=f"With --lab: the guest's kernel, 6.18 or 7.2.  [default: {DEFAULT_KERNEL}]"
)
@click.option("--cpus", type=int, help="With --lab: the guest's CPUs, 1 or 2.  [default: 1]")
@click.option(
    "--scx", "programs", multiple=True, metavar="PATH", help="With --lab: program scx_NAME of an arm. May be repeated."
)
def run(spec: str, output: str, target: str | None, **options: Any) -> int:
    """Make the runs that SPEC asks for, and print what they show.

    What is in the directory already is not run again, so an experiment that was stopped goes on. Ctrl-C gives the run
    in progress up. Exit status 1 if runs are missing in the end.
    """
    with _experiment(spec, output, target, options) as experiment, stop_on_signals(experiment.stop):
        experiment.run(_tell)
    missing = len(experiment.remaining())
    if missing:
        lines.remark(f"stopped: {missing} runs are missing (run it again to go on)")
        return _INTERRUPTED
    lines.document(text_of(_findings(output)).rstrip("\n"))
    return 0


@contextmanager
def _experiment(
    spec: str, output: str, target: str | None, options: dict[str, Any]
) -> Iterator[Experiment | LabExperiment | TargetExperiment]:
    """The experiment, where it is to run: here, in guests, or on another machine."""
    if target is None:
        refuse_without_stream("an experiment without --target")
    elif options["in_lab"]:
        raise UsageError("cannot run an experiment in the lab and on a target at once (drop --lab, or --target)")
    if options["in_lab"]:
        asked, cpus = read_spec(spec), 1 if options["cpus"] is None else options["cpus"]
        guest = machine(options["kernel"] or DEFAULT_KERNEL, cpus, lines.remark)
        yield LabExperiment(asked, output, guest, programs=map(Path, options["programs"]), notice=lines.remark)
        return
    if options["kernel"] is not None or options["cpus"] is not None or options["programs"]:
        raise UsageError("cannot use --kernel, --cpus or --scx without a guest: they are for the lab (add --lab)")
    if target is None:
        yield Experiment(read_spec(spec), output)
        return
    tls = read_tls(options["tls_cert"], options["tls_key"], options["ca"])
    with Connection(target, read_token(options["token_file"]), tls) as connection:
        yield TargetExperiment(read_spec(spec), output, connection)


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


def _tell(progress: Progress) -> None:
    left = "" if progress.left_s is None else f"; {format_duration(progress.left_s * 1e9)} left"
    cell = progress.cell
    lines.remark(
        f"run {progress.number} of {progress.total}: {cell.workload} under {cell.scheduler}, repeat {cell.repeat}{left}"
    )
