"""Tables ``waits`` in; for each bucket of the histogram of waits an exemplar, a wait with who it was, out.

Exemplars are a part of OpenMetrics: a sample that a bucket has counted, with labels that say more of it than the
series does. They make no series.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from schedtel.export.buckets import HOST_BOUNDS_S, Exemplar
from schedtel.windows.arrow import rows
from schedtel.windows.window import Window

#: OpenMetrics allows so many characters in all labels of an exemplar, names and values together.
_MOST_CHARACTERS = 128
_NS_PER_S = 1_000_000_000


class WaitExemplars:
    """The longest wait of each bucket in the last window that had one there."""

    def __init__(self) -> None:
        #: Bucket → exemplar.
        self.of_buckets: dict[int, Exemplar] = {}

    def add(self, window: Window, wall_start_ns: int) -> None:
        """Take those of a window. Waits that go on are no samples yet.

        :param wall_start_ns: the window's start on the wall clock.
        """
        for row in reversed(rows(window.waits)):  # the longest comes last, and stays
            if not row["goes_on"] and row["wait_start_ns"] is not None:
                ended_ns = wall_start_ns + row["wait_start_ns"] + row["wait_ns"] - window.start_ns
                seconds = row["wait_ns"] / _NS_PER_S
                bucket = int(np.searchsorted(HOST_BOUNDS_S, seconds, side="right"))
                self.of_buckets[bucket] = Exemplar(_labels(row), seconds, ended_ns / _NS_PER_S)


def _labels(row: dict[str, Any]) -> dict[str, str]:
    """The labels of a row of ``waits``; whom it waited behind only if there is room for that name."""
    labels = {name: str(row[name]) for name in ("tid", "comm", "cpu") if row[name] is not None}
    behind = {} if row["behind_comm"] is None else {"behind": row["behind_comm"]}
    for whole in (labels | behind, labels):
        if sum(len(name) + len(value) for name, value in whole.items()) <= _MOST_CHARACTERS:
            return whole
    return {"tid": labels["tid"]}
