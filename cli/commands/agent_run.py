"""``schedtel agent run``: arms in; the one that suits the load in effect, and a line for each decision, out."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from schedtel.agent.config import DWELL, KEYS, SETTLE, asked_of
from schedtel.agent.here import Place, here
from schedtel.agent.policies.protocol import USUAL
from schedtel.agent.policies.registry import POLICIES
from schedtel.agent.reward import OBJECTIVES
from schedtel.agent.run import prepared
from schedtel.agent.settings import PROBE_EVERY, SWAP_COST
from schedtel.agent.status import Status
from schedtel.agent.words import line_of
from schedtel.cli import lines
from schedtel.cli.display.agent_view import AgentView
from schedtel.cli.heap import give_back_what_is_freed
from schedtel.cli.options import Decorator, client_options, refuse_without_stream, together
from schedtel.cli.service import notify_systemd
from schedtel.cli.session import stop_on_signals
from schedtel.cli.sources import open_target
from schedtel.cli.strict import StrictCommand
from schedtel.cli.teller import Teller, show_line
from schedtel.target.machine import there

_WHAT = (
    click.option("--arms", metavar="ARM,ARM...", help="What it chooses among; eevdf is always one of them."),
    click.option(
        "--policy", metavar="NAME|FILE", help=f"A file of a policy, or one of {', '.join(POLICIES)}.  [thompson]"
    ),
    click.option("--objective", metavar="NAME", help=f"What is to become less: one of {', '.join(OBJECTIVES)}.  [L]"),
    click.option("--weights", metavar="NAME=W,...", help="Several objectives, each with its weight."),
    click.option("-w", "--window", metavar="DURATION", help="Length of a window.  [1s]"),
    click.option("--for", metavar="SELECTION", help="The threads that arms are for, and that are measured.  [all]"),
    click.option("--log", metavar="DIR", help="Log each decision there, and keep what is in quarantine."),
    click.option("--save", metavar="FILE", help="Save there what the policy has learned, for --policy."),
    click.option("-d", "--duration", metavar="DURATION", help="End after this time."),
    click.option("--slo", multiple=True, metavar="BOUND", help="Keep a bound, or go to eevdf: 'rt_p99_ns < 20ms'."),
    click.option("--default", metavar="ARM", help="The arm that runs until the policy is shown to be better.  [eevdf]"),
    click.option("--config", metavar="FILE", help="TOML with these options as keys; the command line goes first."),
    click.option("--target", metavar="URI", help="Be at work on another machine: see `schedtel target serve`."),
)
_HOW = (
    click.option("--dry-run", is_flag=True, help="Decide, and say so; never act, and log nothing."),
    click.option("--shadow", is_flag=True, help="Decide and log; never act."),
    click.option("--no-trial", is_flag=True, help="Let the policy decide before it was shown to be better."),
    click.option("--dwell", type=int, metavar="N", help=f"Least windows of an arm after a swap.  [{DWELL}]"),
    click.option("--settle", type=int, metavar="N", help=f"Windows after a swap that do not count.  [{SETTLE}]"),
    click.option("--swap-cost", type=float, metavar="X", help=f"Taken off a reward after a swap.  [{SWAP_COST}]"),
    click.option("--floor", type=float, metavar="X", help=f"Part of decisions drawn evenly.  [{USUAL.floor}]"),
    click.option(
        "--budget", type=float, metavar="X", help=f"Most of the time for arms believed worse.  [{USUAL.budget}]"
    ),
    click.option("--seed", type=int, metavar="N", help=f"Seed of the draws.  [{USUAL.seed}]"),
    click.option(
        "--probe-every", type=int, metavar="N", help=f"Measure EEVDF after so many decisions.  [{PROBE_EVERY}]"
    ),
)
_options: Decorator = together((*_WHAT, *_HOW, client_options))


@click.command("run", cls=StrictCommand, short_help="Switch between arms by what windows show.")
@_options
@click.option("--lines", "plain", is_flag=True, help="On a terminal too, a line for each decision, and no page.")
def run(config: str | None, plain: bool, **given: Any) -> None:
    """Watch the scheduler, choose an arm for the next windows, switch to it, and learn from what comes of it.

    Arms may name the classes short and hogs, which are told by the threads' bursts. A guard goes back to EEVDF within
    one window where a bound is broken or an arm fails, and everything is put back at the end, however that comes. A
    page on the terminal, or else a line for each decision, says what was seen, what is thought of each arm, what was
    done and why.
    """
    asked = asked_of({name: given[name.replace("-", "_")] for name in KEYS}, config)
    give_back_what_is_freed()
    with (
        _place(asked.target, given) as place,
        _on_lines() if plain or not sys.stdout.isatty() else _on_page() as (show, tell),
        prepared(asked, show, tell, place) as ready,
        stop_on_signals(ready.windows.stop),
    ):
        notify_systemd("READY=1")
        ready.run()
        notify_systemd("STOPPING=1")


@contextmanager
def _place(target: str | None, options: dict[str, Any]) -> Iterator[Place]:
    """Where the agent is at work: on this machine, or on a target."""
    if target is None:
        refuse_without_stream("an agent without --target")
        yield here
        return
    with open_target(target, options) as connection:
        yield there(connection)


_Shown = tuple[Callable[[Status], object], Callable[[str], object]]


@contextmanager
def _on_lines() -> Iterator[_Shown]:
    """Ways to show a decision, and to tell one line of something else."""
    with Teller(show_line) as teller:
        yield lambda status: teller.tell(line_of(status)), _tell


@contextmanager
def _on_page() -> Iterator[_Shown]:
    """The same on a page. It would hide lines, so these come when it has gone."""
    told: list[str] = []
    try:
        with AgentView() as view, Teller[Status](lambda status, _: view.update(status)) as teller:
            yield teller.tell, told.append
    finally:
        for text in told:
            _tell(text)


def _tell(text: str) -> None:
    lines.remark(f"schedtel: {lines.in_one_line(text)}")
