"""Pieces of events in; those of the last seconds, whole and by themselves, out. It is bounded in time and in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from schedtel.eventlog.decode import Gap
from schedtel.eventlog.tracing import Decoder, Pieces
from schedtel.records import event_layout as raw
from schedtel.records.event_layout import EVENT, LIFE_EVENT

#: A thread has switches for a moment after its exit, and its name is still asked for.
_AFTER_EXIT_NS = 1_000_000_000
#: Life events that leave the ring are gathered up to this number before it is worked out who is alive.
_MOST_GATHERED = 4096
#: What Python takes for pieces, and for each array in them, beside the events: about so much.
_PIECES_BYTES, _ARRAY_BYTES = 1024, 256


@dataclass(frozen=True)
class _Held:
    """Pieces, the time at which they were taken, and the memory they take. None of their events is later."""

    taken_ns: int
    pieces: Pieces
    size: int


class EventRing:
    """Holds the pieces of the last ``span_ns`` nanoseconds, and less where they would take more than ``most_bytes``.

    :param start_ns: when tracing began.
    """

    def __init__(self, span_ns: int, most_bytes: int, start_ns: int) -> None:
        self._span_ns, self._most_bytes, self._start_ns = span_ns, most_bytes, start_ns
        self._held: deque[_Held] = deque()
        self._size = 0
        #: Whether memory has made the span shorter.
        self.is_cut = False
        #: Nothing is missing from the one to the other.
        self._begin_ns = self._end_ns = start_ns
        self._last_ns: dict[int, int] = {}
        self._threads = _Threads()

    def add(self, pieces: Pieces, taken_ns: int, copied_ns: int) -> None:
        """Add what was taken right now; the oldest pieces go.

        :param taken_ns: now.
        :param copied_ns: a moment until which nothing is missing in the pieces.
        """
        if _size(pieces) > self._most_bytes:  # the collector stood still for long
            self._trim(pieces)
        held = _Held(taken_ns, pieces, _size(pieces))
        self._held.append(held)
        self._size += held.size
        self._end_ns = max(self._end_ns, copied_ns)
        while self._held and (self._held[0].taken_ns <= self._end_ns - self._span_ns or self._is_too_large()):
            self._forget(self._held.popleft())

    def _trim(self, pieces: Pieces) -> None:
        """Take the oldest events out of pieces that memory has no room for."""
        self.is_cut = True
        times = np.concatenate([np.zeros(0, np.int64), *map(raw.times, pieces.events.values())])
        room = self._most_bytes - (_size(pieces) - len(times) * EVENT.itemsize)
        gone = len(times) - max(0, room) // EVENT.itemsize
        if not 0 < gone <= len(times):
            return
        self._begin_ns = int(np.partition(times, gone - 1)[gone - 1]) + 1
        for cpu, events in pieces.events.items():
            at = int(np.searchsorted(raw.times(events), self._begin_ns))
            self._note_last(cpu, events[:at])
            pieces.events[cpu] = events[at:].copy()  # a view would keep the memory of all

    def _is_too_large(self) -> bool:
        if self._size <= self._most_bytes:
            return False
        self.is_cut = True
        return True

    def _forget(self, held: _Held) -> None:
        self._size -= held.size
        self._begin_ns = max(self._begin_ns, held.taken_ns)
        for cpu, events in held.pieces.events.items():
            self._note_last(cpu, events)
        self._threads.add(held.pieces.lives, held.taken_ns)

    def _note_last(self, cpu: int, gone: np.ndarray) -> None:
        """Keep in mind when the last of a CPU's events was that are gone."""
        if len(gone):
            self._last_ns[cpu] = max(self._last_ns.get(cpu, 0), int(raw.times(gone[-1:])[0]))

    def snapshot(self) -> Snapshot:
        """What the ring holds. The ring goes on; the two share arrays, since nothing writes to them."""
        begin_ns = max(self._begin_ns, self._end_ns - self._span_ns)
        return Snapshot(
            begin_ns,
            max(begin_ns, self._end_ns),
            deque(held.pieces for held in self._held),
            Decoder(self._start_ns, self._last_ns),
            self._threads.alive(begin_ns, [held.pieces.lives for held in self._held]),
        )


class Snapshot:
    """Iterating yields the pieces from ``begin_ns`` to ``end_ns``, and lets go of each. ``decoder`` is for them.

    The first piece tells which threads there are at the begin. A loss that reaches over one of the ends is told whole.

    :param alive: life events, shape (n,) of LIFE_EVENT.
    """

    def __init__(self, begin_ns: int, end_ns: int, pieces: deque[Pieces], decoder: Decoder, alive: np.ndarray) -> None:
        self.begin_ns, self.end_ns, self.decoder = begin_ns, end_ns, decoder
        self._pieces, self._alive = pieces, alive

    @property
    def span_ns(self) -> int:
        """How long it is."""
        return self.end_ns - self.begin_ns

    def __iter__(self) -> Iterator[Pieces]:
        yield Pieces({}, self._alive)
        while self._pieces:
            yield self._cut(self._pieces.popleft())

    def _cut(self, pieces: Pieces) -> Pieces:
        gaps = [gap for gap in pieces.gaps if gap.to_ns > self.begin_ns and gap.from_ns < self.end_ns]
        events = {}
        for cpu, own in pieces.events.items():
            times = raw.times(own)
            first, last = np.searchsorted(times, (self.begin_ns, self.end_ns + 1)).tolist()
            if first:
                self.decoder.begin_after(cpu, int(times[first - 1]))
            events[cpu] = own[first:last]
            gaps += _losses_behind(cpu, own, last)
        times = _times(pieces.lives)
        return Pieces(events, pieces.lives[(times >= self.begin_ns) & (times <= self.end_ns)], gaps)


def _losses_behind(cpu: int, events: np.ndarray, end: int) -> list[Gap]:
    """What the events behind a snapshot's end tell of losses, some of which were before it."""
    times = raw.times(events)
    told = end + np.flatnonzero(raw.kinds(events[end:]) == raw.LOST)
    return [
        Gap(cpu, int(times[max(0, at - 1)]), int(times[at]), int(events["body"][at]), "ring_full")
        for at in told.tolist()
    ]


class _Threads:
    """Which threads there are, by the life events that have left the ring."""

    def __init__(self) -> None:
        self._known = np.zeros(0, LIFE_EVENT)
        self._gathered: list[np.ndarray] = []

    def add(self, lives: np.ndarray, now_ns: int) -> None:
        if len(lives):
            self._gathered.append(lives)
        if sum(map(len, self._gathered)) > _MOST_GATHERED:
            self._work_out(now_ns)

    def _work_out(self, now_ns: int) -> None:
        """Keep the last that is known of each thread, but for those that are gone."""
        told = np.concatenate([self._known, *self._gathered])
        self._gathered = []
        # An exec by a thread that was not the leader gives it the leader's tid, and its own is free.
        moved = told[(told["kind"] == raw.EXEC) & (told["other"] != told["tid"]) & (told["other"] != 0)]
        moved["tid"], moved["kind"] = moved["other"], raw.EXIT
        told = np.concatenate([told, moved])
        latest_first = told[np.argsort(told["time_ns"], kind="stable")[::-1]]
        _, places = np.unique(latest_first["tid"], return_index=True)
        last = latest_first[places]
        self._known = last[(last["kind"] != raw.EXIT) | (_times(last) > now_ns - _AFTER_EXIT_NS)]

    def alive(self, begin_ns: int, still_held: list[np.ndarray]) -> np.ndarray:
        """The threads as life events of the kind that tells who was there at the begin.

        :param still_held: life events that have not left the ring; those before the begin count.
        """
        self._gathered += [lives[_times(lives) < begin_ns] for lives in still_held]
        self._work_out(begin_ns)
        found = self._known.copy()
        found["time_ns"], found["kind"] = begin_ns, raw.ALIVE
        return found


def _times(lives: np.ndarray) -> np.ndarray:
    return lives["time_ns"].astype(np.int64)


def _size(pieces: Pieces) -> int:
    arrays = [*pieces.events.values(), pieces.lives]
    return _PIECES_BYTES + sum(_ARRAY_BYTES + array.nbytes for array in arrays)
