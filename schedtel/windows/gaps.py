"""Gaps between windows, and a window's start and end on the wall clock."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from schedtel.windows.window import Window


@dataclass(frozen=True)
class Gap:
    """One stretch of missing windows; the fields are the columns of the table ``gaps``."""

    uri: str
    cause: str
    run: str
    after_window_id: int
    before_window_id: int
    windows_missed: int | None
    gap_start: datetime
    gap_end: datetime


def wall_start(window: Window) -> datetime:
    """Start of a window on the wall clock, UTC."""
    # as_py() of a timestamp would import pandas, and needs a database of time zones.
    microseconds = window.summary["wall_start"].view(pa.int64())[0].as_py()
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def wall_end(window: Window) -> datetime:
    """End of a window on the wall clock, UTC."""
    return wall_start(window) + timedelta(microseconds=(window.end_ns - window.start_ns) / 1000)
