"""``schedtel events``: single switches, wakeups and migrations in; Parquet files, and what they say, out."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from schedtel.cli.heap import give_back_what_is_freed
from schedtel.cli.options import log_options, task_options
from schedtel.cli.service import log_end, notify_systemd, say, set_up_log
from schedtel.cli.session import filter_and_command, stop_on_signals
from schedtel.cli.strict import StrictGroup
from schedtel.durations import format_duration, parse_duration
from schedtel.latch import Latch

if TYPE_CHECKING:
    from schedtel.eventlog.recorder import EventRecorder


@click.group("events", cls=StrictGroup, short_help="Record single events, and tell what happened.")
def command() -> None:
    """Each switch, wakeup and migration for itself, where windows would say too little."""


@command.command("record", short_help="Record events to Parquet.")
@click.option("-o", "--output", required=True, metavar="DIR|URI", help="A directory, new or empty; or a URI.")
@click.option("-d", "--duration", metavar="DURATION", help="End after this time.")
@task_options
@click.option(
    "--ring-size",
    type=click.IntRange(min=1, max=1024),
    metavar="MB",
    help="Size of each CPU's ring, a power of two: 65,536 events a megabyte.  [default: 8, less with over 64 CPUs]",
)
@log_options
@click.argument("arguments", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
def record(
    arguments: tuple[str, ...],
    output: str,
    duration: str | None,
    ring_size: int | None,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Write each event to Parquet: DIR/events, who the threads are to DIR/tasks, and all losses to DIR/gaps.

    A file appears every five seconds; whatever ends the recording, at most what came after the last file is lost.

    With a COMMAND, run it, and record it and its descendants until it ends; its exit status is passed on.
    """
    from schedtel.eventlog.recorder import EventRecorder, record  # noqa: PLC0415  (other commands do without pyarrow)
    from schedtel.eventlog.tracing import Tracing  # noqa: PLC0415  (see above)

    set_up_log(quiet=quiet, verbose=verbose)
    duration_ns = None if duration is None else parse_duration(duration)
    ring_bytes = None if ring_size is None else ring_size << 20
    give_back_what_is_freed()
    stop = Latch()
    with (
        EventRecorder(output) as recorder,
        filter_and_command(options, arguments) as (task_filter, traced),
        closing(Tracing(task_filter, ring_bytes)) as tracing,
        stop_on_signals(stop.set, traced) as signals,
    ):
        if traced:
            traced.start(stop.set)
        notify_systemd("READY=1")
        record(tracing, recorder, stop, duration_ns)
        log_end(signals)
        lasted_ns = tracing.lasted_ns
        status = traced.join() if traced else 0
    say.info("recorded %s", _totals(recorder, lasted_ns))
    return status


def _totals(recorder: EventRecorder, lasted_ns: int) -> str:
    lost = f"{recorder.events_lost} lost (see gaps)" if recorder.events_lost else "nothing lost"
    return (
        f"{recorder.events_written} events over {format_duration(lasted_ns)} to {recorder.where}: "
        f"{recorder.bytes_written / 1e6:.2f} MB, {lost}"
    )
