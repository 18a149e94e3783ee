"""Words of the command line that name threads in; a scope and classes, and an arm held for them, out."""

import time
from collections.abc import Callable, Collection

import click

from schedtel.cli import lines
from schedtel.cli.options import Decorator, refuse, together
from schedtel.errors import SchedtelError, UsageError
from schedtel.latch import Latch
from schedtel.schedulers.names import Arm, parse_scope, parse_selector
from schedtel.schedulers.switching import Schedulers, Switched, pause_after

#: How often threads that were born since are looked for, where that takes little time.
_RESCAN_S = 0.2


def arm_options(purpose: str) -> Decorator:
    """Which threads an arm is for. ``purpose`` ends the help of ``--for``."""
    return together(
        (
            click.option("--for", "scope", metavar="SELECTION", help=f"Threads that the arm is for{purpose}."),
            click.option(
                "--class",
                "classes",
                multiple=True,
                metavar="NAME=SELECTION",
                help="A class that the arm's rules name. May be repeated.",
            ),
        )
    )


def class_of(text: str) -> tuple[str, str]:
    """The name and the selection of a class. Raises :class:`UsageError` for a text that is no such pair."""
    name, equals, selection = text.partition("=")
    if not equals or parse_selector(name).kind != "class":
        raise UsageError(f"cannot use --class {text!r}: it is a name and a selection (write hogs=comm=stress)")
    return name, str(parse_scope(selection))


def refuse_what_does_nothing(arm: Arm, classes: Collection[str]) -> None:
    """Refuse ``--for`` and ``--class`` for an arm that is for no threads, and a class that no rule names."""
    if arm.family != "policy":
        refuse(("scope", "classes"), str(arm), "it is for arms of the kind policy:")
    for name in classes:
        if name not in arm.classes:
            raise UsageError(f"cannot use --class {name}: no rule of {arm} names it (drop it)")


def keep(
    schedulers: Schedulers, ended: Latch, each_time: Callable[[], object], on_problem: Callable[[str], object]
) -> None:
    """Keep an arm in effect for what is born, until the latch is open.

    :param each_time: called after each look for threads.
    :param on_problem: called once, with why the arm is no longer in effect.
    """
    pause_s, told = _RESCAN_S, False
    while not ended.wait(pause_s):
        began = time.monotonic()
        problem = _rescan(schedulers)
        if problem and not told:
            on_problem(problem)
        told = told or bool(problem)
        each_time()
        pause_s = pause_after(time.monotonic() - began, _RESCAN_S)


def _rescan(schedulers: Schedulers) -> str | None:
    """Returns why the arm is no longer in effect, if it is not."""
    try:
        schedulers.rescan()
    except SchedtelError as error:
        return str(error)
    return schedulers.problem()


def took(arm: Arm, switched: Switched) -> str:
    """What a switch changed and how long it took, for a person."""
    if arm.family == "policy":
        return f"{arm}: {switched} {'change' if switched == 1 else 'changes'} in {switched.gap_ns / 1e6:.1f} ms"
    parts = f"detach {switched.detach_ns / 1e6:.1f} ms, attach {switched.attach_ns / 1e6:.1f} ms"
    return f"{arm}: in effect after {switched.gap_ns / 1e6:.1f} ms ({parts})"


def complain(problem: str) -> None:
    """Tell what is wrong with an arm, while what it is for goes on."""
    lines.remark(f"schedtel: {lines.in_one_line(problem)}")
