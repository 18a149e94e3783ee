"""Chunks of events in, as tracers print them; batches in the order of time out.

perf and ftrace merge the buffers of several CPUs and are now and then wrong by a little. So what is newer than a second
before the newest event is held back, and sorted with what comes after it; ties stay in the order of the lines.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from schedtel.traces.events import EVENT, Kind

#: How far out of order a line may be, in the trace's time, and how many events are held back for that at most.
_SLACK_NS = 1_000_000_000
_MOST_HELD = 1 << 18


class InOrder:
    """Iterable of arrays of EVENT, none of which is empty.

    ``late`` counts events that were further out of order; they come where they are. ``wakeups`` names the event that
    stands for a wakeup, ``""`` where there has been none.
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
        """sched_waking tells a little earlier what sched_wakeup tells, and counts where there is no other.

        `perf sched record` asks for it alone. Where both are recorded, both are among the first events.
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
    """How many of the held events can go: those before the slack, or half where there are too many."""
    if not len(held):
        return 0
    horizon = max(0, int(held["time_ns"][-1]) - _SLACK_NS)
    old = int(np.searchsorted(held["time_ns"], np.uint64(horizon)))
    return max(old, len(held) // 2 if len(held) > _MOST_HELD else 0)


def _sorted(events: np.ndarray) -> np.ndarray:
    times = events["time_ns"]
    return events if (times[1:] >= times[:-1]).all() else events[np.argsort(times, kind="stable")]
