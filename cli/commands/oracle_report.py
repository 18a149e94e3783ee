"""``schedtel oracle report``: an evaluation in; one HTML page out."""

import os

import click

from schedtel.cli import lines
from schedtel.cli.output import opened
from schedtel.cli.strict import StrictCommand
from schedtel.report import write_page


@click.command("report", cls=StrictCommand, short_help="Draw an evaluation as one HTML page.")
@click.argument("file", metavar="FILE")
@click.option("-o", "--output", required=True, metavar="FILE", help="The page to write, an .html file; - for stdout.")
def report(file: str, output: str) -> None:
    """Draw the evaluation FILE, which `schedtel oracle evaluate -o` wrote, as one HTML page."""
    from schedtel.oracle.page import read_evaluation, render  # noqa: PLC0415  (numpy, which other commands do without)

    page = render(read_evaluation(file), os.path.basename(file))
    if output == "-":
        with opened(output) as stream:
            stream.write(page.encode())
    else:
        write_page(page, output)
    lines.remark(f"wrote {'stdout' if output == '-' else output}: {len(page.encode()) / 1e6:.2f} MB")
