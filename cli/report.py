"""``schedtel report``: a recording as a page to look at."""

import os

import click

from schedtel.recording import read
from schedtel.report import document_of, render, tell, write_page


@click.command("report", short_help="Draw a recording as an HTML page.")
@click.argument("directory")
@click.option("-o", "--output", required=True, metavar="FILE", help="The page to write, an .html file.")
def command(directory: str, output: str) -> None:
    """Draw a recording as one HTML page: waits, turnaround, fairness, load, CPUs and groups over time.

    The page needs nothing else: no network, no other file. It opens in any browser, and what it shows can be zoomed.
    Only its owner can read it, since the names of commands are in it.
    """
    recording = read(directory)
    story = tell(recording, name_of(directory), recording.metadata)
    write_page(render(document_of([story])), output)
    timeline = story.timeline
    merged = f" (drawn as {len(timeline.bins)} bins)" if timeline.stride > 1 else ""
    click.echo(f"wrote {output}: {timeline.windows} windows{merged}, {os.path.getsize(output) / 1e6:.2f} MB", err=True)


def name_of(directory: str) -> str:
    """What a recording is called on a page: its directory, without the way there, which is nobody's business."""
    return os.path.basename(os.path.abspath(directory)) or directory
