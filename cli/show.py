"""``schedtel show``: a recording as tables."""

import itertools
import sys
from typing import Any

import click
from rich.console import Console

from schedtel.cli.options import output_options, view_options
from schedtel.cli.output import format_for, opened, write_windows
from schedtel.cli.view import View, sort_column
from schedtel.recording import Recording, read


@click.command("show", short_help="Show a recording.")
@click.argument("directory")
@click.option("--from", "first", type=click.IntRange(min=1), default=1, show_default=True, help="First window.")
@click.option("-n", "--count", type=click.IntRange(min=1), help="Number of windows.")
@view_options
@output_options
def command(
    directory: str, first: int, count: int | None, kind: str | None, table: str, output: str | None, **options: Any
) -> None:
    """Show the windows of a recording as `live` would have shown them."""
    chosen = format_for(kind, output)
    recording = read(directory)
    view = View(by=options["by"], sort=sort_column(options["sort"]), top=options["top"])
    view.subtitle = _describe(recording)
    wanted = (window for window in recording if window.window_id >= first)
    windows = itertools.islice(wanted, count)
    if chosen == "table" and output is None and sys.stdout.isatty():
        console = Console()
        for window in windows:
            view.add(window)
            console.print(view.render(width=console.width))
        return
    with opened(output) as stream:
        write_windows(windows, stream, chosen, table, view)


def _describe(recording: Recording) -> str:
    facts = recording.metadata
    return " · ".join(["recording", f"window {facts.get('window', '?')}", facts.get("filter") or "all tasks"])
