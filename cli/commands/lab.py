"""``schedtel lab``: commands and experiments in; what they do in a guest whose time follows its instructions, out."""

import sys
from pathlib import Path
from typing import Any

import click

from schedtel.cli import lines
from schedtel.cli.options import together
from schedtel.cli.progress import tell_run
from schedtel.cli.session import stop_on_signals
from schedtel.cli.strict import StrictGroup
from schedtel.errors import UsageError
from schedtel.experiments.running import Experiment
from schedtel.experiments.spec import ExperimentSpec, read_spec
from schedtel.host.preemption import MODELS
from schedtel.lab import jobs, packages
from schedtel.lab.doctor import survey
from schedtel.lab.experiment import LabExperiment, in_local_guests
from schedtel.lab.frames import STDOUT
from schedtel.lab.machine import Boot, Machine
from schedtel.lab.schedulers import guest_files
from schedtel.lab.shell import Shell, refuse_without_terminal
from schedtel.lab.snapshot import beginning
from schedtel.lab.validity import GRID, LAB, LIVE, cpus_like_here, kernel_like_this_one, validity_of
from schedtel.lab.validity_report import json_of, text_of
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


_preempt = click.option(
    "--preempt",
    type=click.Choice(MODELS),
    help="Its kernel's model of preemption.  [default: the one it was built with]",
)
#: The options that choose a guest.
_guest_options = together(
    (
        click.option(
            "--kernel", default=packages.DEFAULT_KERNEL, metavar="VERSION", show_default=True, help="6.18 or 7.2."
        ),
        click.option("--cpus", type=int, default=1, show_default=True, help="CPUs of the guest: 1 or 2."),
        _preempt,
        click.option("--kvm", is_flag=True, help="Real time instead of virtual time, on a machine with KVM."),
        click.option(
            "--scx",
            "schedulers",
            multiple=True,
            metavar="NAME|PATH",
            help="Give it scx_NAME, a sched_ext scheduler: fifo, vtime, interactive or a program's path; NAME@CGROUP "
            "for one of a cgroup (7.2). "
            "May be repeated.",
        ),
    )
)


@command.command("run", short_help="Run a command in a guest.")
@_guest_options
@click.option(
    "--timeout",
    "timeout_s",
    type=click.IntRange(min=1),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="End the guest after this time on this machine's clock.",
)
@click.argument("arguments", nargs=-1, metavar="-- COMMAND...", type=click.UNPROCESSED)
def run(timeout_s: int, arguments: tuple[str, ...], **options: Any) -> int:
    """Run a COMMAND as root of a guest, and print what it says. The exit status is the command's.

    The guest has schedtel, python3 and busybox's programs, and nothing else of this machine.
    """
    jobs.job_file(arguments)
    guest, files = _guest(**options)
    stopped = Latch()
    with packages.scratch() as directory, stop_on_signals(stopped.set):
        start = beginning(guest, files, lines.remark, stopped.is_set)
        job = jobs.job_file(arguments)
        answer = Boot(start, directory, stopped).run(job, _pass_on, timeout_s) if start else None
    return _STOPPED if answer is None else answer.status


@command.command("shell", short_help="Open a shell in a guest.")
@_guest_options
def shell(**options: Any) -> int:
    """Open a shell as root of a guest. Ctrl-C goes to the guest, Ctrl-] leaves.

    An idle guest waits in real time, and time follows its instructions while it works.
    """
    refuse_without_terminal()
    guest, files = _guest(**options)
    lines.remark("the guest starts: `exit` or Ctrl-] leaves it")
    with packages.scratch() as directory:
        opened = Shell(guest, directory)
        with stop_on_signals(opened.stop):
            status = opened.run(files)
    return _STOPPED if status is None else status


def _guest(
    kernel: str, cpus: int, preempt: str | None, kvm: bool, schedulers: tuple[str, ...]
) -> tuple[Machine, dict[str, bytes]]:
    """A guest, and the files that its schedulers need."""
    guest = jobs.machine(kernel, cpus, lines.remark, kvm=kvm, preempt=preempt)
    paths = [text for text in schedulers if "/" in text.partition("@")[0]]
    names = [text for text in schedulers if text not in paths]
    return guest, guest_files(names, map(Path, paths), lines.remark)


def _pass_on(kind: bytes, content: bytes) -> None:
    """The command's own bytes, as they are."""
    stream = sys.stdout.buffer if kind == STDOUT else sys.stderr.buffer
    stream.write(content)
    stream.flush()


@command.command("validate", short_help="Say how far the lab's ratios are those of this machine.")
@click.argument("spec", metavar="[SPEC]", required=False)
@click.option("-o", "--output", metavar="DIR", help="Directory for the runs; an earlier one goes on.")
@click.option("--report", metavar="DIR", help="Make no runs: say what those in DIR show.")
@click.option("--only", "side", type=click.Choice([LIVE, LAB]), help="Make the runs of one side and no others.")
@click.option("--kernel", metavar="VERSION", help="The guest's kernel, 6.18 or 7.2.  [default: this machine's version]")
@click.option("--cpus", type=int, help="The guest's CPUs, 1 or 2.  [default: as here, 2 at most]")
@click.option("--preempt", type=click.Choice(MODELS), help="Its model of preemption.  [default: as here, if it has it]")
@click.option(
    "--format", "kind", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Text, or JSON."
)
def validate(
    spec: str | None,
    output: str | None,
    report: str | None,
    side: str | None,
    kernel: str | None,
    cpus: int | None,
    preempt: str | None,
    kind: str,
) -> int:
    """Run an experiment on this machine and in the lab, and say how far both rank its arms alike.

    SPEC is a file as for `schedtel experiment`, by default a grid of six workloads and six arms. What is in the
    directory already is not run again. Exit status 1 if runs are missing in the end.
    """
    if report is not None:
        if (spec, output, side, kernel, cpus, preempt) != (None,) * 6:
            raise UsageError("cannot use what runs are made with beside --report: nothing runs (drop all but --format)")
        _print_validity(report, kind)
        return 0
    if output is None:
        raise UsageError("cannot validate: where do the runs belong? (give -o DIR, or --report DIR)")
    experiment = read_spec(spec or GRID)
    for each in (LIVE, LAB) if side is None else (side,):
        if not _made(experiment, Path(output, each), kernel, cpus, preempt):
            return _FAILED
    if all(Path(output, each).exists() for each in (LIVE, LAB)):
        _print_validity(output, kind)
    return 0


def _made(spec: ExperimentSpec, root: Path, kernel: str | None, cpus: int | None, preempt: str | None) -> bool:
    """Whether all runs of a side are there now."""
    experiment: Experiment | LabExperiment
    if root.name == LAB:
        kernel, cpus = kernel or kernel_like_this_one(), cpus_like_here() if cpus is None else cpus
        guest = jobs.machine(kernel, cpus, lines.remark, preempt=preempt or jobs.preemption_like_here(kernel))
        experiment = in_local_guests(spec, root, guest, notice=lines.remark)
    else:
        experiment = Experiment(spec, root)
    with stop_on_signals(experiment.stop):
        experiment.run(tell_run)
    missing = len(experiment.remaining())
    if missing:
        lines.remark(f"stopped: {missing} runs of {root} are missing (run it again to go on)")
    return not missing


def _print_validity(root: str, kind: str) -> None:
    validity = validity_of(root)
    lines.document(json_of(validity) if kind == "json" else text_of(validity).rstrip("\n"))
