"""``schedtel events snapshot``: the directory of a running flight recorder in; one more snapshot in it out."""

from __future__ import annotations

import os

import click

from schedtel.cli import lines
from schedtel.cli.strict import StrictCommand


@click.command("snapshot", cls=StrictCommand, short_help="Have a flight recorder write what it holds.")
@click.argument("directory", metavar="DIR")
@click.option("-q", "--quiet", is_flag=True, help="Print the snapshot's directory only.")
def snapshot(directory: str, quiet: bool) -> None:
    """Ask the `schedtel events record --ring` that has this directory for a snapshot, and wait until it is written.

    Its directory is printed: a recording of events, for `schedtel timehist` and the like.
    """
    from schedtel.eventlog.recorder import describe  # noqa: PLC0415  (other commands do without pyarrow)
    from schedtel.eventlog.snapshots import ask  # noqa: PLC0415  (see above)

    written = ask(directory)
    lines.answer(os.path.join(directory, written.name))
    if not quiet:
        span_ns = written.to_ns - written.from_ns
        lines.remark(f"wrote {describe(written.events, written.lost, written.bytes, span_ns)}")
