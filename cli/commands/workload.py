"""``schedtel workload``: a description in TOML in; its plan, or tasks that do what is planned, out."""

import itertools
import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import click

from schedtel.cli import lines
from schedtel.cli.display.workloads import show_outcome, show_plan, show_presets
from schedtel.cli.options import Decorator
from schedtel.cli.session import stop_on_signals
from schedtel.cli.strict import StrictGroup
from schedtel.durations import parse_duration
from schedtel.errors import UsageError
from schedtel.workloads.external import installed
from schedtel.workloads.outcome import RESULT, Outcome
from schedtel.workloads.plan import JOB, Lives, Plan, make_plan
from schedtel.workloads.presets import preset_names, preset_text
from schedtel.workloads.run import Runner
from schedtel.workloads.spec import Workload, load_workload, parse_workload

_PLAN_OPTIONS = (
    click.option("--seed", type=click.IntRange(min=0), help="Another seed than the workload's own."),
    click.option("-d", "--duration", metavar="DURATION", help="Another length than the workload's own."),
)
#: Lines that are written at once.
_CHUNK = 10_000


def _format(*kinds: str) -> Decorator:
    meaning = "A table for a person, or JSON." if len(kinds) == 2 else "A table, JSON, or a line of JSON for each job."
    return click.option("--format", "kind", type=click.Choice(kinds), default="table", show_default=True, help=meaning)


def _planned(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_PLAN_OPTIONS):
        function = option(function)
    return function


@click.group("workload", cls=StrictGroup, short_help="Make a load that is the same each time.")
def command() -> None:
    """Run jobs whose times and sizes are planned before, from a seed: the same load for each scheduler.

    SPEC is the name of a preset (see `schedtel workload list`) or a TOML file, whose name has a slash or ends in .toml.
    """


@command.command("list", short_help="List the presets.")
@_format("table", "json")
def list_(kind: str) -> None:
    """List the workloads that ship with schedtel, and which programs of others are there to be run by one."""
    presets = {name: load_workload(name) for name in preset_names()}
    if kind == "json":
        found = {"presets": {name: one.as_dict() for name, one in presets.items()}, "programs": installed()}
        lines.document(json.dumps(found, indent=2))
    else:
        show_presets(presets, installed())


@command.command("show", short_help="Print a preset.")
@click.argument("name", metavar="PRESET")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["toml", "json"]),
    default="toml",
    show_default=True,
    help="The file with its comments, or all fields with their defaults.",
)
def show(name: str, kind: str) -> None:
    """Print a preset as TOML, with comments: a beginning for a file of your own."""
    text = preset_text(name)
    lines.document(text.rstrip("\n") if kind == "toml" else json.dumps(parse_workload(text, name).as_dict(), indent=2))


@command.command("plan", short_help="Print what would be done.")
@click.argument("spec", metavar="SPEC")
@_planned
@_format("table", "json", "ndjson")
def plan(spec: str, seed: int | None, duration: str | None, kind: str) -> None:
    """Plan the jobs of SPEC and print them, without running anything. The same seed gives the same bytes."""
    planned = make_plan(_chosen(spec, seed, duration), _read_lives)
    if kind == "ndjson":
        _write(_job_lines(planned))
    elif kind == "json":
        lines.document(json.dumps(_summary(planned), indent=2))
    else:
        show_plan(planned)
        for one in planned.workload.externals:
            lines.answer(f"beside: {one.tool} {shlex.join(one.arguments)}")


@command.command("run", short_help="Run it, and say how its jobs fared.")
@click.argument("spec", metavar="SPEC")
@_planned
@click.option(
    "--loops-per-us",
    type=click.FloatRange(min=0.001, max=1e6),
    metavar="N",
    help="Loops of work in a microsecond, instead of measuring them: the same work in each run.",
)
@click.option("--strict", is_flag=True, help="Status 1 where the generator did not do what was planned.")
@_format("table", "json", "ndjson")
def run(spec: str, seed: int | None, duration: str | None, loops_per_us: float | None, strict: bool, kind: str) -> int:
    """Run the jobs of SPEC, and print how long they took. Nothing of it runs on when the command ends, however it does.

    Ctrl-C ends the run early. A line on stderr says so where the generator itself was late.
    """
    runner = Runner(make_plan(_chosen(spec, seed, duration), _read_lives), loops_per_us)
    with stop_on_signals(runner.stop):
        outcome = runner.run()
    if kind == "ndjson":
        _write(_result_lines(outcome))
    elif kind == "json":
        lines.document(json.dumps(outcome.summary(), indent=2))
    else:
        show_outcome(outcome)
    if outcome.interrupted:
        lines.remark("interrupted before the end of the plan")
    for complaint in outcome.complaints:
        lines.remark(f"schedtel: {complaint}")
    return 1 if strict and outcome.complaints else 0


def _chosen(spec: str, seed: int | None, duration: str | None) -> Workload:
    length = None if duration is None else parse_duration(duration)
    return load_workload(spec).with_options(seed, length)


def _read_lives(directory: str, comm: str) -> Lives:
    from schedtel.cli.sources import complain_of_damage  # noqa: PLC0415  (pyarrow, which other workloads do without)
    from schedtel.recordings.recording import read  # noqa: PLC0415
    from schedtel.workloads.recorded import lives_of  # noqa: PLC0415

    recording = read(directory)
    if len(recording.runs) > 1:
        raise UsageError(
            f"cannot replay {directory}: it has {len(recording.runs)} runs, each with a clock of its own (name the "
            "folder of one)"
        )
    lives = lives_of(recording, comm)
    complain_of_damage(recording)
    return lives


def _summary(planned: Plan) -> dict[str, Any]:
    classes = planned.workload.classes
    return {
        "sha256": planned.sha256,
        "seed": planned.workload.seed,
        "duration_ns": planned.workload.duration_ns,
        "classes": {
            c.name: {
                "jobs": planned.counts[number],
                "work_ns": int(planned.of_class(number)["work_ns"].sum()),
                "cpus": planned.load(number),
            }
            for number, c in enumerate(classes)
        },
        "externals": {one.name: {"tool": one.tool, "arguments": one.arguments} for one in planned.workload.externals},
    }


def _job_lines(planned: Plan) -> Iterator[str]:
    """A line for each job, in the order of the plan."""
    names = [c.name for c in planned.workload.classes]
    assert JOB.names == ("at_ns", "work_ns", "class", "worker")
    for at, work, number, worker in planned.jobs.tolist():
        yield f'{{"class":"{names[number]}","worker":{_known(worker)},"at_ns":{at},"work_ns":{work}}}'


def _result_lines(outcome: Outcome) -> Iterator[str]:
    """A line for each job that was released, in the order of the plan."""
    names = [c.name for c in outcome.plan.workload.classes]
    assert RESULT.names is not None
    keys = RESULT.names[1:]
    for number, *values in outcome.jobs.tolist():
        fields = ",".join(f'"{key}":{_known(value)}' for key, value in zip(keys, values, strict=True))
        yield f'{{"class":"{names[number]}",{fields}}}'


def _known(value: int) -> str:
    """A number of JSON; null for -1."""
    return "null" if value < 0 else str(value)


def _write(rows: Iterator[str]) -> None:
    """Write lines to stdout, some thousand at a time."""
    while chunk := list(itertools.islice(rows, _CHUNK)):
        lines.document("\n".join(chunk))
