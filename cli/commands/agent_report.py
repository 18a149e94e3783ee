"""``schedtel agent report``: a log of decisions in; one HTML page out."""

import os

import click

from schedtel.agent.log import read_log
from schedtel.agent.page import render
from schedtel.cli.pages import deliver
from schedtel.cli.strict import StrictCommand


@click.command("report", cls=StrictCommand, short_help="Draw a log of decisions as one HTML page.")
@click.argument("log", metavar="LOG")
@click.option("-o", "--output", required=True, metavar="FILE", help="The page to write, an .html file; - for stdout.")
def report(log: str, output: str) -> None:
    """Draw the decisions of LOG as one HTML page: arms and chances over time, rewards, regret, and what a guard did.

    The page needs no network and no other file. Only its owner can read it, since arms may name commands.
    """
    entries = read_log(log)
    page = render(entries, os.path.basename(os.path.abspath(log)) or log)
    deliver(page, output, f"{len(entries)} decisions")
