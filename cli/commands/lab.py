"""``schedtel lab``: a command in; what it does in a guest whose time follows its instructions, out."""

import sys
from pathlib import Path

import click

from schedtel.cli import lines
from schedtel.cli.session import stop_on_signals
from schedtel.cli.strict import StrictGroup
from schedtel.lab import jobs, packages
from schedtel.lab.doctor import survey
from schedtel.lab.frames import STDOUT
from schedtel.lab.machine import Boot
from schedtel.lab.schedulers import guest_files
from schedtel.lab.snapshot import snapshot
from schedtel.latch import Latch

_FAILED = 1
_STOPPED = 130


@click.group("lab", cls=StrictGroup, short_help="Run commands and experiments in virtual time.")
def command() -> None:
    """Run commands in a guest of qemu in which time follows the instructions that were executed.

    What else this machine does changes how long a run takes, and nothing of what the guest measures.
    """


@command.command("doctor", short_help="Say what the lab has and lacks here.")
@click.option("--fetch", "fetching", is_flag=True, help="First fetch what is missing, for use without a network.")
def doctor(fetching: bool) -> int:
    """Say what is there, what would be fetched, and what to do about each "NO". Exit status 1 after a NO."""
    failed = False
    for item in packages.items() if fetching else ():
        packages.fetched(item, lines.remark)
    for answer in survey():
        failed = failed or (answer.needed and not answer.yes)
        mark = "yes" if answer.yes else "NO " if answer.needed else "no "
        lines.answer(f"{mark}  {answer.question}: {lines.in_one_line(answer.found)}")
    lines.answer("not ready: see the lines that begin with NO" if failed else "ready")
    return _FAILED if failed else 0


@command.command("run", short_help="Run a command in a guest.")
@click.option("--kernel", default=packages.DEFAULT_KERNEL, metavar="VERSION", show_default=True, help="6.18 or 7.2.")
@click.option("--cpus", type=int, default=1, show_default=True, help="CPUs of the guest: 1 or 2.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.IntRange(min=1),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="End the guest after this time on this machine's clock.",
)
@click.option(
    "--scx",
    "schedulers",
    multiple=True,
    metavar="NAME|PATH",
    help="Give it scx_NAME, a sched_ext scheduler: fifo, vtime, interactive or a program's path. May be repeated.",
)
@click.argument("arguments", nargs=-1, metavar="-- COMMAND...", type=click.UNPROCESSED)
def run(kernel: str, cpus: int, timeout_s: int, schedulers: tuple[str, ...], arguments: tuple[str, ...]) -> int:
    """Run a COMMAND as root of a guest, and print what it says. The exit status is the command's.

    The guest has schedtel, python3 and busybox's programs, and nothing else of this machine.
    """
    jobs.job_file(arguments)
    guest = jobs.machine(kernel, cpus, lines.remark)
    names, paths = [name for name in schedulers if "/" not in name], [Path(path) for path in schedulers if "/" in path]
    files = guest_files(names, paths, lines.remark)
    stopped = Latch()
    with packages.scratch() as directory, stop_on_signals(stopped.set):
        start = snapshot(guest, files, lines.remark, stopped.is_set)
        job = jobs.job_file(arguments)
        answer = Boot(start, directory, stopped).run(job, _pass_on, timeout_s) if start else None
    return _STOPPED if answer is None else answer.status


def _pass_on(kind: bytes, content: bytes) -> None:
    """The command's own bytes, as they are."""
    stream = sys.stdout.buffer if kind == STDOUT else sys.stderr.buffer
    stream.write(content)
    stream.flush()
