"""Windows in; the same windows out, and how far they are in a line on stderr, if that is a terminal."""

import sys
from collections.abc import Callable, Iterable, Iterator

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from schedtel.cli.display.cells import terminal_console
from schedtel.foreign_text import Printable
from schedtel.windows.window import Window


def with_progress(
    windows: Iterable[Window],
    verb: str,
    describe: Callable[[int], str],
    done: Callable[[], float | None] = lambda: None,
    *,
    hidden: bool,
) -> Iterator[Window]:
    """Yields the windows. After each one, the line is drawn again.

    :param verb: the first word of the line.
    :param describe: number of windows so far → the rest of the line.
    :param done: the part that is done, from 0 to 1; None if it is not known.
    """
    if hidden or not sys.stderr.isatty():
        yield from windows
        return
    columns = (
        TextColumn(verb, markup=False),
        BarColumn(pulse_style="green"),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal_console(stderr=True), transient=True) as progress:
        task = progress.add_task("waiting for the first window", total=None)
        for number, window in enumerate(windows, 1):
            yield window
            part = done()
            progress.update(
                task,
                description=Printable(describe(number)),
                total=None if part is None else 1.0,
                completed=part or 0,
            )
