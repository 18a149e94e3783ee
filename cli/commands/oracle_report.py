"""``schedtel oracle report``: an evaluation in; one HTML page out."""

import os

import click

from schedtel.cli.pages import deliver
from schedtel.cli.strict import StrictCommand


@click.command("report", cls=StrictCommand, short_help="Draw an evaluation as one HTML page.")
@click.argument("file", metavar="FILE")
@click.option("-o", "--output", required=True, metavar="FILE", help="The page to write, an .html file; - for stdout.")
def report(file: str, output: str) -> None:
    """Draw the evaluation FILE, which `schedtel oracle evaluate -o` wrote, as one HTML page."""
    from schedtel.oracle.page import read_evaluation, render  # noqa: PLC0415  (numpy, which other commands do without)

    page = render(read_evaluation(file), os.path.basename(file))
    deliver(page, output)
