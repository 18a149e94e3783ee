"""A window in; its longest waits as a table for a person out."""

from datetime import timedelta
from typing import Any

from schedtel.cli.display.cells import Grid
from schedtel.durations import format_duration
from schedtel.windows.arrow import rows, values
from schedtel.windows.wait_table import behind_of
from schedtel.windows.window import Window

_UNKNOWN = "?"


def longest_waits(window: Window, top: int) -> Grid:
    """The longest waits, the longest first, as the table ``waits`` has them."""
    table = Grid()
    table.column("tid")
    table.column("comm", most=34)
    table.column("cpu", right=True)
    table.column("after")
    table.column("wait▾", right=True, bold=True)
    table.column()
    table.column("since")
    table.column("behind", most=44)
    for row in rows(window.waits.slice(0, top)):
        table.row(*_cells(window, row), style="yellow" if row["goes_on"] else "")
    return table


def _cells(window: Window, row: dict[str, Any]) -> tuple[str, ...]:
    at_least = "≥ " * (row["wait_start_ns"] is None)
    return (
        str(row["tid"]),
        row["comm"],
        _UNKNOWN if row["cpu"] is None else str(row["cpu"]),
        row["kind"],
        at_least + format_duration(row["wait_ns"]),
        "goes on" if row["goes_on"] else "ended",
        _moment(window, row["wait_start_ns"]),
        behind_of(row) or _UNKNOWN,
    )


def _moment(window: Window, moment_ns: int | None) -> str:
    """A moment on the wall clock (UTC), or on the trace's own clock where there is no wall clock."""
    if moment_ns is None:
        return "before tracing"
    [wall_start] = values(window.summary["wall_start"])
    if wall_start is None:
        return f"at {moment_ns / 1e9:.6f} s"
    moment = wall_start + timedelta(microseconds=(moment_ns - window.start_ns) // 1000)
    return f"{moment:%H:%M:%S.%f}"[:-3]
