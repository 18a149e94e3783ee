"""``schedtel agent explain``: a log and the number of a decision in; which features moved it out."""

import json

import click

from schedtel.agent.decisions import LAST, decided, number_of, table_of, text_of
from schedtel.agent.log import read_log
from schedtel.cli import lines
from schedtel.cli.strict import StrictCommand


@click.command("explain", cls=StrictCommand, short_help="Say which features moved a decision.")
@click.argument("log", metavar="LOG")
@click.option(
    "--decision", default=LAST, show_default=True, metavar="N|last", help="Number of the decision in the log, from 1."
)
@click.option(
    "--policy",
    metavar="NAME|FILE",
    help="What the policy was before the first decision: pretrained, a name, or a file.  [default: found by trying]",
)
@click.option(
    "--format", "kind", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Lines, or JSON."
)
def explain(log: str, decision: str, policy: str | None, kind: str) -> None:
    """Say why an agent chose an arm in a decision of LOG, and how far each feature spoke for it.

    The policy learns the rewards of all decisions before that one again. The chance that it then gives the arm, beside
    the logged one, tells whether it is the policy that decided.
    """
    entries = read_log(log)
    found = decided(entries, number_of(decision, len(entries)), policy)
    if kind == "json":
        lines.document(json.dumps(table_of(found), indent=1, allow_nan=False))
        return
    for line in text_of(found):
        lines.answer(line)
