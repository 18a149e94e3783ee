"""``schedtel oracle pick``: recordings with books in; how often EEVDF's arithmetic names the next thread out."""

from __future__ import annotations

import json

import click

from schedtel.cli import lines
from schedtel.cli.event_recordings import opened_recording
from schedtel.cli.strict import StrictCommand


@click.command("pick", cls=StrictCommand, short_help="Say how often EEVDF's arithmetic names the next thread.")
@click.argument("directories", metavar="DIR|URI...", nargs=-1, required=True)
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=50_000,
    show_default=True,
    metavar="N",
    help="Look at the first N switches of each recording. They take about a second for 3,000.",
)
@click.option(
    "--format", "kind", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Lines, or JSON."
)
def pick(directories: tuple[str, ...], most: int, kind: str) -> None:
    """Follow recordings of `schedtel events record --books`, and say at each switch at which two or more waited which
    thread comes: by an emulator of EEVDF on the scheduler's own books, by one on events alone, and by simple rules.
    Then look at who came.
    """
    from schedtel.oracle.pick import figures as of  # noqa: PLC0415  (other commands do without pyarrow)
    from schedtel.oracle.pick.picks import judge  # noqa: PLC0415  (see above)

    rows = []
    for directory in directories:
        with opened_recording(directory) as (recording, _):
            rows.append(of.figures(directory, judge(recording, most)))
    if kind == "json":
        lines.document(json.dumps({"recordings": rows, **of.total(rows)}))
        return
    for line in of.lines(rows):
        lines.answer(line)
