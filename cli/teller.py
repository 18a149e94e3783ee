"""What is to be shown in; the same written by a thread of its own: what gives it never waits for the terminal.

A terminal that was stopped by Ctrl-S, or a pipe whose reader sleeps, takes no more lines. A command that guards a
machine must not stop with it. So what finds no room is dropped, and the next that is written is told how many were.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from schedtel.cli import lines

Item = TypeVar("Item")
_MOST_WAITING = 100
#: How long the last lines may take when the command ends.
_PATIENCE_S = 1.0


class Teller(Generic[Item]):
    """Shows items until the context ends. Where one could not be shown, the next call raises the error.

    :param show: shows one; also gets how many were dropped before it.
    """

    def __init__(self, show: Callable[[Item, int], object]) -> None:
        self._show = show
        self._waiting: queue.Queue[tuple[Item, int] | None] = queue.Queue(_MOST_WAITING)
        self._dropped = 0
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="schedtel-lines", daemon=True)

    def tell(self, item: Item) -> None:
        """Have an item shown, or dropped if there is no room; returns at once.

        Raises :class:`OSError` if an earlier one could not be shown.
        """
        if self._error:
            raise self._error
        try:
            self._waiting.put_nowait((item, self._dropped))
            self._dropped = 0
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        try:
            while (waiting := self._waiting.get()) is not None:
                self._show(*waiting)
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


def show_line(text: str, dropped: int) -> None:
    """Write a line to stdout, and in it how many were dropped before."""
    lines.answer(f"({dropped} lines were dropped) {text}" if dropped else text)
