"""Windows in; the table of lives, on a page or in a file, out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from schedtel.cli import lines
from schedtel.cli.output import opened
from schedtel.cli.rows import write_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schedtel.windows.window import Window

_IMPOSSIBLE = 1


def show_lives(windows: Iterable[Window], kind: str, output: str | None) -> int:
    """Write a row for each life. Returns the exit status: 1 if a row breaks a rule.

    :param kind: ``table`` for a page, or a format of rows.
    :param output: the file; None for stdout.
    """
    from schedtel.analysis.lifetimes import SCHEMA, lifetimes  # noqa: PLC0415  (only for lives; it imports pyarrow)
    from schedtel.cli.display.lives import page, show  # noqa: PLC0415  (see above)

    found = lifetimes(windows)
    if kind == "table" and output is None and sys.stdout.isatty():
        show(found)
    else:
        with opened(output) as stream:
            if kind == "table":
                stream.write(page(found).encode())
            else:
                write_rows(found.table.to_batches(), SCHEMA, stream, kind)
    broken = found.broken.num_rows
    if broken:
        lines.remark(f"schedtel: {broken} of {found.table.num_rows} lives are not possible (column broken says why)")
    return _IMPOSSIBLE if broken else 0
