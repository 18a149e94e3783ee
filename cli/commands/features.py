"""``schedtel features``: windows of this machine, a recording or a stream in; a row of features for each out."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import click

from schedtel.access.uri import is_uri
from schedtel.cli.options import (
    client_options,
    counter_options,
    filter_options,
    refuse_for_another_source,
    refuse_without_stream,
    window_options,
)
from schedtel.cli.output import ROW_FORMATS, Output, format_for, opened
from schedtel.cli.rows import write_rows
from schedtel.cli.session import prepare_session
from schedtel.cli.sources import complain_of_damage, complain_of_missed, open_source, stopped_by_signals
from schedtel.cli.strict import StrictCommand
from schedtel.windows.source import bounded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schedtel.windows.window import Window


@click.command("features", cls=StrictCommand, short_help="Write each window as a row of features.")
@click.argument("source", required=False, metavar="[DIR|URI]")
@window_options
@click.option(
    "--view",
    type=click.Choice(["all", "study"]),
    default="all",
    show_default=True,
    help="Every feature, or those of an earlier study under its names (T_*).",
)
@click.option("--format", "kind", type=click.Choice(ROW_FORMATS), help="Output.  [default: ndjson]")
@click.option("-o", "--output", metavar="FILE", help="Write to a file; its extension chooses the format.")
@filter_options
@counter_options
@client_options
def command(source: str | None, view: str, kind: str | None, output: str | None, **options: Any) -> None:
    """Write a row of named numbers for each window, for a model or a table: as NDJSON, Arrow IPC or CSV.

    The windows are those of this machine, which is then sampled by psutil as well; or those of a recording or of what
    `schedtel serve` has at a URI (first the windows that the server keeps, then new ones). What psutil tells is missing
    there unless it was recorded or served with --machine.
    """
    chosen = format_for(kind, output, ROW_FORMATS)
    if source is None:
        _of_this_machine(chosen, view, output, options)
    else:
        _of_another(source, chosen, view, output, options)


def _of_this_machine(kind: str, view: str, output: str | None, options: dict[str, Any]) -> None:
    refuse_without_stream("this machine")
    # The output is opened after tracing has begun, so that a failure there does not empty the file.
    with (
        prepare_session({**options, "machine": True}, ()) as session,
        opened(output) as stream,
        session.running(),
    ):
        _write(session.source, stream, kind, view)


def _of_another(where: str, kind: str, view: str, output: str | None, options: dict[str, Any]) -> None:
    refuse_for_another_source(where, bounded=True)
    if not is_uri(where):
        refuse_without_stream("a recording")
    with open_source(where, options) as source, stopped_by_signals(source):
        windows = bounded(source, options["count"], options["duration"])
        # The first window is read before the output is opened: an error creates no file and replaces none.
        beginning = list(itertools.islice(windows, 1))
        with opened(output) as stream:
            _write(itertools.chain(beginning, windows), stream, kind, view)
        complain_of_missed(source)
        complain_of_damage(source)


def _write(windows: Iterable[Window], stream: Output, kind: str, view: str) -> None:
    from schedtel.features import batches, schema  # noqa: PLC0415  (tracing begins without pyarrow)

    write_rows(batches(windows, view), schema(view), stream, kind)
