"""``schedtel show``: a recording or a served stream in; tables, NDJSON or Arrow IPC out."""

import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from schedtel.access.uri import is_uri
from schedtel.cli.display.choices import Choice
from schedtel.cli.lives import show_lives
from schedtel.cli.options import (
    client_options,
    output_options_with_lives,
    refuse_for_lives,
    refuse_without_stream,
    view_options,
)
from schedtel.cli.output import FORMATS, LIFE_FORMATS, format_for, opened, write_windows
from schedtel.cli.sources import (
    complain_of_damage,
    complain_of_missed,
    complain_of_no_pairs,
    complain_of_no_waits,
    describe,
    open_source,
    stopped_by_signals,
)
from schedtel.cli.strict import StrictCommand
from schedtel.errors import UsageError
from schedtel.windows.window import Window


@click.command("show", cls=StrictCommand, short_help="Show a recording.")
@click.argument("directory", metavar="DIR|URI")
@click.option("--from", "first", type=click.IntRange(min=1), default=1, show_default=True, help="First window.")
@click.option("-n", "--count", type=click.IntRange(min=1), help="Number of windows.")
@click.option("--lifetimes", is_flag=True, help="Show a row for each life of a task, instead of windows.")
@view_options
@output_options_with_lives
@client_options
def command(
    directory: str,
    first: int,
    count: int | None,
    lifetimes: bool,
    kind: str | None,
    table: str,
    output: str | None,
    **options: Any,
) -> int:
    """Show the windows of a recording as `live` would have shown them.

    The recording may also be what `schedtel serve` has at a URI (first the windows that the server keeps, then new
    ones), or a dataset in an object store.

    With --lifetimes, each life of a task is one row: its arrival, first CPU, completion, turnaround time, response time
    and CPU time. Exit status 1 if a row is not possible, such as a CPU time above the turnaround time.
    """
    chosen = format_for(kind, output, LIFE_FORMATS if lifetimes else FORMATS)
    if lifetimes:
        refuse_for_lives()
    elif chosen not in FORMATS:
        raise UsageError(f"cannot write windows as {chosen}: it is for lives (add --lifetimes, or drop --format)")
    if not is_uri(directory):
        refuse_without_stream("a recording")
    choice = Choice.of(options)
    with open_source(directory, options) as source, stopped_by_signals(source):
        choice.subtitle = describe(source)
        if chosen == "table" and choice.of_pairs:
            complain_of_no_pairs(source)
        if chosen == "table" and choice.of_waits:
            complain_of_no_waits(source)
        wanted = _from(first, source)
        # The first window is read before the output is opened: an error creates no file and replaces none.
        beginning = list(itertools.islice(wanted, 1))
        windows = itertools.islice(itertools.chain(beginning, wanted), count)
        status = 0
        if lifetimes:
            status = show_lives(windows, chosen, output)
        else:
            show(windows, choice, chosen, table, output)
        complain_of_missed(source)
        complain_of_damage(source)
    return status


def _from(first: int, windows: Iterable[Window]) -> Iterator[Window]:
    """The windows from number ``first`` on. Raises :class:`UsageError` when the last window comes before it."""
    last = 0
    for window in windows:
        last = max(last, window.window_id)
        if window.window_id >= first:
            yield window
    if 0 < last < first:
        raise UsageError(f"cannot show window {first} and what follows: the last is {last} (give a smaller --from)")


def show(windows: Iterable[Window], choice: Choice, chosen: str, table: str, output: str | None) -> None:
    """Print page by page on a terminal; write the chosen format elsewhere."""
    if chosen == "table" and output is None and sys.stdout.isatty():
        from schedtel.cli.display.terminal import pages  # noqa: PLC0415  (rich: 2.5 MB that NDJSON does without)

        pages(windows, choice)
        return
    with opened(output) as stream:
        write_windows(windows, stream, chosen, table, choice)
