"""Signals in; the end of the process out, in silence and at once, unless a command handles them itself.

Python turns SIGINT into an exception that may arise anywhere. In a callback from a C library it is dropped, and during
an import it becomes a traceback. So signals have their default effect until a command is ready to end in order
(:func:`schedtel.cli.session.stop_on_signals`), and once it has ended. The kernel then detaches the programs.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """Inside the context, SIGINT, SIGTERM and SIGHUP end the process; those that the caller ignores stay ignored."""
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _exit if os.getpid() == 1 else signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


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

    previous = {number: signal.signal(number, end) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
