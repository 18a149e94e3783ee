"""``schedtel oracle``: its commands."""

import click

from schedtel.cli.commands.oracle_pick import pick
from schedtel.cli.strict import StrictGroup


@click.group("oracle", cls=StrictGroup, short_help="Say what the scheduler does next, and how often that is so.")
def command() -> None:
    """Which thread runs next on a CPU, by models that are judged by what came."""


command.add_command(pick)
