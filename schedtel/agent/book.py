"""Decisions in; rows of a log out, as long as it can be written. An agent without a log still has a guard.

A full disk does not end the agent: it goes on without the log, says so once, and says so again when rows are written
once more. The rows of meanwhile are kept, up to those of a part of the log, and written then.
"""

from __future__ import annotations

from collections.abc import Callable

from schedtel.agent.log import DecisionLog, Entry
from schedtel.errors import RecordingError


class Book:
    """A log that may be missing, or may fail.

    :param log: None: nothing is written.
    :param tell: is given one line when writing fails, and when it works again.
    """

    def __init__(self, log: DecisionLog | None = None, tell: Callable[[str], object] = lambda _: None) -> None:
        self._log, self._tell = log, tell
        self._is_empty, self._fails = True, False

    def append(self, entry: Entry) -> None:
        """Write a decision."""
        if self._log:
            log = self._log
            self._is_empty = False
            self._write(lambda: log.append(entry))

    def settle(self, reward: float | None, gap_ns: int | None) -> None:
        """Write what came of the newest decision; nothing before the first."""
        if self._log and not self._is_empty:
            log = self._log
            self._write(lambda: log.settle(reward, gap_ns))

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except RecordingError as error:
            if not self._fails:
                self._tell(f"the agent goes on without its log: {error}")
            self._fails = True
            return
        if self._fails:
            self._tell("the log is written again")
        self._fails = False
