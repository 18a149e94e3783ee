"""``schedtel report``: a recording in; an HTML page out."""

from typing import Any

import click

from schedtel.cli import lines
from schedtel.cli.inputs import read_summaries
from schedtel.cli.options import bound_options, client_options
from schedtel.cli.output import opened
from schedtel.cli.strict import StrictCommand
from schedtel.report import document_of, render, write_page


@click.command("report", cls=StrictCommand, short_help="Draw a recording as an HTML page.")
@click.argument("directory", metavar="DIR|URI")
@click.option("-o", "--output", required=True, metavar="FILE", help="The page to write, an .html file; - for stdout.")
@bound_options
@client_options
def command(directory: str, output: str, **options: Any) -> None:
    """Draw a recording as one HTML page: waits, turnaround, fairness, load, CPUs and groups over time.

    The page needs no network and no other file. It opens in any browser, and its charts can be zoomed. Only its owner
    can read it, since it contains the names of commands.

    The recording may also be what `schedtel serve` has at a URI: first the windows that the server
    keeps, then new ones, until --duration, --count, or Ctrl-C.
    """
    (summary,) = read_summaries([directory], options)
    page = render(document_of([summary]))
    if output == "-":
        with opened(output) as stream:
            stream.write(page.encode())
    else:
        write_page(page, output)
    timeline = summary.timeline
    merged = f" (drawn as {len(timeline.bins)} bins)" if timeline.stride > 1 else ""
    where, megabytes = "stdout" if output == "-" else output, len(page.encode()) / 1e6
    lines.remark(f"wrote {where}: {timeline.windows} windows{merged}, {megabytes:.2f} MB")
