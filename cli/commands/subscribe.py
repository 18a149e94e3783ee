"""``schedtel subscribe``: windows of another machine in; a live view, NDJSON or Arrow IPC out."""

import itertools
import sys
from typing import Any

import click

from schedtel.cli import lines
from schedtel.cli.display.choices import Choice
from schedtel.cli.options import client_options, output_options, view_options
from schedtel.cli.output import format_for, opened, write_windows
from schedtel.cli.session import stop_on_signals
from schedtel.cli.sources import complain_of_missed, complain_of_no_pairs, describe, open_stream
from schedtel.cli.strict import StrictCommand
from schedtel.flight import Subscription
from schedtel.flight.wire import STOP


@click.command("subscribe", cls=StrictCommand, short_help="Watch what is served elsewhere.")
@click.argument("uri")
@click.option("--history", is_flag=True, help="Begin with the windows that the server keeps, not with the next one.")
@click.option("-n", "--count", type=click.IntRange(min=1), help="End after this many windows.")
@view_options
@output_options
@client_options
def command(
    uri: str, history: bool, count: int | None, kind: str | None, table: str, output: str | None, **options: Any
) -> None:
    """Show the windows that `schedtel serve` publishes at a URI, with the same numbers.

    A URI is grpc://127.0.0.1:8815, grpc+unix:///path or grpc+tls://host:port.

    On a terminal it shows the page of `schedtel live`, with the same keys.
    """
    chosen = format_for(kind, output)
    choice = Choice.of(options)
    with open_stream(uri, options, history=history) as source, stop_on_signals(source.stop):
        choice.subtitle = describe(source)
        if chosen == "table" and choice.of_pairs:
            complain_of_no_pairs(source)
        windows = itertools.islice(source, count)
        if chosen == "table" and output is None and sys.stdout.isatty():
            from schedtel.cli.display.terminal import watch  # noqa: PLC0415  (rich: 2.5 MB that NDJSON does without)

            watch(windows, choice, source.stop, lambda: _missed(source))
            _explain_end(source)
        else:
            with opened(output) as stream:
                write_windows(windows, stream, chosen, table, choice)
        complain_of_missed(source)


def _missed(source: Subscription) -> str:
    return f"{source.windows_missed} windows missed · " if source.windows_missed else ""


def _explain_end(source: Subscription) -> None:
    """Print why the page has ended, unless the user quit."""
    if not source.left:
        why = "the server has stopped" if source.ended == STOP else "the run is over"
        lines.remark(f"{source.address.uri}: {why}")
