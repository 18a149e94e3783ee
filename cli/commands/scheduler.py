"""``schedtel scheduler``: the name of an arm and a command in; the command, scheduled that way while it runs, out."""

import json
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from signal import SIGTERM

import click

from schedtel.cli import lines
from schedtel.cli.options import refuse
from schedtel.cli.session import stop_on_signals
from schedtel.cli.strict import StrictGroup
from schedtel.cli.traced_command import TracedCommand
from schedtel.errors import SchedtelError, UsageError
from schedtel.latch import Latch
from schedtel.schedulers.names import Arm, Selector, parse_arm, parse_selector
from schedtel.schedulers.orphans import adopt_orphans, bury_orphans
from schedtel.schedulers.switching import Choice, Current, Schedulers, pause_after

#: How often threads that were born since are looked for, where that takes little time.
_RESCAN_S = 0.2
_FORMATS = ("text", "ndjson")
_format_option = click.option(
    "--format",
    "kind",
    type=click.Choice(_FORMATS),
    default="text",
    show_default=True,
    help="Lines for a person, or a JSON object a line.",
)


@click.group("scheduler", cls=StrictGroup, short_help="Run a command under another scheduler or policy.")
def command() -> None:
    """List the arms that this machine can switch to, say what is in effect, and run a command under one of them.

    An ARM is eevdf, the kernel's own scheduler; policy:RULE, scheduling attributes of threads or cgroups; or scx:NAME,
    a sched_ext scheduler.
    """


@command.command("list", short_help="List the arms that can be switched to here.")
@_format_option
def list_arms(kind: str) -> None:
    """List the arms, whether this kernel and this user can use them, and what they lack."""
    for choice in Schedulers().arms():
        lines.answer(json.dumps(vars(choice)) if kind == "ndjson" else _line(choice))


@command.command("current", short_help="Say which scheduler is in effect.")
@click.option("--for", "scope", metavar="SELECTION", help="Also say how these threads are scheduled.")
@_format_option
def current(scope: str | None, kind: str) -> None:
    """Say which scheduler the kernel runs, and with --for, how threads are scheduled.

    A SELECTION is pid=N with all descendants, comm=NAME, cgroup=PATH or unit=NAME.
    """
    found = Schedulers(_scope(scope) if scope else None).current()
    if kind == "ndjson":
        lines.answer(json.dumps(vars(found)))
        return
    for line in _described(found):
        lines.answer(line)


@command.command("run", short_help="Run a command under an arm.")
@click.argument("arm", metavar="ARM")
@click.option("--for", "scope", metavar="SELECTION", help="Threads that the arm is for, instead of the command's.")
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="NAME=SELECTION",
    help="A class that the arm's rules name. May be repeated.",
)
@click.argument("arguments", nargs=-1, metavar="-- COMMAND...", type=click.UNPROCESSED)
def run(arm: str, scope: str | None, classes: tuple[str, ...], arguments: tuple[str, ...]) -> int:
    """Run a COMMAND, schedule it and its descendants as the ARM says, and put everything back when it has ended.

    With --for, the arm is for other threads, for as long as the command runs. Everything is put back however this
    program ends, SIGKILL included. The exit status is the command's.

    Examples of an ARM: policy:slice=0.1ms, policy:comm=make:batch, policy:hogs:idle+short:rr=10 with --class.
    """
    wanted, members, others = parse_arm(arm), dict(map(_class, classes)), _scope(scope) if scope else None
    _refuse_what_does_nothing(wanted, members)
    if others:
        Schedulers(others, classes=members).check(wanted)
    if not arguments:
        raise UsageError("cannot run nothing: a COMMAND is missing (write it behind --)")
    own_session = any(rule.setting.kind == "autogroup" for rule in wanted.rules)
    traced = TracedCommand(arguments, own_session=own_session)
    try:
        with _adopting(), Schedulers(others or _tree(traced), classes=members, adopts=not others) as schedulers:
            return _run(traced, schedulers, wanted, own_session=own_session)
    finally:
        traced.close()


def _refuse_what_does_nothing(arm: Arm, classes: Collection[str]) -> None:
    if arm.family != "policy":
        refuse(("scope", "classes"), str(arm), "it is for arms of the kind policy:")
    named = {rule.selector.name for rule in arm.rules if rule.selector and rule.selector.kind == "class"}
    for name in classes:
        if name not in named:
            raise UsageError(f"cannot use --class {name}: no rule of {arm} names it (drop it)")


def _run(traced: TracedCommand, schedulers: Schedulers, arm: Arm, *, own_session: bool) -> int:
    ended = Latch()

    def interrupt() -> None:
        if own_session:  # the terminal's Ctrl-C has not reached it
            traced.signal(SIGTERM)

    with stop_on_signals(interrupt, traced):
        schedulers.switch(arm)
        traced.start(ended.set)
        _keep(schedulers, traced, ended)
        schedulers.restore()
    return traced.join()


def _keep(schedulers: Schedulers, traced: TracedCommand, ended: Latch) -> None:
    """Bring the arm into effect for what is born, until the command has ended. Says once what is wrong with it."""
    pause_s, told = _RESCAN_S, False
    while not ended.wait(pause_s):
        began = time.monotonic()
        problem = _rescan(schedulers)
        if problem and not told:
            lines.remark(f"schedtel: {lines.in_one_line(problem)}")
        told = told or bool(problem)
        bury_orphans({traced.pid, *schedulers.helpers})
        pause_s = pause_after(time.monotonic() - began, _RESCAN_S)


def _rescan(schedulers: Schedulers) -> str | None:
    """Returns why the arm is no longer in effect, if it is not. The command goes on without it."""
    try:
        schedulers.rescan()
    except SchedtelError as error:
        return str(error)
    return schedulers.problem()


@contextmanager
def _adopting() -> Iterator[None]:
    adopt_orphans()
    try:
        yield
    finally:
        adopt_orphans(adopt=False)


def _tree(traced: TracedCommand) -> Selector:
    return Selector("pid", str(traced.pid))


def _scope(text: str) -> Selector:
    selector = parse_selector(text)
    if selector.kind == "class":
        raise UsageError(
            f"cannot use --for {text!r}: a class chooses from a selection (write pid=, comm=, cgroup=, unit=)"
        )
    return selector


def _class(text: str) -> tuple[str, str]:
    name, equals, selection = text.partition("=")
    if not equals or parse_selector(name).kind != "class":
        raise UsageError(f"cannot use --class {text!r}: it is a name and a selection (write hogs=comm=stress)")
    return name, str(_scope(selection))


def _line(choice: Choice) -> str:
    mark = {True: "yes", False: "no ", None: "?  "}[choice.usable]
    return f"{mark}  {choice.arm}{': ' if choice.why else ''}{lines.in_one_line(choice.why)}"


def _described(found: Current) -> Iterator[str]:
    state = "not built in" if found.state is None else found.state
    yield f"{found.scheduler} (sched_ext: {state})"
    for attributes, count in sorted(found.threads.items(), key=lambda item: -item[1]):
        yield f"{count} {'thread' if count == 1 else 'threads'}: {attributes}"
