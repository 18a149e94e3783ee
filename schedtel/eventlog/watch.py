"""Telemetry windows and triggers in; why a snapshot is to be written, out, by a thread that does nothing else."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from schedtel.eventlog.triggers import Trigger
from schedtel.live import LiveSource
from schedtel.windows.window import Window

#: The least time between two snapshots that triggers ask for.
_PAUSE_NS = 60_000_000_000


class Watch:
    """Looks at each window of a source, from :meth:`start` to :meth:`stop`.

    ``held_back`` counts the windows that would have set off a trigger too early after another one. The trigger stays
    armed then: where the condition is still broken after the pause, it goes off.

    :param pause_ns: the least time between two reasons, in nanoseconds.
    """

    def __init__(self, windows: LiveSource, triggers: Sequence[Trigger], pause_ns: int = _PAUSE_NS) -> None:
        self._windows, self._triggers, self._pause_ns = windows, triggers, pause_ns
        self.held_back = 0
        self._reasons: deque[str] = deque()
        self._last_ns: int | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="schedtel-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            for window in self._windows:
                self._look(window)
        except Exception as error:  # noqa: BLE001  (raised in the thread that writes)
            self._failure = error

    def _look(self, window: Window) -> None:
        broken = [trigger for trigger in self._triggers if trigger.goes_off(window)]
        if not broken:
            return
        now = time.monotonic_ns()
        if self._last_ns is not None and now - self._last_ns < self._pause_ns:
            self.held_back += 1
            return
        self._last_ns = now
        for trigger in broken:
            trigger.disarm()
        self._reasons.append("; ".join(trigger.describe(window) for trigger in broken))

    def reason(self) -> str | None:
        """Why a snapshot is due; None if none is. Each is told once. Raises what has ended the thread, if anything has.

        Only the thread that writes calls it.
        """
        if self._failure:
            raise self._failure
        return self._reasons.popleft() if self._reasons else None

    def stop(self) -> None:
        """End the open window, look at it, and end the thread. Further calls do nothing."""
        self._windows.stop()
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        """End tracing."""
        self.stop()
        self._windows.close()
