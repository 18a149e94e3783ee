"""``schedtel sim``: a workload, and what a machine is like, in; how the jobs fared there, and a recording, out."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from schedtel.cli import lines
from schedtel.cli.display.simulations import show_schedulers, show_simulated
from schedtel.cli.jobs import chosen_plan, plan_options, result_lines, write_lines
from schedtel.cli.options import format_option, together
from schedtel.cli.session import stop_on_signals
from schedtel.cli.signals import restored_cursor
from schedtel.cli.strict import StrictGroup
from schedtel.durations import parse_duration
from schedtel.simulator.machine import DESCRIPTIONS, MOST_CPUS, Machine
from schedtel.windows.grid import window_length

if TYPE_CHECKING:
    from schedtel.recordings.recorder import Recorder
    from schedtel.simulator.simulation import Simulation

#: Seconds between two flushes. Each flush writes the current part of the recording anew, so not after every window.
_FLUSH_S = 1.0
_COST_OPTIONS = (
    click.option("--slice", "slice_ns", metavar="DURATION", help="How long a task keeps its CPU while others wait."),
    click.option(
        "--tick", "tick_ns", metavar="DURATION", default="4ms", show_default=True, help="Slices end on ticks."
    ),
    click.option(
        "--switch-cost", "switch_ns", metavar="DURATION", default="1500ns", show_default=True, help="Of a switch."
    ),
    click.option(
        "--migration-cost",
        "migration_ns",
        metavar="DURATION",
        default="16us",
        show_default=True,
        help="Of a migration while the last CPU's cache is warm.",
    ),
    click.option(
        "--warm", "warm_ns", metavar="DURATION", default="5ms", show_default=True, help="How long a cache stays warm."
    ),
    click.option(
        "--disk",
        "disk_ns",
        metavar="DURATION",
        default="1ms",
        show_default=True,
        help="Of a write that waits for the disk.",
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
@together(_COST_OPTIONS)
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
    **costs: str | None,
) -> None:
    """Simulate the jobs of SPEC, and print how long they took. The same arguments give the same bytes.

    The jobs are those of `schedtel workload run` with the same file and seed. With -o, the windows are recorded as
    `schedtel record` would have done; `show`, `report` and `compare` read them. Ctrl-C ends the run early.
    """
    chosen = {name: _nanoseconds(text) for name, text in costs.items() if text is not None}
    machine = Machine(cpus, scheduler, **chosen)
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
    facts: dict[str, Any] = {"machine": source.machine.as_dict(), "events": source.events}
    if kind == "ndjson":
        write_lines(result_lines(outcome))
    elif kind == "json":
        lines.document(json.dumps(outcome.summary() | facts, indent=2))
    else:
        show_simulated(outcome, facts)
    if outcome.interrupted:
        lines.remark("interrupted before the end of the plan")
