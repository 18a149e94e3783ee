"""``schedtel scheduler``: the name of an arm in; a command, or what the kernel runs, scheduled that way, out."""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from signal import SIGTERM

import click

from schedtel.cli import lines
from schedtel.cli.arms import arm_options, class_of, complain, keep, refuse_what_does_nothing, took
from schedtel.cli.restoring import restore_all
from schedtel.cli.session import stop_on_signals
from schedtel.cli.strict import StrictGroup
from schedtel.cli.traced_command import TracedCommand
from schedtel.durations import NS_PER_S, parse_duration
from schedtel.errors import CollectorError, UsageError
from schedtel.latch import Latch
from schedtel.schedulers.choices import Choice
from schedtel.schedulers.names import EEVDF, Arm, Selector, parse_arm, parse_scope
from schedtel.schedulers.orphans import adopt_orphans, bury_orphans
from schedtel.schedulers.switching import Current, Schedulers
from schedtel.schedulers.watching import Seen, Watch

#: How often `watch` looks: three small files, 0.2 % of a CPU.
_LOOK_S = 0.02
#: The exit status where `restore` had to leave something.
_LEFT = 1
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
    """List the arms that this machine can switch to, say what is in effect, and bring one of them into effect.

    An ARM is eevdf, the kernel's own scheduler; policy:RULE, scheduling attributes of threads or cgroups; scx:NAME, a
    sched_ext scheduler; scx:NAME@CGROUP, one for a cgroup; or loader:NAME[:MODE], one that the service org.scx.Loader
    runs.
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
    found = Schedulers(parse_scope(scope) if scope else None).current()
    if kind == "ndjson":
        lines.answer(json.dumps(vars(found)))
        return
    for line in _described(found):
        lines.answer(line)


@command.command("run", short_help="Run a command under an arm.")
@click.argument("arm", metavar="ARM")
@arm_options(", instead of the command's")
@click.argument("arguments", nargs=-1, metavar="-- COMMAND...", type=click.UNPROCESSED)
def run(arm: str, scope: str | None, classes: tuple[str, ...], arguments: tuple[str, ...]) -> int:
    """Run a COMMAND, schedule it and its descendants as the ARM says, and put everything back when it has ended.

    With --for, the arm is for other threads, for as long as the command runs. Everything is put back however this
    program ends, SIGKILL included. The exit status is the command's.

    Examples of an ARM: policy:slice=0.1ms, policy:comm=make:batch, policy:hogs:idle+short:rr=10 with --class.
    """
    wanted, members, others = parse_arm(arm), dict(map(class_of, classes)), parse_scope(scope) if scope else None
    refuse_what_does_nothing(wanted, members)
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


def _run(traced: TracedCommand, schedulers: Schedulers, arm: Arm, *, own_session: bool) -> int:
    ended = Latch()

    def interrupt() -> None:
        if own_session:  # the terminal's Ctrl-C has not reached it
            traced.signal(SIGTERM)

    with stop_on_signals(interrupt, traced):
        switched = schedulers.switch(arm)
        if arm.family in ("scx", "loader"):
            complain(took(arm, switched))
        traced.start(ended.set)
        keep(schedulers, ended, lambda: bury_orphans({traced.pid, *schedulers.helpers}), complain)
        schedulers.restore()
    return traced.join()


@command.command("switch", short_help="Put an arm in effect, and hold it until stopped.")
@click.argument("arm", metavar="ARM")
@arm_options("")
def switch(arm: str, scope: str | None, classes: tuple[str, ...]) -> None:
    """Put an ARM in effect and hold it, until Ctrl-C, SIGTERM or `schedtel scheduler restore` ends this program.

    Everything is put back then, however it ends, SIGKILL included. If the kernel ejects the scheduler, or another takes
    its place, this program ends with the reason and status 2.
    """
    wanted, members = parse_arm(arm), dict(map(class_of, classes))
    if wanted == EEVDF:
        raise UsageError("cannot hold eevdf: it is what runs while nothing is held (use `schedtel scheduler restore`)")
    refuse_what_does_nothing(wanted, members)
    ended = Latch()
    with stop_on_signals(ended.set), Schedulers(parse_scope(scope) if scope else None, classes=members) as schedulers:
        lines.answer(took(wanted, schedulers.switch(wanted)))
        keep(schedulers, ended, lambda: None, _give_up(wanted))


@command.command("restore", short_help="Have everything put back that schedtel has changed.")
@_format_option
def restore(kind: str) -> int:
    """Ask the programs of this user that hold an arm to end, and put back what dead ones have left.

    Root asks those of all users. A program is asked by SIGTERM, as `kill` does. The exit status is 1 where something
    had to be left: a sched_ext scheduler of another program, or a program that does not end.
    """
    told = []
    for restored in restore_all():
        told.append(restored)
        if kind == "ndjson":
            lines.answer(json.dumps(asdict(restored)))
        elif restored.is_complete:
            lines.answer(restored.text)
        else:
            complain(restored.text)
    if not told and kind == "text":
        lines.answer("nothing is held, and nothing was left")
    return 0 if all(restored.is_complete for restored in told) else _LEFT


@command.command("watch", short_help="Show each change of what the kernel runs.")
@click.option("-d", "--duration", metavar="DURATION", help="End after this time.")
@_format_option
def watch(duration: str | None, kind: str) -> None:
    """Write a line for what the kernel runs now, and one for each change of it, until Ctrl-C.

    A line has the time, the scheduler, the state of sched_ext and its count of attaches, how long no scheduler of
    sched_ext ran before, and the kernel's reason where it has disabled one.
    """
    end = time.monotonic() + parse_duration(duration) / NS_PER_S if duration else math.inf
    ended = Latch()
    with stop_on_signals(ended.set), Watch() as seen:
        while True:
            for change in seen.look():
                lines.answer(json.dumps(asdict(change)) if kind == "ndjson" else _seen(change))
            if ended.wait(_LOOK_S) or time.monotonic() >= end:
                break


def _give_up(arm: Arm) -> Callable[[str], object]:
    def raise_it(problem: str) -> None:
        raise CollectorError(f"cannot hold {arm}: {problem}: all is put back (see `schedtel scheduler current`)")

    return raise_it


@contextmanager
def _adopting() -> Iterator[None]:
    adopt_orphans()
    try:
        yield
    finally:
        adopt_orphans(adopt=False)


def _tree(traced: TracedCommand) -> Selector:
    return Selector("pid", str(traced.pid))


def _line(choice: Choice) -> str:
    mark = {True: "yes", False: "no ", None: "?  "}[choice.usable]
    return f"{mark}  {choice.arm}{': ' if choice.why else ''}{lines.in_one_line(choice.why)}"


def _described(found: Current) -> Iterator[str]:
    state = "not built in" if found.state is None else found.state
    yield f"{found.scheduler} (sched_ext: {state})"
    for path, name in sorted(found.cgroups.items()):
        yield f"{name}: for the cgroup {path}"
    for attributes, count in sorted(found.threads.items(), key=lambda item: -item[1]):
        yield f"{count} {'thread' if count == 1 else 'threads'}: {attributes}"


def _seen(change: Seen) -> str:
    wall = datetime.fromtimestamp(change.time_ns / NS_PER_S, UTC).isoformat(timespec="milliseconds")
    parts = [f"{change.scheduler or '?'} (sched_ext: {change.state}, {change.enable_seq} attached since boot)"]
    parts += [f"{name} for the cgroup {path}" for path, name in sorted(change.cgroups.items())]
    parts += [f"after {change.eevdf_ns / 1e6:.0f} ms of eevdf"] if change.eevdf_ns is not None else []
    parts += [f"{change.unseen} more came and went"] if change.unseen else []
    parts += [change.reason] if change.reason else []
    return f"{wall} {change.monotonic_ns / NS_PER_S:.3f}  {'; '.join(parts)}"
