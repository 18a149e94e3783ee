"""A flag that a signal handler may set, for a thread to wait for.

``threading.Event`` is not one: a handler runs in the main thread between two instructions, and when the main thread is
inside ``wait()`` or ``set()`` it holds the event's lock. A ``set()`` in the handler then waits for that lock for ever.
"""

import os
import select
import weakref


class Latch:
    """Closed at first; :meth:`set` opens it for good. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        self._is_set = False

    def fileno(self) -> int:
        """The descriptor that is readable once it is open, for a poll beside others; it lives as long as the latch."""
        return self._descriptor

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Open it, and wake what waits. Safe in a signal handler: it takes no lock."""
        if not self._is_set:
            self._is_set = True
            os.eventfd_write(self._descriptor, 1)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is open, for so many seconds at most; returns whether it is."""
        if not self._is_set:
            poll = select.poll()  # one a call: an object of this kind is not for two threads at once
            poll.register(self._descriptor, select.POLLIN)
            poll.poll(None if timeout_s is None else max(0, round(timeout_s * 1000)))
        return self._is_set
