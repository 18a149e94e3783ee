"""``schedtel latency``: a recording of events in; a table of waits for a CPU by command name out."""

from __future__ import annotations

import click

from schedtel.cli.event_recordings import opened_recording
from schedtel.cli.output import opened
from schedtel.cli.strict import StrictCommand


@click.command("latency", cls=StrictCommand, short_help="Sum up waits for a CPU by command name.")
@click.argument("directory", metavar="DIR|URI")
@click.option("-o", "--output", metavar="FILE", help="Write to a file.")
def command(directory: str, output: str | None) -> None:
    """Print how long threads of a recording of events ran and waited for a CPU, by command name, as `perf sched
    latency` does.
    """
    from schedtel.eventlog import latency as text  # noqa: PLC0415  (other commands do without pyarrow)
    from schedtel.eventlog.timehist import stretches  # noqa: PLC0415  (see above)

    with opened_recording(directory) as (recording, tasks):
        events = recording.events()
        with opened(output) as stream:
            for line in text.lines(text.waits(events, tasks), stretches(events, tasks), tasks):
                stream.write(f"{line}\n".encode())
