"""Windows in; whether the load has changed, out: another load needs another measurement of EEVDF.

A load is told by what arms change little: how many bursts, wakeups and forks a second, and how many tasks want a CPU.
It is another one where one of these is twice as large, or half, as when EEVDF was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from schedtel.windows.window import Window

_RATES, _AVERAGES = ("burst_tat_count", "wakeups", "forks"), ("runnable_avg",)
#: Added to both sides of a comparison, so that small numbers do not differ by chance: events a second, and tasks.
_SOFT = np.array([10.0] * len(_RATES) + [1.0] * len(_AVERAGES))
_FACTOR = math.log(2)
_NS_PER_S = 1e9


class Load:
    """The load at the last measurement of EEVDF."""

    def __init__(self) -> None:
        self._known: np.ndarray | None = None

    def differs(self, windows: Sequence[Window]) -> bool:
        """Whether the load of these windows is another one; a load that is not known differs from none."""
        if self._known is None or not windows:
            return False
        away = np.log((signature(windows) + _SOFT) / (self._known + _SOFT))
        return bool((np.abs(away) > _FACTOR).any())

    def take(self, windows: Sequence[Window]) -> None:
        """Take the load of these windows as that of the measurement."""
        if windows:
            self._known = signature(windows)


def signature(windows: Sequence[Window]) -> np.ndarray:
    """The means over windows: rates a second, then averages."""
    rows = []
    for window in windows:
        known = window.features().as_dict()
        seconds = (window.end_ns - window.start_ns) / _NS_PER_S
        rows.append([*((known[name] or 0) / seconds for name in _RATES), *(known[name] or 0 for name in _AVERAGES)])
    return np.array(rows, np.float64).mean(axis=0)
