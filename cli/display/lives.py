"""Lives in; a table for a person out, with the names and the order of an earlier study."""

from collections.abc import Iterator

from rich.console import Group, RenderableType

from schedtel.analysis.lifetimes import AFTER, BEFORE, BOTH, WHOLE, Lifetimes
from schedtel.cli.display.cells import Grid, below, line, plain_rows, terminal_console

_PLAIN_WIDTH = 200
#: Column of the page → column of the table, and nanoseconds in its unit.
_MOMENTS = {"T_Arrival s": "arrival_ns", "T_First_CPU s": "first_cpu_ns", "T_Completion s": "completion_ns"}
_DURATIONS = {"TAT ms": "tat_ns", "RT ms": "rt_ns", "Total_CPU_Time ms": "total_cpu_ns"}


def show(found: Lifetimes) -> None:
    """Print the table on the terminal."""
    terminal_console().print(_rendered(found))


def page(found: Lifetimes) -> str:
    """The table as plain lines without blanks at their ends."""
    rows = plain_rows(_PLAIN_WIDTH, lambda console: console.print(_rendered(found)))
    return "".join(f"{row}\n" for row in rows)


def _rendered(found: Lifetimes) -> RenderableType:
    table, is_fleet = Grid(), len(found.starts_ns) > 1
    for header in (*(["host"] if is_fleet else []), "PID", "command", *_MOMENTS, *_DURATIONS, "life"):
        table.column(header, right=header == "PID" or header in (*_MOMENTS, *_DURATIONS))
    has_broken = found.broken.num_rows > 0
    if has_broken:
        table.column("broken", wraps=True)
    for row in found.table.to_pylist():
        named = [row["host"] or "-"] if is_fleet else []
        last = [row["life"]] + ([row["broken"] or ""] if has_broken else [])
        table.row(*named, str(row["tid"]), row["comm"], *_figures(row, found.starts_ns[row["host"]]), *last)
    return Group(table, below(line(_counts(found))))


def _figures(row: dict[str, int | None], start_ns: int) -> Iterator[str]:
    """Moments in seconds from the start of the host's first window, durations in milliseconds; ``-`` is not known."""
    for column in _MOMENTS.values():
        moment = row[column]
        yield "-" if moment is None else f"{(moment - start_ns) / 1e9:.6f}"
    for column in _DURATIONS.values():
        duration = row[column]
        yield "-" if duration is None else f"{duration / 1e6:.3f}"


def _counts(found: Lifetimes) -> str:
    lives = found.table["life"].to_pylist()
    counted = ", ".join(f"{lives.count(word)} {_WORDS[word]}" for word in _WORDS if word in lives)
    return f"{len(lives)} lives: {counted or 'none'}; moments are seconds after the first window began"


_WORDS = {WHOLE: "whole", BEFORE: "began before", AFTER: "go on", BOTH: "began before and go on"}
