"""``schedtel subscribe``: windows of another machine, as they end there."""

import itertools
from typing import Any

import click

from schedtel.cli.choice import Choice, sort_column
from schedtel.cli.options import client_options, output_options, view_options
from schedtel.cli.output import format_for
from schedtel.cli.session import stop_on_signals
from schedtel.cli.show import show
from schedtel.cli.sources import complain_of_missed, describe, open_stream


@click.command("subscribe", short_help="Watch what is served elsewhere.")
@click.argument("uri")
@click.option("--history", is_flag=True, help="Begin with what the server remembers, and not with the next window.")
@click.option("-n", "--count", type=click.IntRange(min=1), help="End after this many windows.")
@view_options
@output_options
@client_options
def command(
    uri: str, history: bool, count: int | None, kind: str | None, table: str, output: str | None, **options: Any
) -> None:
    """Show the windows that `schedtel serve` publishes at a URI, with the same numbers.

    A URI is grpc://127.0.0.1:8815, grpc+unix:///path or grpc+tls://host:port.
    """
    chosen = format_for(kind, output)
    choice = Choice(by=options["by"], sort=sort_column(options["sort"]), top=options["top"])
    with open_stream(uri, options, history=history) as source, stop_on_signals(source.stop):
        choice.subtitle = describe(source)
        show(itertools.islice(source, count), choice, chosen, table, output)
        complain_of_missed(source)
