"""``schedtel agent init``: a machine in; what an agent can do there, and a configuration to begin with, out."""

import os
from pathlib import Path
from typing import Any

import click

from schedtel.access.files import write_whole
from schedtel.agent.survey import Survey, configuration, survey
from schedtel.cli import lines
from schedtel.cli.options import client_options, refuse_without_stream
from schedtel.cli.sources import open_target
from schedtel.cli.strict import StrictCommand
from schedtel.errors import UsageError
from schedtel.target.machine import survey_of


@click.command("init", cls=StrictCommand, short_help="Look at this machine, and write a configuration.")
@click.option(
    "-o", "--output", default="agent.toml", show_default=True, metavar="FILE", help="The configuration to write."
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--target", metavar="URI", help="Look at another machine: see `schedtel target serve`.")
@client_options
def init(output: str, force: bool, target: str | None, **options: Any) -> None:
    """Say what an agent can switch between on this machine, and write a configuration of `schedtel agent run`.

    Nothing is switched: what this user may set is tried on a thread of this program, or of the target's.
    """
    path = Path(output)
    if path.is_dir():
        raise UsageError(f"cannot write {output}: it is a directory (name a file)")
    if not force and os.path.lexists(path):
        raise _exists(output)
    found = _survey(target, options)
    _write(path, configuration(found, target), force=force)
    for line in _told(found):
        lines.answer(line)
    lines.remark(f"wrote {output}: {len(found.arms)} arms")


def _survey(target: str | None, options: dict[str, Any]) -> Survey:
    if target is None:
        refuse_without_stream("a survey without --target")
        return survey()
    with open_target(target, options) as connection:
        return survey_of(connection)


def _told(found: Survey) -> list[str]:
    width = max(map(len, found.facts))
    told = [f"{name:{width}}  {text}" for name, text in found.facts.items()]
    told += ["", "arms to choose from:", *(f"  {arm}" for arm in found.arms)]
    if found.scoped:
        told += ["", "arms for chosen threads, by --for:", *(f"  {arm}" for arm in found.scoped)]
    if found.refused:
        told += ["", "arms that the shipped policy knows, and an agent cannot have:"]
        told += [f"  {arm}: {' '.join(why.split())}" for arm, why in found.refused.items()]
    return told


def _write(path: Path, text: str, *, force: bool) -> None:
    """Write a file that only its owner reads, whole; in place of another only with ``force``."""
    try:
        write_whole(path, text.encode(), replaces=force)
    except FileExistsError as error:
        raise _exists(str(path)) from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror} (choose another file)") from error


def _exists(path: str) -> UsageError:
    return UsageError(f"cannot write {path}: it is there already (choose another file, or add --force)")
