"""``schedtel live``: windows of this machine in; a live view, NDJSON or Arrow IPC out, as each window ends."""

import sys
from typing import Any

import click

from schedtel.cli.display.choices import Choice
from schedtel.cli.options import (
    counter_options,
    filter_options,
    machine_options,
    output_options,
    view_options,
    window_options,
)
from schedtel.cli.output import format_for, opened, write_windows
from schedtel.cli.session import prepare_session
from schedtel.cli.strict import StrictCommand
from schedtel.errors import UsageError


@click.command("live", cls=StrictCommand, short_help="Watch the scheduler live.")
@window_options
@filter_options
@machine_options
@counter_options
@view_options
@output_options
@click.argument("arguments", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
def command(arguments: tuple[str, ...], kind: str | None, table: str, output: str | None, **options: Any) -> int:
    """Show, window after window, what the scheduler did to every task.

    With a COMMAND, run it, and show it and its descendants until it ends; its exit status is passed on.

    Keys of the live view: q quit, b what a row is, s sort, p pause, up and down number of rows.
    """
    chosen = format_for(kind, output)
    choice = Choice.of(options)
    if choice.of_pairs and options["preemptions"] == "off":
        raise UsageError("cannot show who preempted whom with --preemptions off (drop one of the two)")
    # The output is opened after tracing has begun, so that a failure there does not empty the file. It is opened before
    # the command starts, so that the command does not run if the output cannot be opened.
    with prepare_session(options, arguments) as session, opened(output) as stream, session.running():
        choice.describe(session.source)
        if chosen == "table" and output is None and sys.stdout.isatty():
            from schedtel.cli.display.terminal import clock, watch  # noqa: PLC0415  (rich: 2.5 MB that NDJSON does without)

            source = session.source
            watch(source, choice, source.stop, lambda: clock(source.elapsed))
        else:
            write_windows(session.source, stream, chosen, table, choice, session.source.drain)
        return session.status()
