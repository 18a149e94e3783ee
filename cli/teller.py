"""Lines in; the same lines on stdout out, by a thread of its own: what gives them never waits for the terminal.

A terminal that was stopped by Ctrl-S, or a pipe whose reader sleeps, takes no more lines. A command that guards a
machine must not stop with it. So lines that find no room are dropped, and the next one that is written says how many.
"""

from __future__ import annotations

import queue
import threading
from types import TracebackType
from typing import Self

from schedtel.cli import lines

_MOST_WAITING = 100
#: How long the last lines may take when the command ends.
_PATIENCE_S = 1.0


class Teller:
    """Writes lines until the context ends. Where one could not be written, the next call raises the error."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._dropped = 0
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="schedtel-lines", daemon=True)

    def tell(self, line: str) -> None:
        """Have a line written, or dropped if there is no room; returns at once.

        Raises :class:`OSError` if an earlier one could not be written.
        """
        if self._error:
            raise self._error
        text = f"({self._dropped} lines were dropped) {line}" if self._dropped else line
        try:
            self._waiting.put_nowait(text)
            self._dropped = 0
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        try:
            while (line := self._waiting.get()) is not None:
                lines.answer(line)
        except OSError as error:
            self._error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._waiting.put(None, timeout=_PATIENCE_S)
            self._thread.join(_PATIENCE_S)
        except queue.Full:  # the terminal takes no more lines
            return
        if self._error and error is None:
            raise self._error
