"""``schedtel timehist``: a recording of events in; a line for each stretch of a thread on a CPU out."""

from __future__ import annotations

import click

from schedtel.cli.event_recordings import opened_recording
from schedtel.cli.output import opened
from schedtel.cli.strict import StrictCommand


@click.command("timehist", cls=StrictCommand, short_help="Show each stretch of a thread on a CPU.")
@click.argument("directory", metavar="DIR|URI")
@click.option("-o", "--output", metavar="FILE", help="Write to a file.")
def command(directory: str, output: str | None) -> None:
    """Print a line for each switch of a recording of events, as `perf sched timehist` does: when, where, and of the
    thread that leaves how long it had been away, had waited for a CPU, and has run. Times are in milliseconds.
    """
    from schedtel.eventlog import timehist as text  # noqa: PLC0415  (other commands do without pyarrow)

    with opened_recording(directory) as (recording, tasks):
        events, gaps = recording.events(), recording.gaps()
        with opened(output) as stream:
            for part in text.lines(text.stretches(events, tasks), tasks, gaps):
                stream.write(part)
