"""The rings of a tracer in; copies of what is in them out, by a thread that does nothing else.

It is a thread of its own because a ring holds a few seconds of events. On a loaded machine a thread of normal priority
was seen to stand still for 0.6 s, while decoding and writing take as long as the disk does. So where the user may, this
thread goes before all others (SCHED_FIFO); children of this process do not inherit that, and it ends with the thread.
"""

import os
import threading
import time

from schedtel.kernel.events.copies import Copies
from schedtel.kernel.events.tracer import EventTracer
from schedtel.latch import Latch

#: A ring of half a million events is full after this time only at 25 million events a second.
_PERIOD_S = 0.02


class Drain:
    """Copies from the rings until :meth:`stop`. ``is_first``: whether it may go before other threads. ``copied_ns``:
    all that happened until then, on CLOCK_MONOTONIC, has been copied.

    :param period_s: the time between two passes.
    """

    def __init__(self, tracer: EventTracer, copies: Copies, period_s: float = _PERIOD_S) -> None:
        self._tracer, self._copies, self._period_s = tracer, copies, period_s
        self.is_first, self.copied_ns = False, 0
        self._stopping = Latch()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="schedtel-drain", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._go_first()
        try:
            while not self._stopping.wait(self._period_s):
                self._copy()
            self._copy()
        except Exception as error:  # noqa: BLE001  (raised in the thread that reads)
            self._failure = error

    def _copy(self) -> None:
        begin_ns = time.monotonic_ns()
        if self._tracer.drain(self._copies):
            self.copied_ns = begin_ns

    def _go_first(self) -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
            self.is_first = True
        except OSError:  # no CAP_SYS_NICE, or a cgroup without realtime
            pass

    def check(self) -> None:
        """Raise what has ended the thread, if anything has."""
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """Copy once more what is there, and end the thread. Raises what :meth:`check` does."""
        self._stopping.set()
        self._thread.join()
        self.check()
