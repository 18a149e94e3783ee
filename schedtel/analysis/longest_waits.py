"""Any number of windows in; the longest waits of them all out, each wait once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from schedtel.windows.arrow import rows
from schedtel.windows.window import Window

#: So many waits are kept of a recording.
MOST_WAITS = 100


@dataclass(frozen=True)
class LongestWait:
    """One wait. ``end_ns``: when it ended or, if it ``goes_on``, the end of the last window that tells of it.

    ``since_known``: whether it is known when it began; if not, it began before tracing, and ``wait_ns`` is the part of
    it since then. ``row``: the last row of ``waits`` that tells of it.
    """

    wait_ns: int
    end_ns: int
    goes_on: bool
    since_known: bool
    row: dict[str, Any]


class LongestWaits:
    """The longest waits of a recording. ``add`` takes the next window; iterating yields them, the longest first.

    A wait that goes on over several windows is in the table of each: here it is one wait, of its last length.
    """

    def __init__(self, most: int = MOST_WAITS) -> None:
        self._most = most
        self._waits: dict[tuple[Any, ...], LongestWait] = {}

    def add(self, window: Window) -> None:
        """Take the waits of one window."""
        for row in rows(window.waits):
            start, length = row["wait_start_ns"], row["wait_ns"]
            end = window.end_ns if start is None or row["goes_on"] else start + length
            # A tid waits once at a time: its wait without a known start is the first one, whatever else it is.
            key = (row["tid"], row["start_boottime_ns"], start)
            self._waits[key] = LongestWait(length, end, row["goes_on"], start is not None, row)
        if len(self._waits) > 2 * self._most:
            self._waits = dict(sorted(self._waits.items(), key=lambda item: -item[1].wait_ns)[: self._most])

    def __iter__(self) -> Iterator[LongestWait]:
        yield from sorted(self._waits.values(), key=lambda wait: -wait.wait_ns)[: self._most]
