"""``schedtel import``: the text of a perf or ftrace trace in; Parquet files out."""

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime

import click

from schedtel.cli import lines
from schedtel.cli.commands.record import RunTotals
from schedtel.cli.display.progress import with_progress
from schedtel.cli.options import rotation_options
from schedtel.cli.signals import restored_cursor
from schedtel.cli.strict import StrictCommand
from schedtel.errors import UsageError
from schedtel.recordings.dataset import recorder_of
from schedtel.recordings.recorder import Recorder
from schedtel.traces.imported import ImportedTrace
from schedtel.traces.text import FORMATS, wall_clock

#: Seconds between two flushes. Each flush writes the current part of the recording anew, so not after every window.
_FLUSH_S = 1.0


@click.command("import", cls=StrictCommand, short_help="Make a recording of perf's or ftrace's text.")
@click.argument("trace", metavar="TRACE")
@click.option("-o", "--output", required=True, metavar="DIR|URI", help="A directory, new or empty; or a URI.")
@click.option("-w", "--window", default="5s", show_default=True, metavar="DURATION", help="Length of a window.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="auto", show_default=True, help="Format of the text."
)
@click.option("--wall-start", metavar="TIME", help="Time of the first event: 2026-01-31T12:00:00, UTC if no zone.")
@click.option("--host", metavar="NAME", help="The machine's name, if perf's header does not contain it.")
@rotation_options
@click.option("-q", "--quiet", is_flag=True, help="No progress and no closing summary.")
def command(
    trace: str,
    output: str,
    window: str,
    form: str,
    wall_start: str | None,
    host: str | None,
    rotate_size: int,
    rotate_every: str,
    quiet: bool,
) -> None:
    """Make a recording from the text of `perf script`, `perf sched script`, ftrace's `trace` or `trace-cmd report`.

    TRACE is a file, or - for standard input. Trace at least sched_switch. With sched_wakeup, sched_wakeup_new,
    sched_process_fork, sched_process_exec, sched_process_exit and task_newtask the recording has all that an import
    can have.
    """
    totals = RunTotals()
    with (
        nullcontext() if quiet or not sys.stderr.isatty() else restored_cursor(),
        ImportedTrace(trace, window, form, _moment(wall_start), host) as source,
        recorder_of(output, window, rotate_size << 20, rotate_every) as recorder,
    ):
        flushed = time.monotonic()
        for imported in with_progress(
            source,
            "importing",
            lambda number: f"{number} windows, {source.reading.lines} lines",
            lambda: source.progress,
            hidden=quiet,
        ):
            recorder.add(imported)
            totals.add(imported)
            if time.monotonic() - flushed > _FLUSH_S:
                _flush(recorder, source)
                flushed = time.monotonic()
        _flush(recorder, source)
        if not quiet:
            lines.remark(f"imported {totals.describe(recorder)}")
            for remark in _remarks(source):
                lines.remark(remark)


def _flush(recorder: Recorder, source: ImportedTrace) -> None:
    recorder.facts = source.metadata
    recorder.flush()


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else wall_clock(text)
    except ValueError as error:
        raise UsageError(f"cannot read the time {text!r}: {error} (write 2026-01-31T12:00:00+01:00)") from error


def _remarks(source: ImportedTrace) -> Iterator[str]:
    """Lines that say what was read and what could not be used."""
    reading = source.reading
    yield f"read {reading.lines} lines as {reading.format}: {sum(reading.events.values())} events"
    if reading.not_understood:
        yield f"{reading.not_understood} lines were not understood"
    if reading.lost:
        yield f"{reading.lost} events were lost by the tracer: the windows they are missing from say programs_skipped"
    if source.out_of_order:
        yield f"{source.out_of_order} events came more than a second late, or with a damaged time: they are losses"
    if reading.other_namespace:
        yield "perf ran in another pid namespace than the tasks: their processes are not known"
    if not source.wakeups:
        yield "no wakeup was traced: waits after a wakeup are in the blocked time (trace sched:sched_wakeup)"
