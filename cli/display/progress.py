"""What is worked through in; the same out, and how far that is in a line on stderr, if that is a terminal."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from schedtel.cli.display.cells import terminal_console
from schedtel.foreign_text import Printable

Item = TypeVar("Item")


def with_progress(
    items: Iterable[Item],
    verb: str,
    describe: Callable[[int], str],
    done: Callable[[], float | None] = lambda: None,
    *,
    hidden: bool,
) -> Iterator[Item]:
    """Yields the items, windows for instance. After each one, the line is drawn again.

    :param verb: the first word of the line.
    :param describe: number of items so far → the rest of the line.
    :param done: the part that is done, from 0 to 1; None if it is not known.
    """
    if hidden or not sys.stderr.isatty():
        yield from items
        return
    columns = (
        TextColumn(verb, markup=False),
        BarColumn(pulse_style="green"),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal_console(stderr=True), transient=True) as progress:
        task = progress.add_task("waiting for the first window", total=None)
        for number, item in enumerate(items, 1):
            yield item
            part = done()
            progress.update(
                task,
                description=Printable(describe(number)),
                total=None if part is None else 1.0,
                completed=part or 0,
            )
