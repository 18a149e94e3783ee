"""Windows in; log lines for the operator out: losses, windows held up, steps of the wall clock.

A line is logged when one of these begins or ends. A window in which nothing begins or ends adds no line.
"""

from __future__ import annotations

import logging
from collections import Counter

from schedtel.durations import format_duration
from schedtel.windows.arrow import rows
from schedtel.windows.window import Window

_log = logging.getLogger(__name__)
#: Losses have ended after this many windows without one. Losses that come and go faster are logged as one.
_CLEAN_WINDOWS = 10
#: The wall clock may drift against CLOCK_MONOTONIC by this part of the elapsed time. It is read a little later than a
#: window's start, so a step below the least one is not logged.
_DRIFT, _LEAST_STEP_NS = 0.01, 100_000_000


class HealthLog:
    """Follows the windows of one run, and logs losses, windows held up and steps of the wall clock."""

    def __init__(self) -> None:
        self._lost: Counter[str] = Counter()
        self._losing_since = self._clean = 0
        self._last: tuple[int, int] | None = None

    def add(self, window: Window) -> None:
        """Log what begins or ends with the run's next window."""
        self._follow_losses(window)
        self._follow_length(window)
        self._follow_clock(window)

    def _follow_losses(self, window: Window) -> None:
        lost = Counter({name: count for name, count in window.losses.items() if count})
        if lost and not self._lost:
            self._losing_since = window.window_id
            _log.warning("losses begin in window %d: %s", window.window_id, _counts(lost))
        self._lost += lost
        self._clean = 0 if lost else self._clean + 1
        if self._lost and self._clean == _CLEAN_WINDOWS:
            last = window.window_id - _CLEAN_WINDOWS
            _log.info("losses have ended: %s in windows %d to %d", _counts(self._lost), self._losing_since, last)
            self._lost.clear()

    def _follow_length(self, window: Window) -> None:
        row = rows(window.summary)[0]
        if row["windows_spanned"] > 1:
            length = format_duration(row["window_ns"])
            which = (window.window_id, length, row["windows_spanned"])
            _log.warning(
                "held up: window %d is %s long, for %d windows (suspended, or the machine is too busy)", *which
            )

    def _follow_clock(self, window: Window) -> None:
        wall_ns = 1000 * window.summary["wall_start"].cast("int64")[0].as_py()
        last, self._last = self._last, (window.start_ns, wall_ns)
        if last is None:
            return
        elapsed_ns = window.start_ns - last[0]
        step_ns = wall_ns - last[1] - elapsed_ns
        if abs(step_ns) > max(_LEAST_STEP_NS, _DRIFT * elapsed_ns):
            step = ("-" if step_ns < 0 else "+") + format_duration(abs(step_ns))
            _log.warning(
                "the wall clock moved by %s at window %d (it was set, or the machine slept; windows tile all the same)",
                step,
                window.window_id,
            )


def _counts(lost: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in lost.items())
