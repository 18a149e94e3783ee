"""Windows of a source in; the next event for each subscriber out. Here a slow subscriber is thinned or dropped.

All subscribers share one history, bounded in windows and bytes, and each has a cursor into it. Publishing is an append,
whatever the number and the speed of the subscribers, and no subscriber needs window memory of its own. A subscriber
whose cursor falls off the old end of the history has missed windows. With the policy ``thin`` it continues with the
newest window and is told how many it missed; with ``drop`` its stream ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from schedtel.access.places import OWN, holders
from schedtel.errors import StreamError, UsageError
from schedtel.flight.slices import size_of
from schedtel.flight.sockets import endpoint_of
from schedtel.flight.wire import ALIVE, END, STOP, WINDOW, Event, Request
from schedtel.windows.runs import new_run
from schedtel.windows.source import Source
from schedtel.windows.window import Window

_log = logging.getLogger(__name__)
POLICIES = ("thin", "drop")
#: Longest silence on a stream: an event is sent at least this often, so that either side notices a vanished peer.
HEARTBEAT_S = 5.0
#: How often a waiting stream checks whether its subscriber is still connected.
_LOOK_S = 0.5


@dataclass
class Subscriber:
    """A subscriber and its position.

    ``cursor``: sequence number of the window it got last. ``busy_since``: CLOCK_MONOTONIC, in seconds, since which it
    has been taking an event; None while it waits for one.
    """

    peer: str
    cursor: int = 0
    busy_since: float | None = None
    windows: int = 0
    windows_missed: int = 0


class Subscribers:
    """The subscribers of a server, at most ``limit`` at a time.

    ``ever`` counts all that have joined; ``windows_missed`` sums the misses of those that have left.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._changed = limit, threading.Condition()
        self._present: dict[int, Subscriber] = {}
        self._waiting = 0
        self.ever = 0
        self.windows_missed = 0

    def join(self, peer: str) -> Subscriber:
        """Add a subscriber. Raises :class:`StreamError` if it has no place and none becomes free within a second.

        Half of the places are the most that one peer gets: an address, or another user of this machine.
        """
        with self._changed:
            self._wait_for_place(peer)
            self.ever += 1
            subscriber = Subscriber(peer)
            self._present[id(subscriber)] = subscriber
            _log.info("%s joined (%d present)", peer, len(self._present))
            return subscriber

    def _wait_for_place(self, peer: str) -> None:
        waiting, self._waiting = self._waiting, self._waiting + 1
        try:
            # Each that waits holds a thread of gRPC's, so only as many wait as may be served.
            patience_s = 2 * _LOOK_S if waiting < self._limit else 0
            if not self._changed.wait_for(lambda: not self._why_not(peer), patience_s):
                _log.warning("%s refused: %s", peer, self._why_not(peer))
                raise StreamError(f"{self._why_not(peer)} (serve with more --max-subscribers)")
        finally:
            self._waiting -= 1

    def _why_not(self, peer: str) -> str:
        """Why a peer has no place now; empty if it has one."""
        if len(self._present) >= self._limit:
            return f"{self._limit} subscribers are served already"
        share = max(1, self._limit // 2)
        if len(self._present) < share:
            return ""
        asking = endpoint_of(peer)
        present = [endpoint_of(subscriber.peer) for subscriber in self._present.values()]
        holder_of = holders([asking, *present])
        holder = holder_of[asking]
        full = holder != OWN and sum(holder_of[other] == holder for other in present) >= share
        return f"{share} subscribers of {holder} are served already" if full else ""

    def leave(self, subscriber: Subscriber) -> None:
        with self._changed:
            if self._present.pop(id(subscriber), None):
                self.windows_missed += subscriber.windows_missed
                self._changed.notify()
                took, present = (subscriber.windows, subscriber.windows_missed), len(self._present)
                _log.info("%s left after %d windows, %d missed (%d present)", subscriber.peer, *took, present)

    def present(self) -> list[Subscriber]:
        with self._changed:
            return list(self._present.values())


class Feed:
    """Events for subscribers. ``facts``: what a reader must know to trust the numbers. ``run``: name of this feed."""

    def __init__(self, facts: Mapping[str, str]) -> None:
        self.run = new_run()
        self.facts = {**facts, "run": self.run}

    def events(self, request: Request, subscriber: Subscriber, gone: Callable[[], bool]) -> Iterator[Event]:
        """Yield the events for a subscriber, until the feed ends or ``gone()`` says that the subscriber has left."""
        raise NotImplementedError

    def stop(self) -> None:
        """End all streams, because the server stops."""


class LiveFeed(Feed):
    """Windows as they are published, with a short history.

    :param history: number of windows kept.
    :param history_bytes: number of bytes kept; the newest window is kept even if it is larger.
    :param slow: policy for slow subscribers, ``thin`` or ``drop``.
    """

    def __init__(
        self, facts: Mapping[str, str], history: int = 60, history_bytes: int = 64 << 20, slow: str = "thin"
    ) -> None:
        super().__init__(facts)
        if history < 1:
            raise UsageError(f"cannot remember {history} windows: it must be at least 1")
        if slow not in POLICIES:
            raise UsageError(f"cannot treat slow subscribers by {slow!r}: use {' or '.join(POLICIES)}")
        self._limit, self._limit_bytes, self.slow = history, history_bytes, slow
        self._changed = threading.Condition()
        self._windows: deque[Window] = deque()
        self._bytes = 0
        self._newest = 0
        self._over = ""

    def publish(self, window: Window) -> None:
        """Append the next window. Never waits for a subscriber."""
        with self._changed:
            self._windows.append(window)
            self._bytes += size_of(window)
            self._newest += 1
            while len(self._windows) > max(1, self._limit) or (
                self._bytes > self._limit_bytes and len(self._windows) > 1
            ):
                self._bytes -= size_of(self._windows.popleft())
            self._changed.notify_all()

    def end(self, kind: str = END) -> None:
        """End the feed: each subscriber gets the windows it has not had yet, and then an event of this kind."""
        with self._changed:
            self._over = self._over or kind
            self._changed.notify_all()

    def stop(self) -> None:
        self.end(STOP)

    @property
    def oldest(self) -> int:
        """Sequence number of the oldest window kept."""
        return self._newest - len(self._windows) + 1

    def has_lost(self, subscriber: Subscriber) -> bool:
        """Whether the window that a subscriber would get next is no longer kept."""
        return subscriber.cursor + 1 < self.oldest

    def events(self, request: Request, subscriber: Subscriber, gone: Callable[[], bool]) -> Iterator[Event]:
        missed = self._begin(request, subscriber)
        while not gone():
            try:
                event = self._next(subscriber, missed, gone)
            except StreamError as error:
                _log.warning("%s is dropped: %s", subscriber.peer, error)
                raise
            if event is None:
                return
            # Logged here and not in _catch_up(), which runs under the lock that publish() takes. Logged once: leave()
            # logs the sum.
            if event.windows_missed and not subscriber.windows_missed:
                _log.warning("%s begins to miss windows: %d", subscriber.peer, event.windows_missed)
            missed = 0 if event.kind == WINDOW else missed
            subscriber.windows += event.kind == WINDOW
            subscriber.windows_missed += event.windows_missed
            subscriber.busy_since = time.monotonic()
            yield event
            subscriber.busy_since = None
            if event.kind in (END, STOP):
                return

    def _begin(self, request: Request, subscriber: Subscriber) -> int:
        """Put the cursor before the first requested window; return how many requested windows are no longer kept."""
        with self._changed:
            if request.run == self.run:
                after = min(request.after, self._newest)
                subscriber.cursor = max(after, self.oldest - 1)
                return subscriber.cursor - after
            subscriber.cursor = self._newest if request.start == "now" else self.oldest - 1
            return 0

    def _next(self, subscriber: Subscriber, missed: int, gone: Callable[[], bool]) -> Event | None:
        began = time.monotonic()
        with self._changed:
            while subscriber.cursor >= self._newest and not self._over and not gone():
                self._changed.wait(_LOOK_S)
                if time.monotonic() - began >= HEARTBEAT_S:
                    return Event(ALIVE, subscriber.cursor)
            if subscriber.cursor >= self._newest:
                return Event(self._over, subscriber.cursor) if self._over else None
            missed += self._catch_up(subscriber)
            subscriber.cursor += 1
            return Event(WINDOW, subscriber.cursor, missed, self._windows[subscriber.cursor - self.oldest])

    def _catch_up(self, subscriber: Subscriber) -> int:
        """Move a cursor that fell off the history to before the newest window; return the number of windows missed.

        Raises :class:`StreamError`, which ends the stream, with the policy ``drop``.
        """
        if not self.has_lost(subscriber):
            return 0
        missed = self._newest - 1 - subscriber.cursor
        if self.slow == "drop":
            raise StreamError(f"too slow: {missed} windows missed (read faster, or serve with --slow thin)")
        subscriber.cursor += missed
        return missed


class ReplayFeed(Feed):
    """The windows of a recording from its beginning, for each subscriber at its own speed; none misses a window."""

    def __init__(self, facts: Mapping[str, str], recording: Source) -> None:
        super().__init__(facts)
        self._recording, self._stopped = recording, threading.Event()

    def events(self, request: Request, subscriber: Subscriber, gone: Callable[[], bool]) -> Iterator[Event]:
        after = request.after if request.run == self.run else 0
        for sequence, window in enumerate(self._recording, 1):
            if gone():
                return
            if self._stopped.is_set():
                yield Event(STOP, subscriber.cursor)
                return
            if sequence > after:
                subscriber.cursor = sequence
                subscriber.windows += 1
                yield Event(WINDOW, sequence, 0, window)
        yield Event(END, subscriber.cursor)

    def stop(self) -> None:
        self._stopped.set()
