"""``schedtel agent replay``: windows of an experiment in; how policies learn in episodes of them out."""

import json
from pathlib import Path

import click

from schedtel.agent.replay import CostTable, Phases
from schedtel.cli import lines
from schedtel.cli.output import opened
from schedtel.cli.strict import StrictCommand
from schedtel.errors import UsageError
from schedtel.report import write_page
from schedtel.schedulers.names import parse_arm
from schedtel.training.episodes import Told, play, table_of
from schedtel.training.episodes_text import heading, render, text_of
from schedtel.training.examples import Examples, read_examples
from schedtel.training.fitting import PORTABLE
from schedtel.training.packed import unpack

_USUAL = Told()


@click.command("replay", cls=StrictCommand, short_help="Replay how policies would have learned.")
@click.argument("runs", metavar="DIR|FILE")
@click.option("--arm", "arms", multiple=True, metavar="ARM", help="An arm to choose among. May be repeated.  [all]")
@click.option("--windows", type=int, default=_USUAL.phases.windows, show_default=True, help="Windows of an episode.")
@click.option(
    "--phase", type=int, default=_USUAL.phases.phase, show_default=True, help="Windows until another workload."
)
@click.option(
    "--episodes", type=int, default=_USUAL.phases.episodes, show_default=True, help="Episodes for each repeat."
)
@click.option(
    "--swap-cost", type=float, default=_USUAL.swap_cost, show_default=True, help="Taken off a reward after a swap."
)
@click.option("--policy", metavar="FILE", help="A policy that has learned elsewhere, which plays as well.")
@click.option("--busy-arm", metavar="ARM", help="What scx_loader's rule takes with a busy CPU.  [default: last arm]")
@click.option(
    "--format", "kind", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Lines, or JSON."
)
@click.option("--page", metavar="FILE", help="Also draw it as one HTML page.")
def replay(
    runs: str,
    arms: tuple[str, ...],
    windows: int,
    phase: int,
    episodes: int,
    swap_cost: float,
    policy: str | None,
    busy_arm: str | None,
    kind: str,
    page: str | None,
) -> None:
    """Say how policies would have learned while workloads change, by the measured windows of an experiment.

    DIR is the directory of an experiment, FILE one of `schedtel agent train --examples`. A policy learns from the runs
    of all repeats but one, and is judged by that one. Nothing is switched.
    """
    title, table = _chosen(runs, [str(parse_arm(arm)) for arm in arms])
    told = Told(Phases(windows, phase, episodes), str(parse_arm(busy_arm)) if busy_arm else None, swap_cost, policy)
    found = play(table, told, lines.remark)
    if page is not None:
        write_page(render(found, f"{title}: {heading(found)}"), page)
    if kind == "json":
        with opened(None) as stream:
            stream.write((json.dumps(table_of(found), indent=1, allow_nan=False) + "\n").encode())
        return
    lines.document(text_of(found).rstrip("\n"))


def _chosen(runs: str, arms: list[str]) -> tuple[str, CostTable]:
    """The title and the table of the one experiment that has all the arms."""
    found = unpack(runs) if Path(runs).is_file() else [read_examples(runs, PORTABLE)]
    fit = [one for one in found if set(arms) <= set(one.table.arms)]
    if len(fit) != 1:
        raise UsageError(
            f"cannot replay {runs}: {len(fit) or 'none'} of its {len(found)} experiments have these arms, and one is "
            f"needed (it has {'; '.join(map(_arms, found))})"
        )
    return fit[0].title, fit[0].table.choosing(arms) if arms else fit[0].table


def _arms(one: Examples) -> str:
    return ", ".join(one.table.arms)
