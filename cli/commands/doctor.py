"""``schedtel doctor``: this kernel and this user in; what works, and what to do about the rest, out."""

import click

from schedtel.cli import lines
from schedtel.cli.strict import StrictCommand
from schedtel.doctor.capabilities import Answer, survey, usable_backends
from schedtel.doctor.verify import verify
from schedtel.windows.invariants import Finding

_FAILED = 1


@click.command("doctor", cls=StrictCommand, short_help="Say what this kernel and this user can do.")
@click.option("--verify", "verifying", is_flag=True, help="Also run a load for a few seconds and check the laws.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.5, max=600),
    default=3.0,
    show_default=True,
    help="How long --verify runs its load.",
)
def command(verifying: bool, seconds: float) -> int:
    """Check everything schedtel needs, and say what to do about each "no". Exit status 1 if no backend works.

    With --verify, also run a mixed load and check the windows against the laws and the kernel's own accounting.
    """
    answers = list(survey())
    usable = usable_backends(answers)
    for answer in answers:
        lines.answer(_line(answer, needed=answer.needed and not (answer.backend and usable)))
    lines.answer(_verdict(usable))
    if usable and verifying:
        return _report(verify(seconds))
    return 0 if usable else _FAILED


def _line(answer: Answer, *, needed: bool) -> str:
    mark = "yes" if answer.yes else "NO " if needed else "no "
    subject = f"{answer.backend}: {answer.question}" if answer.backend else answer.question
    return f"{mark}  {subject}: {lines.in_one_line(answer.found)}"


def _verdict(usable: list[str]) -> str:
    if not usable:
        return "not ready: see the lines that begin with NO"
    return "ready: backend " + " or ".join(usable)


def _report(findings: list[Finding]) -> int:
    lines.answer("")
    for finding in findings:
        lines.answer(f"{'holds ' if finding.holds else 'BROKEN'}  {finding.law}: {finding.figure}")
    broken = sum(not finding.holds for finding in findings)
    lines.answer(f"{len(findings)} findings, {broken} broken")
    return _FAILED if broken else 0
