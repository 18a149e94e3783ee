"""Chunks of events in, in the order that a tracer printed them; batches in the order of time out.

perf and ftrace merge the buffers of several CPUs, and sometimes print an event a little too late. So the events of the
last second before the newest one are held back and sorted together with the next chunk. Events of the same time stay in
the order of their lines.

Time never runs backwards for the state machine, or its sums would not add up. An event with a damaged time, far from
its neighbours, is left out; one that comes too late to be sorted happens at the newest time. Both are losses.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from schedtel.traces.events import EVENT, Kind, lost

#: How late a line may be, in the trace's time, and the most events that are held back for it.
_SLACK_NS = 1_000_000_000
_MOST_HELD = 1 << 18
#: An event so far from the one before it and the one after it, which are not, has a damaged time.
_DAMAGE_NS = 60_000_000_000


class InOrder:
    """Iterable of arrays of EVENT in the order of time, none of them empty.

    ``late`` counts events that came later than the slack allows, or whose time cannot be right. ``wakeups`` is the name
    of the event that wakeups are taken from, ``""`` as long as there has been none.
    """

    def __init__(self, chunks: Iterable[np.ndarray]) -> None:
        self._chunks = chunks
        self.late = 0
        self.wakeups = ""
        self._newest_ns = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        held = np.zeros(0, EVENT)
        for chunk in self._plausible():
            held = _sorted(np.concatenate([held, chunk]))
            ready = _ready(held)
            if ready:
                yield from self._release(held[:ready])
                held = held[ready:]
        if len(held):
            yield from self._release(held)

    def _release(self, events: np.ndarray) -> Iterator[np.ndarray]:
        late = int(np.searchsorted(events["time_ns"], np.uint64(self._newest_ns)))
        if late:
            events = self._at_newest(events, late)
        self._newest_ns = int(events["time_ns"][-1])
        events = self._with_wakeups(events)
        if len(events):
            yield events

    def _at_newest(self, events: np.ndarray, late: int) -> np.ndarray:
        """Move events that came too late to the newest time, and put a LOST event before them that counts them."""
        events = events.copy()
        events["time_ns"][:late] = self._newest_ns
        own = int(np.count_nonzero(events["kind"][:late] != Kind.LOST))
        self.late += own
        return np.concatenate([lost(events[:1], own), events]) if own else events

    def _plausible(self) -> Iterator[np.ndarray]:
        """Yield the chunks with each event whose time is damaged as a LOST event; the last event comes a chunk late."""
        before = last = np.zeros(0, EVENT)
        for chunk in self._chunks:
            checked = self._without_damage(np.concatenate([before, last, chunk]), first=not len(before))
            yield checked[len(before) : -1]
            before, last = checked[-2:-1], checked[-1:]
        yield last

    def _without_damage(self, events: np.ndarray, *, first: bool) -> np.ndarray:
        """Turn an event whose time is a minute from those of its neighbours, who agree, into LOST at their time.

        :param first: whether the first of the events is the trace's first, which has no neighbour before it.
        """
        times = events["time_ns"].astype(np.int64)
        if len(times) < 3:
            return events
        before = np.concatenate([times[1:2] if first else times[:1], times[:-2]])
        own, after = times[:-1], times[1:]
        apart = np.minimum(np.abs(own - before), np.abs(own - after)) > _DAMAGE_NS
        begins_gap = (events["kind"][:-1] == Kind.LOST) & (events["argument"][:-1] == 0)
        wrong = np.flatnonzero(apart & (np.abs(after - before) <= _DAMAGE_NS) & ~begins_gap)
        if not len(wrong):
            return events
        self.late += len(wrong)
        counts = np.where(events["kind"][wrong] == Kind.LOST, events["argument"][wrong], 1)
        events = events.copy()
        events[wrong] = np.zeros((), EVENT)
        events["time_ns"][wrong], events["kind"][wrong], events["argument"][wrong] = before[wrong], Kind.LOST, counts
        return events

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
