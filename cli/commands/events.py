"""``schedtel events``: single switches, wakeups and migrations in; Parquet files, and files of other tools, out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import click

from schedtel.access.files import open_to_write
from schedtel.cli import lines
from schedtel.cli.commands.events_record import record
from schedtel.cli.commands.events_snapshot import snapshot
from schedtel.cli.event_recordings import opened_recording
from schedtel.cli.options import rotation_options
from schedtel.cli.output import opened
from schedtel.cli.strict import StrictGroup
from schedtel.errors import UsageError

if TYPE_CHECKING:
    from schedtel.eventlog.lookup import Tasks
    from schedtel.eventlog.recording import EventRecording


@click.group("events", cls=StrictGroup, short_help="Record single events, all or the last seconds.")
def command() -> None:
    """Each switch, wakeup and migration for itself, where windows would say too little.

    `schedtel timehist` and `schedtel latency` tell what a recording says.
    """


command.add_command(record)
command.add_command(snapshot)


@command.command("export", short_help="Write a recording of events for another tool.")
@click.argument("directory", metavar="DIR|URI")
@click.option("-o", "--output", required=True, metavar="FILE|DIR", help="The file to write; of ctf, a new directory.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["perf.data", "perfetto", "ctf"]),
    default="perf.data",
    show_default=True,
    help="perf.data: for `perf script -i FILE`, `perf sched timehist -i FILE` and the like; perfetto: for Perfetto's "
    "trace viewer; ctf: for babeltrace2 and what else reads traces of LTTng.",
)
def export(directory: str, output: str, kind: str) -> None:
    """Write the events, the names of threads and the losses to a file that another tool reads."""
    write = {"perf.data": _perf_data, "perfetto": _perfetto, "ctf": _ctf}[kind]
    with opened_recording(directory) as (recording, tasks):
        number = write(recording, tasks, output)
    lines.remark(f"exported {number} events to {output}")


def _perf_data(recording: EventRecording, tasks: Tasks, output: str) -> int:
    from schedtel.eventlog.perf_data import write_perf_data  # noqa: PLC0415  (other commands do without pyarrow)

    with opened_to_seek(output) as file:
        return write_perf_data(recording, tasks, file)


def _perfetto(recording: EventRecording, tasks: Tasks, output: str) -> int:
    from schedtel.eventlog.perfetto import write_perfetto  # noqa: PLC0415  (see above)

    with opened(output) as stream:
        return write_perfetto(recording, tasks, stream)


def _ctf(recording: EventRecording, tasks: Tasks, output: str) -> int:
    from schedtel.eventlog.ctf import CtfTrace  # noqa: PLC0415  (see above)

    with CtfTrace(output) as trace:
        return trace.write(recording, tasks)


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
