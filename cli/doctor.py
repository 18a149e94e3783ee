"""``schedtel doctor``: what this kernel and this user can do."""

import click

from schedtel.capabilities import survey
from schedtel.laws import Finding
from schedtel.verify import verify

_FAILED = 1


@click.command("doctor", short_help="Say what this kernel and this user can do.")
@click.option("--verify", "verifying", is_flag=True, help="Run a load for a few seconds and check the laws live.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.5, max=600),
    default=3.0,
    show_default=True,
    help="How long --verify runs its load.",
)
def command(verifying: bool, seconds: float) -> int:
    """Check everything schedtel needs, and say what to do about each "no". Exit status 1 if a needed thing is missing.

    With --verify, also run a mixed load and judge the windows by the laws and by the kernel's own books.
    """
    answers = []
    for answer in survey():
        mark = "yes" if answer.yes else "NO " if answer.needed else "no "
        click.echo(f"{mark}  {answer.question}: {answer.found}")
        answers.append(answer)
    ready = all(answer.yes or not answer.needed for answer in answers)
    click.echo("ready" if ready else "not ready: see the lines that begin with NO")
    if ready and verifying:
        return _report(verify(seconds))
    return 0 if ready else _FAILED


def _report(findings: list[Finding]) -> int:
    click.echo()
    for finding in findings:
        click.echo(f"{'holds ' if finding.holds else 'BROKEN'}  {finding.law}: {finding.figure}")
    broken = sum(not finding.holds for finding in findings)
    click.echo(f"{len(findings)} findings, {broken} broken")
    return _FAILED if broken else 0
