"""Windows in; whether the load has changed, out: another load needs another measurement of EEVDF.

A load is told by how many bursts, wakeups and forks there are a second, and how many tasks want a CPU. Arms change
these as well: a task that sleeps for a millisecond after each burst has more bursts where it waits less. So an arm is
compared with itself, as it was when it last ran under this load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from schedtel.windows.window import Window

_RATES, _AVERAGES = ("burst_tat_count", "wakeups", "forks"), ("runnable_avg",)
#: Added to both sides of a comparison, so that small numbers do not differ by chance: events a second, and tasks.
_SOFT = np.array([10.0] * len(_RATES) + [1.0] * len(_AVERAGES))
#: Factor by which one of these has to be larger or smaller.
_FACTOR = np.array([3.0] * len(_RATES) + [2.0] * len(_AVERAGES))
_NS_PER_S = 1e9


class Load:
    """The load as it was under each arm."""

    def __init__(self) -> None:
        self._under: dict[str, np.ndarray] = {}

    def add(self, arm: str, windows: Sequence[Window]) -> bool:
        """Take the load of windows under an arm; returns whether it is another one, and nothing before counts."""
        now, before = signature(windows), self._under.get(arm)
        is_other = before is not None and bool(
            (np.abs(np.log((now + _SOFT) / (before + _SOFT))) > np.log(_FACTOR)).any()
        )
        if is_other:
            self._under.clear()
        self._under[arm] = now
        return is_other


def signature(windows: Sequence[Window]) -> np.ndarray:
    """The means over windows: rates a second, then averages."""
    rows = []
    for window in windows:
        known = window.features().as_dict()
        seconds = (window.end_ns - window.start_ns) / _NS_PER_S
        rows.append([*((known[name] or 0) / seconds for name in _RATES), *(known[name] or 0 for name in _AVERAGES)])
    return np.array(rows, np.float64).mean(axis=0)
