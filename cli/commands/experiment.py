"""``schedtel experiment``: workloads and schedulers in TOML in; runs of each under each, and what they show, out."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq

from schedtel.access.ray_cluster import refuse_without_ray
from schedtel.cli import lines
from schedtel.cli.options import client_options, refuse_without_stream
from schedtel.cli.output import opened
from schedtel.cli.progress import tell_run
from schedtel.cli.session import stop_on_signals
from schedtel.cli.sources import open_target
from schedtel.cli.strict import StrictGroup
from schedtel.errors import UsageError
from schedtel.experiments.design import cells
from schedtel.experiments.findings import Findings, findings_of
from schedtel.experiments.packed import is_packed, pack, unpack
from schedtel.experiments.page import render
from schedtel.experiments.provenance import Fact
from schedtel.experiments.revision import revision_of
from schedtel.experiments.running import Experiment
from schedtel.experiments.spec import ExperimentSpec, read_spec
from schedtel.experiments.store import Run, read_store
from schedtel.experiments.tables import csv_of, table_of, text_of
from schedtel.host.preemption import MODELS
from schedtel.lab import cluster
from schedtel.lab.experiment import LabExperiment, in_local_guests, scheduler_names
from schedtel.lab.jobs import machine
from schedtel.lab.packages import DEFAULT_KERNEL
from schedtel.lab.schedulers import guest_files
from schedtel.report import write_page
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
    "--preempt",
    type=click.Choice(MODELS),
    help="With --lab: its kernel's model of preemption.  [default: the one it was built with]",
)
@click.option("--kvm", is_flag=True, help="With --lab: real time instead of virtual time, on a machine with KVM.")
@click.option(
    "--scx", "programs", multiple=True, metavar="PATH", help="With --lab: program scx_NAME of an arm. May be repeated."
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    help="With --lab: guests at a time; fewer if memory lacks.  [default: this machine's CPUs]",
)
@click.option(
    "--ray-address", metavar="ADDRESS", help="With --lab: make the runs on a Ray cluster, such as HOST:6379 or auto."
)
def run(spec: str, output: str, target: str | None, **options: Any) -> int:
    """Make the runs that SPEC asks for, and print what they show.

    What is in the directory already is not run again, so an experiment that was stopped goes on. Ctrl-C gives the runs
    in progress up. Exit status 1 if runs are missing in the end.
    """
    with _experiment(spec, output, target, options) as experiment, stop_on_signals(experiment.stop):
        experiment.run(tell_run)
    missing = len(experiment.remaining())
    if missing:
        lines.remark(f"stopped: {missing} runs are missing (run it again to go on)")
        return _INTERRUPTED
    lines.document(text_of(_findings(output)).rstrip("\n"))
    return 0


@contextmanager
def _experiment(
    path: str, output: str, target: str | None, options: dict[str, Any]
) -> Iterator[Experiment | LabExperiment | TargetExperiment]:
    """The experiment, where it is to run: here, in guests, or on another machine."""
    if target is None:
        refuse_without_stream("an experiment without --target")
    elif options["in_lab"]:
        raise UsageError("cannot run an experiment in the lab and on a target at once (drop --lab, or --target)")
    spec, facts = read_spec(path), revision_of(path)
    if options["in_lab"]:
        yield _lab_experiment(spec, output, options, facts)
        return
    _refuse_what_is_for_guests(options)
    if target is None:
        yield Experiment(spec, output, facts=facts)
        return
    with open_target(target, options) as connection:
        yield TargetExperiment(spec, output, connection, facts)


def _refuse_what_is_for_guests(options: dict[str, Any]) -> None:
    given = [name for name in ("kernel", "cpus", "preempt", "jobs", "ray_address") if options[name] is not None]
    given += [name for name, option in (("kvm", "kvm"), ("scx", "programs")) if options[option]]
    if given:
        option = given[0].replace("_", "-")
        raise UsageError(f"cannot use --{option} without a guest: it is for the lab (add --lab)")


def _lab_experiment(
    spec: ExperimentSpec, output: str, options: dict[str, Any], facts: Mapping[str, Fact]
) -> LabExperiment:
    kernel, cpus = options["kernel"] or DEFAULT_KERNEL, 1 if options["cpus"] is None else options["cpus"]
    address, jobs, programs = options["ray_address"], options["jobs"], [Path(path) for path in options["programs"]]
    if address is None:
        guest = machine(kernel, cpus, lines.remark, kvm=options["kvm"], preempt=options["preempt"])
        return in_local_guests(spec, output, guest, programs, jobs, lines.remark, facts)
    if options["kvm"]:
        raise UsageError("cannot use --kvm on a cluster: its runs begin from a snapshot in virtual time (drop one)")
    refuse_without_ray()
    guest = machine(kernel, cpus, lines.remark, preempt=options["preempt"])
    schedulers = guest_files(scheduler_names(spec), programs, lines.remark)
    places = partial(cluster.ClusterGuests, address, guest, kernel, schedulers, jobs)
    return LabExperiment(spec, output, guest, schedulers, lambda _: places(), facts)


@command.command("report", short_help="Say what the runs show.")
@click.argument("directory", metavar="DIR|FILE")
@click.option("--cores", is_flag=True, help="In the text: also the variability of each CPU.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "csv", "parquet", "html"]),
    help="By default as the name of the output ends, else text.",
)
@click.option("-o", "--output", metavar="FILE", help="Where to write it; by default stdout.")
def report(directory: str, cores: bool, kind: str | None, output: str | None) -> None:
    """Say what the runs in DIR show: variability, comparisons with the first scheduler, and what could be seen.

    A FILE of `schedtel experiment pack` says the same as the runs that were packed.
    """
    kind = kind or _KINDS.get(Path(output or "").suffix.lower(), "text")
    if cores and kind != "text":
        raise UsageError(f"cannot use --cores with {kind}: it always has the CPUs (drop --cores)")
    if kind == "parquet" and output in (None, "-") and sys.stdout.isatty():
        raise UsageError("cannot write Parquet to a terminal (give -o FILE, or another --format)")
    findings = _findings(directory)
    if kind == "html" and output not in (None, "-"):
        write_page(render(findings), str(output))
        return
    with opened(output) as stream:
        if kind == "parquet":
            stream.write(_parquet(findings))
        else:
            stream.write((text_of(findings, cores=cores) if kind == "text" else _TEXTS[kind](findings)).encode())


def _parquet(findings: Findings) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table_of(findings), sink)
    return sink.getvalue().to_pybytes()


_KINDS = {".csv": "csv", ".parquet": "parquet", ".html": "html", ".htm": "html"}
_TEXTS: dict[str, Callable[[Findings], str]] = {"csv": csv_of, "html": render}


@command.command("pack", short_help="Put the figures of all runs into one file.")
@click.argument("directory", metavar="DIR")
@click.option("-o", "--output", required=True, metavar="FILE", help="The file of Parquet to write; - for stdout.")
def pack_runs(directory: str, output: str) -> None:
    """Put the figures and the provenance of all runs in DIR into one file of Parquet, without their recordings.

    A run is a row. `schedtel experiment report FILE` makes all reports from it.
    """
    content = pack(*_read(directory))
    with opened(output) as stream:
        stream.write(content)


def _read(path: str) -> tuple[dict[str, Any], list[Run]]:
    """What was asked for, and the runs: of a directory, or of a file of packed ones."""
    spec, runs = unpack(path) if is_packed(path) else read_store(path)
    if not runs:
        raise UsageError(f"cannot report on {path}: no run of it is whole (run it first)")
    return spec, runs


def _findings(path: str) -> Findings:
    spec, runs = _read(path)
    arms = spec.get("schedulers")
    return findings_of(str(spec.get("title", "experiment")), runs, arms if isinstance(arms, list) else [])
