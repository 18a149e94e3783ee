"""``schedtel workload``: a description in TOML in; its plan, or tasks that do what is planned, out."""

import json
import shlex
from typing import Any

import click

from schedtel.cli import lines
from schedtel.cli.display.workloads import show_outcome, show_plan, show_presets
from schedtel.cli.jobs import chosen_plan, job_lines, plan_options, result_lines, write_lines
from schedtel.cli.options import format_option
from schedtel.cli.session import stop_on_signals
from schedtel.cli.strict import StrictGroup
from schedtel.workloads.external import installed
from schedtel.workloads.plan import Plan
from schedtel.workloads.presets import preset_names, preset_text
from schedtel.workloads.run import Runner
from schedtel.workloads.spec import load_workload, parse_workload


@click.group("workload", cls=StrictGroup, short_help="Make a load that is the same each time.")
def command() -> None:
    """Run jobs whose times and sizes are planned before, from a seed: the same load for each scheduler.

    SPEC is the name of a preset (see `schedtel workload list`) or a TOML file, whose name has a slash or ends in .toml.
    """


@command.command("list", short_help="List the presets.")
@format_option("table", "json")
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
@plan_options
@format_option("table", "json", "ndjson")
def plan(spec: str, seed: int | None, duration: str | None, kind: str) -> None:
    """Plan the jobs of SPEC and print them, without running anything. The same seed gives the same bytes."""
    planned = chosen_plan(spec, seed, duration)
    if kind == "ndjson":
        write_lines(job_lines(planned))
    elif kind == "json":
        lines.document(json.dumps(_summary(planned), indent=2))
    else:
        show_plan(planned)
        for one in planned.workload.externals:
            lines.answer(f"beside: {one.tool} {shlex.join(one.arguments)}")


@command.command("run", short_help="Run it, and say how its jobs fared.")
@click.argument("spec", metavar="SPEC")
@plan_options
@click.option(
    "--loops-per-us",
    type=click.FloatRange(min=0.001, max=1e6),
    metavar="N",
    help="Loops of work in a microsecond, instead of measuring them: the same work in each run.",
)
@click.option("--strict", is_flag=True, help="Status 1 where the generator did not do what was planned.")
@format_option("table", "json", "ndjson")
def run(spec: str, seed: int | None, duration: str | None, loops_per_us: float | None, strict: bool, kind: str) -> int:
    """Run the jobs of SPEC, and print how long they took. Nothing of it runs on when the command ends, however it does.

    Ctrl-C ends the run early. A line on stderr says so where the generator itself was late.
    """
    runner = Runner(chosen_plan(spec, seed, duration), loops_per_us)
    with stop_on_signals(runner.stop):
        outcome = runner.run()
    if kind == "ndjson":
        write_lines(result_lines(outcome))
    elif kind == "json":
        lines.document(json.dumps(outcome.summary(), indent=2))
    else:
        show_outcome(outcome)
    if outcome.interrupted:
        lines.remark("interrupted before the end of the plan")
    for complaint in outcome.complaints:
        lines.remark(f"schedtel: {complaint}")
    return 1 if strict and outcome.complaints else 0


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
