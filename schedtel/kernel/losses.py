"""Losses of one window at a time: the programs' counters, the kernel's totals and the collector's own finds in; counts
of each window out.

Every loss counts in the window in which it happened. A loss that may have happened in either of two windows counts in
both, so that no window claims to be exact that is not.
"""

from collections import Counter

import numpy as np

from schedtel.records import layout

#: Counters of ``struct losses`` → the loss counters of a window.
_NAMES = {
    "ring_dropped": "ring_dropped",
    "state_failed": "state_failed",
    "samples_discarded": "samples_discarded",
    "events_missed": "programs_skipped",
}


class LossCounts:
    """The losses that have not been reported yet.

    The collector keeps what it finds itself here: the programs raise the mapped counters by atomics, which an addition
    from here would overwrite.

    :param counters: the mapped counters, a record of ``layout.LOSSES``.
    :param skipped: runs of programs that the kernel has skipped so far, which belong to no window.
    """

    def __init__(self, counters: np.void, skipped: int) -> None:
        self._counters, self._skipped = counters, skipped
        self._taken = np.zeros((), layout.LOSSES)
        self._found: Counter[tuple[int, str]] = Counter()

    def add(self, name: str, count: int, *windows: int) -> None:
        """Count losses that happened in one of these windows, in each of them."""
        for window in windows:
            self._found[window, name] += count

    def skipped_up_to(self, total: int, *windows: int) -> None:
        """Count the runs skipped since the last call in each of these windows; ``total``: those since load."""
        self.add("programs_skipped", total - self._skipped, *windows)
        self._skipped = total

    def take(self, window: int) -> dict[str, int]:
        """The losses of a window by name, once it has been read and the next one is open."""
        half = window & 1
        counts = dict.fromkeys(_NAMES.values(), 0)
        for name, told in _NAMES.items():
            total = int(self._counters[name][half])
            counts[told] += total - int(self._taken[name][half]) + self._found.pop((window, told), 0)
            self._taken[name][half] = total
        return counts
