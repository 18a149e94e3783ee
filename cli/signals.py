"""Signals in; the end of the process out, in silence and at once, unless a command handles them itself.

Python turns SIGINT into an exception that may arise anywhere. In a callback from a C library it is dropped, and during
an import it becomes a traceback. So signals have their default effect until a command is ready to end in order
(:func:`schedtel.cli.session.stop_on_signals`), and once it has ended. The kernel then detaches the programs.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """Inside the context, SIGINT, SIGTERM and SIGHUP end the process; those that the caller ignores stay ignored."""
    with _handled_by(_exit if os.getpid() == 1 else signal.SIG_DFL):
        yield


def _exit(number: int, _frame: object) -> None:
    """End the first process of a container, for which the kernel drops signals with their default effect."""
    os._exit(128 + number)


@contextmanager
def restored_cursor() -> Iterator[None]:
    """Inside the context, a signal first shows the cursor of the terminal on stderr, which a progress line hides."""

    def end(number: int, _frame: object) -> None:
        os.write(2, b"\x1b[?25h\n")
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        _exit(number, None)

    with _handled_by(end):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, Any], object] | signal.Handlers) -> Iterator[None]:
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number, before in previous.items():
        if before is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextmanager
def on_request(number: signal.Signals, make: Callable[[], None]) -> Iterator[None]:
    """Inside the context, a signal calls ``make``. Afterwards it does nothing, so that a late request ends nothing.

    The handler stays one of this process. SIG_IGN would be handed on to programs that it starts.
    """
    signal.signal(number, lambda *_: make())
    try:
        yield
    finally:
        signal.signal(number, lambda *_: None)
