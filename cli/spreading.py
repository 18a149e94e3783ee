"""Options of `train` for several processes; what was said of them in, how a run is spread out."""

from collections.abc import Mapping
from typing import Any

import click

from schedtel.cli.options import Decorator, together
from schedtel.errors import UsageError
from schedtel.training.learner.spread import GRADIENT_AGE, MOST_LEARNERS, MOST_SERVERS, MOST_WORKERS, REPLAYS, Spread

#: Parameter → its option.
_NAMES = {
    "address": "--ray-address",
    "waits": "--synchronous",
    "most_age": "--stale",
    "backup": "--backup",
    "learners": "--learners",
    "most_gradient_age": "--stale-gradient",
    "servers": "--servers",
    "replay": "--replay",
    "in_turn": "--in-turn",
}
_KINDS = "; ".join(f"{word}: {meaning}" for word, meaning in REPLAYS.items())


def _number(option: str, most: int, what: str) -> Decorator:
    """An option that says how many processes of a kind there are: 1 to ``most``."""
    return click.option(option, type=click.IntRange(1, most), default=1, help=f"With --workers: {what}.  [default: 1]")


spread_options = together(
    (
        click.option(
            "--workers",
            type=click.IntRange(1, MOST_WORKERS),
            help="Processes that act, beside a replay and a learner, by Ray. Without it, all is in one process.",
        ),
        click.option(
            "--ray-address", "address", metavar="ADDRESS", help="With --workers: on a Ray cluster, HOST:6379 or auto."
        ),
        click.option(
            "--in-turn",
            is_flag=True,
            help="With --workers: all in this process, one after another: without Ray, and the same each time.",
        ),
        click.option(
            "--synchronous",
            "waits",
            is_flag=True,
            help="With --workers: they wait for what is learned from all of them, and learners for each other.",
        ),
        click.option(
            "--backup",
            type=click.IntRange(0),
            default=0,
            help="With --synchronous: so many of the workers, the slowest each time, are not waited for.  [default: 0]",
        ),
        click.option(
            "--stale",
            "most_age",
            type=click.IntRange(0),
            help="With --workers: updates after which what the network before did is discarded.  "
            "[default: 32 a worker]",
        ),
        _number("--learners", MOST_LEARNERS, "processes that work out gradients"),
        click.option(
            "--stale-gradient",
            "most_gradient_age",
            type=click.IntRange(0),
            default=GRADIENT_AGE,
            help="With --workers: updates after which a gradient is discarded, and its batch learned from anew.  "
            f"[default: {GRADIENT_AGE}]",
        ),
        _number("--servers", MOST_SERVERS, "parts, each a process, of the server that has the weights"),
        click.option(
            "--replay",
            type=click.Choice(list(REPLAYS)),
            default="central",
            help=f"With --workers, where transitions are kept: {_KINDS}.  [default: central]",
        ),
    )
)


def spread_in(chosen: dict[str, Any]) -> Spread | None:
    """What was chosen of these options, taken out of all that was chosen. None: one process.

    Raises :class:`UsageError` for what needs workers, and as :class:`Spread`.
    """
    workers, said = chosen.pop("workers"), {name: chosen.pop(name) for name in _NAMES}
    if workers is None:
        _refuse_given(said)
        return None
    return Spread(workers, **said)


def _refuse_given(said: Mapping[str, Any]) -> None:
    usual = vars(Spread(1))
    for name, option in _NAMES.items():
        if said[name] != usual[name]:
            raise UsageError(f"cannot use {option} in one process (add --workers)")
