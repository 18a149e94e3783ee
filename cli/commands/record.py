"""``schedtel record``: windows of this machine in; Parquet files out."""

from typing import Any

import click

from schedtel.analysis.health_log import HealthLog
from schedtel.cli.display.progress import with_progress
from schedtel.cli.options import (
    counter_options,
    filter_options,
    log_options,
    machine_options,
    rotation_options,
    window_options,
)
from schedtel.cli.service import log_end, log_start, notify_systemd, say, set_up_log
from schedtel.cli.session import open_session
from schedtel.cli.strict import StrictCommand
from schedtel.durations import format_duration
from schedtel.recordings.dataset import recorder_of
from schedtel.recordings.recorder import Recorder
from schedtel.windows.window import Window

#: What a recording keeps of the source's metadata, beside what every recording has.
_FACTS = ("preemptions", "counters")


@click.command("record", cls=StrictCommand, short_help="Record to Parquet.")
@click.option("-o", "--output", required=True, metavar="DIR|URI", help="A directory, new or empty; or a URI.")
@window_options
@filter_options
@machine_options
@counter_options
@rotation_options
@log_options
@click.argument("arguments", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
def command(
    arguments: tuple[str, ...],
    output: str,
    rotate_size: int,
    rotate_every: str,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Write every window to Parquet, one folder for each table: DIR/summary, DIR/tasks, DIR/cpus and so on.

    A URI, such as s3://bucket/path or file:///var/lib/schedtel, gets a dataset that many hosts and runs may share: in
    each table, a folder for each host, day and run. A recorder that starts again adds a run.

    The files are complete after every window; whatever ends the recording, at most the window in progress is lost.

    With a COMMAND, run it, and record it and its descendants until it ends; its exit status is passed on.
    """
    logs_events = set_up_log(quiet=quiet, verbose=verbose)
    totals = RunTotals()
    with (
        recorder_of(output, options["window"], rotate_size << 20, rotate_every) as recorder,
        open_session(options, arguments) as session,
    ):
        recorder.filter_text = session.source.filter.describe()
        recorder.facts = {name: session.source.metadata[name] for name in _FACTS if name in session.source.metadata}
        health_log = HealthLog()
        log_start(session.source)
        notify_systemd("READY=1")
        hidden = quiet or logs_events
        for window in with_progress(session.source, "recording", lambda _: _progress(recorder), hidden=hidden):
            recorder.write(window)
            totals.add(window)
            health_log.add(window)
        log_end(session.signals)
        status = session.status()
    say.info(f"recorded {totals.describe(recorder)}")
    return status


def _progress(recorder: Recorder) -> str:
    return f"{recorder.windows_written} windows, {recorder.bytes_written / 1e6:.1f} MB"


class RunTotals:
    """Totals of a run, for the closing line."""

    def __init__(self) -> None:
        self.time_ns = self.rows = self.completed = 0
        self.lost: dict[str, int] = {}

    def add(self, window: Window) -> None:
        self.time_ns += window.end_ns - window.start_ns
        self.rows += window.tasks.num_rows
        self.completed += window.metrics.tat.count
        for name, count in window.losses.items():
            self.lost[name] = self.lost.get(name, 0) + count

    def describe(self, recorder: Recorder) -> str:
        losses = ", ".join(f"{count} {name}" for name, count in self.lost.items() if count) or "nothing lost"
        windows = f"{recorder.windows_written} window{'' if recorder.windows_written == 1 else 's'}"
        return (
            f"{windows} over {format_duration(self.time_ns)} to {recorder.where}: "
            f"{self.rows} rows, {self.completed} lives completed, {recorder.bytes_written / 1e6:.2f} MB, {losses}"
        )
