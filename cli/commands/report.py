"""``schedtel report``: a recording as a page to look at."""

from typing import Any

import click

from schedtel.cli.inputs import read_stories
from schedtel.cli.options import bound_options, client_options
from schedtel.cli.output import opened
from schedtel.report import document_of, render, write_page


@click.command("report", short_help="Draw a recording as an HTML page.")
@click.argument("directory", metavar="DIR|URI")
@click.option("-o", "--output", required=True, metavar="FILE", help="The page to write, an .html file; - for stdout.")
@bound_options
@client_options
def command(directory: str, output: str, **options: Any) -> None:
    """Draw a recording as one HTML page: waits, turnaround, fairness, load, CPUs and groups over time.

    The page needs nothing else: no network, no other file. It opens in any browser, and what it shows can be zoomed.
    Only its owner can read it, since the names of commands are in it.

    The recording may also be what `schedtel serve` has at a URI: all it remembers, then what comes, until --duration,
    --count, or Ctrl-C.
    """
    (story,) = read_stories([directory], options)
    page = render(document_of([story]))
    if output == "-":
        with opened(output) as stream:
            stream.write(page.encode())
    else:
        write_page(page, output)
    timeline = story.timeline
    merged = f" (drawn as {len(timeline.bins)} bins)" if timeline.stride > 1 else ""
    where, megabytes = "stdout" if output == "-" else output, len(page.encode()) / 1e6
    click.echo(f"wrote {where}: {timeline.windows} windows{merged}, {megabytes:.2f} MB", err=True)
