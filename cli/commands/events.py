"""``schedtel events``: single switches, wakeups and migrations in; Parquet files, and what they say, out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from schedtel.access.files import open_to_write
from schedtel.cli import lines
from schedtel.cli.heap import give_back_what_is_freed
from schedtel.cli.options import log_options, rotation_options, task_options
from schedtel.cli.output import opened
from schedtel.cli.service import log_end, notify_systemd, say, set_up_log
from schedtel.cli.session import filter_and_command, stop_on_signals
from schedtel.cli.strict import StrictGroup
from schedtel.durations import format_duration, parse_duration
from schedtel.errors import UsageError
from schedtel.latch import Latch

if TYPE_CHECKING:
    from schedtel.eventlog.lookup import Tasks
    from schedtel.eventlog.recorder import EventRecorder
    from schedtel.eventlog.recording import EventRecording


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


@command.command("timehist", short_help="Show each stretch of a thread on a CPU.")
@click.argument("directory", metavar="DIR|URI")
@click.option("-o", "--output", metavar="FILE", help="Write to a file.")
def timehist(directory: str, output: str | None) -> None:
    """Print a line for each switch, as `perf sched timehist` does: when, where, and of the thread that leaves how long
    it had been away, had waited for a CPU, and has run. Times are in milliseconds.
    """
    from schedtel.eventlog import timehist as text  # noqa: PLC0415  (other commands do without pyarrow)

    with opened_recording(directory) as (recording, tasks):
        events, gaps = recording.events(), recording.gaps()
        with opened(output) as stream:
            for part in text.lines(text.stretches(events, tasks), tasks, gaps):
                stream.write(part)


@command.command("latency", short_help="Sum up waits for a CPU by command name.")
@click.argument("directory", metavar="DIR|URI")
@click.option("-o", "--output", metavar="FILE", help="Write to a file.")
def latency(directory: str, output: str | None) -> None:
    """Print how long threads ran and waited for a CPU, by command name, as `perf sched latency` does."""
    from schedtel.eventlog import latency as text  # noqa: PLC0415  (other commands do without pyarrow)
    from schedtel.eventlog.timehist import stretches  # noqa: PLC0415  (see above)

    with opened_recording(directory) as (recording, tasks):
        events = recording.events()
        with opened(output) as stream:
            for line in text.lines(text.waits(events, tasks), stretches(events, tasks), tasks):
                stream.write(f"{line}\n".encode())


@command.command("export", short_help="Write a recording of events for another tool.")
@click.argument("directory", metavar="DIR|URI")
@click.option("-o", "--output", required=True, metavar="FILE", help="The file to write.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["perf.data"]),
    default="perf.data",
    show_default=True,
    help="perf.data: for `perf script -i FILE`, `perf sched timehist -i FILE` and the like.",
)
def export(directory: str, output: str, kind: str) -> None:  # noqa: ARG001  (there is one)
    """Write the events, the names of threads and the losses to a file that another tool reads."""
    from schedtel.eventlog.perf_data import write_perf_data  # noqa: PLC0415  (other commands do without pyarrow)

    with opened_recording(directory) as (recording, tasks), opened_to_seek(output) as file:
        number = write_perf_data(recording, tasks, file)
    lines.remark(f"exported {number} events to {output}")


@command.command("windows", short_help="Make windows of events.")
@click.argument("directory", metavar="DIR|URI")
@click.option("-o", "--output", required=True, metavar="DIR|URI", help="A directory, new or empty; or a URI.")
@click.option("-w", "--window", default="5s", show_default=True, metavar="DURATION", help="Length of a window.")
@rotation_options
def windows(directory: str, output: str, window: str, rotate_size: int, rotate_every: str) -> None:
    """Make a recording of windows, by the state machine that live windows come from; `schedtel show` shows it.

    What no event tells is null there, as in a recording of `schedtel import`.
    """
    from schedtel.cli.commands.record import RunTotals  # noqa: PLC0415  (other commands do without pyarrow)
    from schedtel.eventlog.windows import EventWindows  # noqa: PLC0415  (see above)
    from schedtel.recordings.dataset import recorder_of  # noqa: PLC0415  (see above)

    totals = RunTotals()
    with (
        opened_recording(directory) as (recording, tasks),
        recorder_of(output, window, rotate_size << 20, rotate_every) as recorder,
    ):
        source = EventWindows(recording, tasks, window)
        recorder.filter_text, recorder.facts = source.metadata["filter"], source.metadata
        for made in source:
            recorder.add(made)
            totals.add(made)
        recorder.flush()
    lines.remark(f"made {totals.describe(recorder)}")


@contextmanager
def opened_recording(where: str) -> Iterator[tuple[EventRecording, Tasks]]:
    """A recording, and who its threads are. What could not be read is said at the end."""
    from schedtel.eventlog.lookup import Tasks  # noqa: PLC0415  (other commands do without pyarrow)
    from schedtel.eventlog.recording import EventRecording  # noqa: PLC0415  (see above)

    recording = EventRecording(where)
    yield recording, Tasks(recording.tasks())
    for flaw in recording.damaged:
        lines.remark(f"schedtel: cannot read {lines.in_one_line(flaw)}: its events are missing")


@contextmanager
def opened_to_seek(path: str) -> Iterator[BinaryIO]:
    """A file to write, in which what comes first may be written last.

    Raises :class:`UsageError` where it cannot be opened or written, or is no file.
    """
    try:
        with open(path, "wb", opener=open_to_write) as file:
            if not file.seekable():
                raise UsageError(f"cannot write {path}: it is no regular file (name one)")
            yield file
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error} (check the disk and the path)") from error


def _totals(recorder: EventRecorder, lasted_ns: int) -> str:
    lost = f"{recorder.events_lost} lost (see gaps)" if recorder.events_lost else "nothing lost"
    return (
        f"{recorder.events_written} events over {format_duration(lasted_ns)} to {recorder.where}: "
        f"{recorder.bytes_written / 1e6:.2f} MB, {lost}"
    )
