"""``schedtel trial``: loads that change and methods in TOML in; runs, and what each method costs, out."""

from pathlib import Path

import click

from schedtel.cli import lines
from schedtel.cli.output import opened
from schedtel.cli.session import stop_on_signals
from schedtel.cli.strict import StrictGroup
from schedtel.durations import format_duration
from schedtel.errors import UsageError
from schedtel.experiments.packed import is_packed, unpack
from schedtel.experiments.revision import revision_of
from schedtel.experiments.store import read_store
from schedtel.report import write_page
from schedtel.trials.findings import Findings, findings_of
from schedtel.trials.page import render
from schedtel.trials.running import Progress, Trial
from schedtel.trials.spec import read_spec
from schedtel.trials.text import text_of

_INTERRUPTED = 1
_PAGES = (".html", ".htm")


@click.group("trial", cls=StrictGroup, short_help="Run loads that change under agents, and compare them.")
def command() -> None:
    """Compare agents and arms: workloads of a file of TOML follow one another while a method is in effect."""


@command.command("run", short_help="Make the runs.")
@click.argument("spec", metavar="SPEC")
@click.option("-o", "--output", required=True, metavar="DIR", help="Directory for the runs; an earlier one goes on.")
def run(spec: str, output: str) -> int:
    """Make the runs that SPEC asks for, and print what they show.

    What is in the directory already is not run again, so a trial that was stopped goes on. Ctrl-C gives the repeat in
    progress up. Exit status 1 if runs are missing in the end.
    """
    trial = Trial(read_spec(spec), output, facts=revision_of(spec), tell=_tell)
    with stop_on_signals(trial.stop):
        trial.run(_tell_block)
    missing = len(trial.remaining())
    if missing:
        lines.remark(f"stopped: {missing} repeats under a method are missing (run it again to go on)")
        return _INTERRUPTED
    lines.document(text_of(_findings(output)).rstrip("\n"))
    return 0


def _tell(text: str) -> None:
    lines.remark(lines.in_one_line(text))


def _tell_block(progress: Progress) -> None:
    left = "" if progress.left_s is None else f"; {format_duration(progress.left_s * 1e9)} left"
    block = progress.block
    lines.remark(
        f"{progress.number} of {progress.total}: {len(block.phases)} phases under {block.scheduler}, "
        f"repeat {block.repeat}{left}"
    )


@command.command("report", short_help="Say what the runs show.")
@click.argument("directory", metavar="DIR|FILE")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "html"]),
    help="By default as the name of the output ends, else text.",
)
@click.option("-o", "--output", metavar="FILE", help="Where to write it; by default stdout.")
def report(directory: str, kind: str | None, output: str | None) -> None:
    """Say what the runs in DIR show: what each method costs beside EEVDF, round by round and workload by workload.

    A FILE of `schedtel experiment pack` says the same as the runs that were packed.
    """
    findings = _findings(directory)
    is_page = kind == "html" or (kind is None and Path(output or "").suffix.lower() in _PAGES)
    if is_page and output not in (None, "-"):
        write_page(render(findings), str(output))
        return
    with opened(output) as stream:
        stream.write((render(findings) if is_page else text_of(findings)).encode())


def _findings(path: str) -> Findings:
    spec, runs = unpack(path) if is_packed(path) else read_store(path)
    named = spec.get("schedulers")
    methods = [str(method) for method in named] if isinstance(named, list) else []
    try:
        return findings_of(str(spec.get("title", "trial")), runs, methods)
    except ValueError as error:
        raise UsageError(
            f"cannot report on {path}: it has no whole run of a trial (name a directory of `schedtel trial run`)"
        ) from error
