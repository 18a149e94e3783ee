"""Pieces of events in; those of the last seconds, whole and by themselves, out. It is bounded in time and in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from schedtel.eventlog.books import BookDecoder
from schedtel.eventlog.decode import Gap
from schedtel.eventlog.tracing import Decoder, Pieces
from schedtel.records import book_layout
from schedtel.records import event_layout as raw
from schedtel.records.event_layout import LIFE_EVENT

#: A thread has switches for a moment after its exit, and its name is still asked for.
_AFTER_EXIT_NS = 1_000_000_000
#: Life events that leave the ring are gathered up to this number before it is worked out who is alive.
_MOST_GATHERED = 4096
#: What Python takes for pieces, and for each array in them, beside the events: about so much.
_PIECES_BYTES, _ARRAY_BYTES = 1024, 256


@dataclass(frozen=True)
class _Stream:
    """What pieces have by CPU, each in the order of time: the name there; when records were; how many were lost before
    each, 0 for one that tells of no loss; and the cause of these losses.
    """

    name: str
    times: Callable[[np.ndarray], np.ndarray]
    losses: Callable[[np.ndarray], np.ndarray]
    cause: str

    def of(self, pieces: Pieces) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = getattr(pieces, self.name)
        return found


_STREAMS = (
    _Stream(
        "events", raw.times, lambda events: np.where(raw.kinds(events) == raw.LOST, events["body"], 0), "ring_full"
    ),
    _Stream(
        "books",
        book_layout.times,
        lambda books: np.where(book_layout.roles(books) == book_layout.LOST, books["entity"], 0),
        "books_full",
    ),
)


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
        #: Of each stream: CPU → when the last record was that is gone.
        self._last_ns: dict[str, dict[int, int]] = {stream.name: {} for stream in _STREAMS}
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
        """Take the oldest events and books out of pieces that memory has no room for."""
        self.is_cut = True
        times, sizes = _times_and_sizes(pieces)
        newest_first = np.argsort(times, kind="stable")[::-1]
        room = self._most_bytes - (_size(pieces) - int(sizes.sum()))
        kept = int(np.searchsorted(np.cumsum(sizes[newest_first]), room, side="right"))
        if kept == len(times):
            return
        self._begin_ns = int(times[newest_first[kept]]) + 1
        for stream in _STREAMS:
            for cpu, records in stream.of(pieces).items():
                at = int(np.searchsorted(stream.times(records), self._begin_ns))
                self._note_last(stream, cpu, records[:at])
                stream.of(pieces)[cpu] = records[at:].copy()  # a view would keep the memory of all

    def _is_too_large(self) -> bool:
        if self._size <= self._most_bytes:
            return False
        self.is_cut = True
        return True

    def _forget(self, held: _Held) -> None:
        self._size -= held.size
        self._begin_ns = max(self._begin_ns, held.taken_ns)
        for stream in _STREAMS:
            for cpu, records in stream.of(held.pieces).items():
                self._note_last(stream, cpu, records)
        self._threads.add(held.pieces.lives, held.taken_ns)

    def _note_last(self, stream: _Stream, cpu: int, gone: np.ndarray) -> None:
        """Keep in mind when the last of a CPU's records was that are gone."""
        if len(gone):
            last_ns = self._last_ns[stream.name]
            last_ns[cpu] = max(last_ns.get(cpu, 0), int(stream.times(gone[-1:])[0]))

    def snapshot(self, end_ns: int | None = None) -> Snapshot:
        """What the ring holds. The ring goes on; the two share arrays, since nothing writes to them.

        :param end_ns: a moment until which nothing is missing; by default the last one.
        """
        end_ns = self._end_ns if end_ns is None else end_ns
        begin_ns = max(self._begin_ns, end_ns - self._span_ns)
        return Snapshot(
            begin_ns,
            max(begin_ns, end_ns),
            deque(held.pieces for held in self._held),
            Decoder(self._start_ns, self._last_ns["events"], self._last_ns["books"]),
            self._threads.alive(begin_ns, [held.pieces.lives for held in self._held]),
        )


class Snapshot:
    """Iterating yields the pieces from ``begin_ns`` to ``end_ns``, and lets go of each. ``decoder`` is for them.

    The first piece tells which threads there are at the begin. A loss that reaches over one of the ends is told whole.

    ``ended`` has CPU and cause of losses of which nothing is left to be told: there is a record behind the end.

    :param alive: life events, shape (n,) of LIFE_EVENT.
    """

    def __init__(self, begin_ns: int, end_ns: int, pieces: deque[Pieces], decoder: Decoder, alive: np.ndarray) -> None:
        self.begin_ns, self.end_ns, self.decoder = begin_ns, end_ns, decoder
        self._pieces, self._alive = pieces, alive
        self.ended: set[tuple[int | None, str]] = set()
        #: Stream and CPU → when the last record of the pieces so far was.
        self._last_ns: dict[tuple[str, int], int] = {}

    @property
    def span_ns(self) -> int:
        """How long it is."""
        return self.end_ns - self.begin_ns

    def __iter__(self) -> Iterator[Pieces]:
        yield Pieces({}, self._alive)
        while self._pieces:
            yield self._cut(self._pieces.popleft())

    def _cut(self, pieces: Pieces) -> Pieces:
        cut = Pieces({}, self._within(pieces.lives), list(filter(self._reaches_into, pieces.gaps)))
        for stream in _STREAMS:
            for cpu, records in stream.of(pieces).items():
                times = stream.times(records)
                first, last = np.searchsorted(times, (self.begin_ns, self.end_ns + 1)).tolist()
                if first:
                    self._decoder_of(stream).begin_after(cpu, int(times[first - 1]))
                stream.of(cut)[cpu] = records[first:last]
                if last < len(records):
                    cut.gaps += self._lost_over_the_end(stream, cpu, records, last)
                elif len(records):
                    self._last_ns[stream.name, cpu] = int(times[-1])
        return cut

    def _lost_over_the_end(self, stream: _Stream, cpu: int, records: np.ndarray, end: int) -> list[Gap]:
        """The losses that a CPU's first record behind the end tells of. Some of them were before it."""
        if (cpu, stream.cause) in self.ended:
            return []
        self.ended.add((cpu, stream.cause))
        lost = int(stream.losses(records[end : end + 1])[0])
        times = stream.times(records[max(0, end - 1) : end + 1])
        last_ns = self._last_ns.get((stream.name, cpu), self._decoder_of(stream).last_ns(cpu))
        return [Gap(cpu, int(times[0]) if end else last_ns, int(times[-1]), lost, stream.cause)] if lost else []

    def _within(self, lives: np.ndarray) -> np.ndarray:
        times = _times(lives)
        return lives[(times >= self.begin_ns) & (times <= self.end_ns)]

    def _reaches_into(self, gap: Gap) -> bool:
        return gap.to_ns > self.begin_ns and gap.from_ns < self.end_ns

    def _decoder_of(self, stream: _Stream) -> Decoder | BookDecoder:
        return self.decoder if stream.name == "events" else self.decoder.books


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
    arrays = [*pieces.events.values(), *pieces.books.values(), pieces.lives]
    return _PIECES_BYTES + sum(_ARRAY_BYTES + array.nbytes for array in arrays)


def _times_and_sizes(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """Of all events and books: when they were, and how many bytes each takes."""
    parts = [(stream.times(each), each.itemsize) for stream in _STREAMS for each in stream.of(pieces).values()]
    times = np.concatenate([np.zeros(0, np.int64), *(own for own, _ in parts)])
    return times, np.repeat(np.array([size for _, size in parts], np.int64), [len(own) for own, _ in parts])
