"""``schedtel agent advise``: a recording in; the arm that a policy would try and why out. Nothing is switched."""

import json

import click

from schedtel.agent.advice import advise as advised
from schedtel.agent.advice import table_of, text_of
from schedtel.agent.cold_start import PRETRAINED, policy_for
from schedtel.agent.proposal import missing_here, proposals
from schedtel.cli import lines
from schedtel.cli.sources import complain_of_damage
from schedtel.cli.strict import StrictCommand
from schedtel.recordings.recording import read
from schedtel.schedulers.names import parse_arm


@click.command("advise", cls=StrictCommand, short_help="Say which arm would be tried for a recording, and why.")
@click.argument("directory", metavar="RECORDING")
@click.option(
    "--policy",
    default=PRETRAINED,
    show_default=True,
    metavar="NAME|FILE",
    help="A file of a policy, or the one that ships with schedtel.",
)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="ARM",
    help="An arm that may be chosen. May be repeated.  [default: those that the policy knows]",
)
@click.option(
    "--format", "kind", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Lines, or JSON."
)
def advise(directory: str, policy: str, arms: tuple[str, ...], kind: str) -> None:
    """Say which arm a policy would try in the windows of a RECORDING, what it thinks of each, and why.

    Before that comes the arm to run by itself: the one that was surest to cost less under every load of the experiments
    that the shipped policy has learned from. Arms that are not named must be on this machine, or the best that is here
    is told as well. Nothing is switched, on this machine or another, and the policy learns nothing.
    """
    named = list(dict.fromkeys(str(parse_arm(arm)) for arm in arms)) or None
    chosen, recording = policy_for(policy, named), read(directory)
    proposed = proposals(named) if named else proposals(chosen.arms, missing_here)
    advice = advised(recording, chosen, proposed)
    if kind == "json":
        lines.document(json.dumps(table_of(advice), indent=1, allow_nan=False))
    else:
        for line in text_of(advice):
            lines.answer(line)
    complain_of_damage(recording)
