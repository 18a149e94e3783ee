"""Chunks of events in, in the order that a tracer printed them; batches in the order of time out.

perf and ftrace merge the buffers of several CPUs, and sometimes print an event a little too late. So the events of the
last second before the newest one are held back and sorted together with the next chunk. Events of the same time stay in
the order of their lines.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from schedtel.traces.events import EVENT, Kind

#: How late a line may be, in the trace's time, and the most events that are held back for it.
_SLACK_NS = 1_000_000_000
_MOST_HELD = 1 << 18


class InOrder:
    """Iterable of arrays of EVENT in the order of time, none of them empty.

    ``late`` counts events that came later than the slack allows; they stay at the place where they came. ``wakeups`` is
    the name of the event that wakeups are taken from, ``""`` as long as there has been none.
    """

    def __init__(self, chunks: Iterable[np.ndarray]) -> None:
        self._chunks = chunks
        self.late = 0
        self.wakeups = ""
        self._newest_ns = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        held = np.zeros(0, EVENT)
        for chunk in self._chunks:
            held = _sorted(np.concatenate([held, chunk]))
            ready = _ready(held)
            if ready:
                yield from self._release(held[:ready])
                held = held[ready:]
        if len(held):
            yield from self._release(held)

    def _release(self, events: np.ndarray) -> Iterator[np.ndarray]:
        self.late += int(np.count_nonzero(events["time_ns"] < self._newest_ns))
        self._newest_ns = max(self._newest_ns, int(events["time_ns"][-1]))
        events = self._with_wakeups(events)
        if len(events):
            yield events

    def _with_wakeups(self, events: np.ndarray) -> np.ndarray:
        """Turn sched_waking into wakeups if the trace has no sched_wakeup; else leave it out.

        sched_waking comes a little earlier for the same wakeup. `perf sched record` records it alone. A trace with both
        has both among its first events.
        """
        waking = events["kind"] == Kind.WAKING
        if (events["kind"] == Kind.WAKEUP).any():
            self.wakeups = "sched_wakeup"
        elif waking.any() and not self.wakeups:
            self.wakeups = "sched_waking"
        if self.wakeups != "sched_waking":
            return events[~waking]
        events = events.copy()
        events["kind"][waking] = Kind.WAKEUP
        return events


def _ready(held: np.ndarray) -> int:
    """Number of held events to release: those older than the slack, or half of them if there are too many."""
    if not len(held):
        return 0
    horizon = max(0, int(held["time_ns"][-1]) - _SLACK_NS)
    old = int(np.searchsorted(held["time_ns"], np.uint64(horizon)))
    return max(old, len(held) // 2 if len(held) > _MOST_HELD else 0)


def _sorted(events: np.ndarray) -> np.ndarray:
    times = events["time_ns"]
    return events if (times[1:] >= times[:-1]).all() else events[np.argsort(times, kind="stable")]
