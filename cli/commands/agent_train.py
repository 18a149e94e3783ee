"""``schedtel agent train``: directories of experiments in; a policy that has learned from them, and its card, out."""

import json
from pathlib import Path

import click

from schedtel.agent.policies.files import save_policy
from schedtel.cli import lines
from schedtel.cli.output import opened
from schedtel.cli.strict import StrictCommand
from schedtel.errors import UsageError
from schedtel.training.card import card_of
from schedtel.training.examples import Examples, read_examples
from schedtel.training.fitting import PORTABLE, TRAINABLE, fitted
from schedtel.training.held_out import judge, text_of
from schedtel.training.packed import pack, unpack


@click.command("train", cls=StrictCommand, short_help="Train a policy on experiments.")
@click.argument("runs", metavar="DIR|FILE...", nargs=-1, required=True)
@click.option("-o", "--output", required=True, metavar="FILE", help="The policy to write; its card is FILE.json.")
@click.option(
    "--policy", type=click.Choice(TRAINABLE), default="thompson", show_default=True, help="What kind of policy it is."
)
@click.option("--examples", metavar="FILE", help="Also write what was learned from, to train on it again as a FILE.")
def train(runs: tuple[str, ...], output: str, policy: str, examples: str | None) -> None:
    """Train a policy on the runs of experiments: directories DIR of `schedtel experiment run`, or a FILE of --examples.

    Each workload in turn is left out, and each kind of policy decides there: what that costs is printed beside what
    random choice and single arms cost. The policy that is written has learned from all workloads.
    """
    where = Path(output)
    if where.is_dir():
        raise UsageError(f"cannot write {output}: it is a directory (name a file)")
    found = [each for where_from in runs for each in _read(where_from)]
    tables = [each.table for each in found]
    held_out = judge(TRAINABLE, tables, PORTABLE)
    trained = fitted(policy, tables, PORTABLE)
    save_policy(trained, where)
    with opened(f"{output}.json") as stream:
        stream.write((json.dumps(card_of(trained, found, held_out), indent=1) + "\n").encode())
    if examples is not None:
        with opened(examples) as stream:
            stream.write(pack(found))
    for line in text_of(held_out, [policy]):
        lines.answer(line)


def _read(where: str) -> list[Examples]:
    """The examples of a directory of runs, or of a file."""
    return unpack(where) if Path(where).is_file() else [read_examples(where, PORTABLE)]
