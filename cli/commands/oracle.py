"""``schedtel oracle``: events in; who is next on a CPU, and how well that can be known, out."""

import click

from schedtel.cli.commands.oracle_dataset import dataset
from schedtel.cli.commands.oracle_evaluate import evaluate
from schedtel.cli.commands.oracle_pick import pick
from schedtel.cli.commands.oracle_report import report
from schedtel.cli.commands.oracle_train import train
from schedtel.cli.strict import StrictGroup


@click.group("oracle", cls=StrictGroup, short_help="Ask who is next on a CPU, and how well that can be known.")
def command() -> None:
    """Right after a switch: who comes next on this CPU? And at a switch: whom does the scheduler pick?"""


command.add_command(dataset)
command.add_command(train)
command.add_command(evaluate)
command.add_command(report)
command.add_command(pick)
