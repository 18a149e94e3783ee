"""``schedtel agent report``: a log of decisions in; one HTML page out."""

import os

import click

from schedtel.agent.log import read_log
from schedtel.agent.page import render
from schedtel.cli import lines
from schedtel.cli.output import opened
from schedtel.cli.strict import StrictCommand
from schedtel.report import write_page


@click.command("report", cls=StrictCommand, short_help="Draw a log of decisions as one HTML page.")
@click.argument("log", metavar="LOG")
@click.option("-o", "--output", required=True, metavar="FILE", help="The page to write, an .html file; - for stdout.")
def report(log: str, output: str) -> None:
    """Draw the decisions of LOG as one HTML page: arms and chances over time, rewards, regret, and what a guard did.

    The page needs no network and no other file. Only its owner can read it, since arms may name commands.
    """
    entries = read_log(log)
    page = render(entries, os.path.basename(os.path.abspath(log)) or log)
    if output == "-":
        with opened(output) as stream:
            stream.write(page.encode())
    else:
        write_page(page, output)
    where = "stdout" if output == "-" else output
    lines.remark(f"wrote {where}: {len(entries)} decisions, {len(page.encode()) / 1e6:.2f} MB")
