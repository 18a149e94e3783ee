"""Windows of a source in, what each subscriber gets next out. Here a slow subscriber is dropped or thinned.

There is one history for all, bounded in windows and bytes, and each subscriber is a cursor into it: publishing is an
append, however many subscribers there are and however slow, and none of them costs memory of its own. A cursor that
falls off the old end has missed windows. With the policy ``thin`` it goes on with the newest one and is told how many
it missed; with ``drop`` its stream ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from schedtel.errors import StreamError, UsageError
from schedtel.flight.wire import ALIVE, END, STOP, WINDOW, Event, Request
from schedtel.windows.runs import new_run
from schedtel.windows.schema import ARROW
from schedtel.windows.source import Source
from schedtel.windows.window import Window

_log = logging.getLogger(__name__)
POLICIES = ("thin", "drop")
#: A subscriber hears something at least so often, so that either side notices when the other has gone.
HEARTBEAT_S = 5.0
#: How often a subscriber that waits is asked whether it is still there.
_LOOK_S = 0.5


@dataclass
class Subscriber:
    """A subscriber: where it is in the history, and since when it has been busy taking what it was given."""

    peer: str
    cursor: int = 0
    busy_since: float | None = None
    windows: int = 0
    windows_missed: int = 0


class Subscribers:
    """The subscribers of a server, of whom there may be ``limit`` at a time."""

    def __init__(self, limit: int) -> None:
        self._limit, self._changed = limit, threading.Condition()
        self._present: dict[int, Subscriber] = {}
        self.ever = 0
        self.windows_missed = 0

    def join(self, peer: str) -> Subscriber:
        """Let one in. Raises :class:`StreamError` when there are too many, and none turns out to have gone."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._present) < self._limit, 2 * _LOOK_S):
                _log.warning("%s refused: %d subscribers are served already", peer, self._limit)
                raise StreamError(f"{self._limit} subscribers are served already (serve with more --max-subscribers)")
            self.ever += 1
            subscriber = Subscriber(peer)
            self._present[id(subscriber)] = subscriber
            _log.info("%s joined (%d present)", peer, len(self._present))
            return subscriber

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
    """Events for subscribers. ``facts`` is what they must know to trust the numbers; ``run`` names this feed."""

    def __init__(self, facts: Mapping[str, str]) -> None:
        self.run = new_run()
        self.facts = {**facts, "run": self.run}

    def events(self, request: Request, subscriber: Subscriber, gone: Callable[[], bool]) -> Iterator[Event]:
        """What a subscriber gets, until the end or until it has gone."""
        raise NotImplementedError

    def stop(self) -> None:
        """End all streams: the server leaves."""


class LiveFeed(Feed):
    """Windows as they are published, with a short history.

    :param history: how many windows are remembered.
    :param history_bytes: and how many bytes of them; at least one window is.
    :param slow: ``thin`` or ``drop``.
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
        """Add the next window. Never waits for a subscriber."""
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
        """Let the subscribers have what is left, and then the end."""
        with self._changed:
            self._over = self._over or kind
            self._changed.notify_all()

    def stop(self) -> None:
        self.end(STOP)

    @property
    def oldest(self) -> int:
        """Sequence number of the oldest window remembered."""
        return self._newest - len(self._windows) + 1

    def has_lost(self, subscriber: Subscriber) -> bool:
        """Whether the window that a subscriber would get next is no longer remembered."""
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
            # Not where it is found out: there the collector's lock is held. And once; the sum is told when it leaves.
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
        """Put the cursor before the first window asked for; returns how many of those are gone already."""
        with self._changed:
            if request.run == self.run:
                asked = min(request.after, self._newest)
                subscriber.cursor = max(asked, self.oldest - 1)
                return subscriber.cursor - asked
            subscriber.cursor = self._newest if request.start == "now" else self.oldest - 1
            return 0

    def _next(self, subscriber: Subscriber, missed: int, gone: Callable[[], bool]) -> Event | None:
        heard = time.monotonic()
        with self._changed:
            while subscriber.cursor >= self._newest and not self._over and not gone():
                self._changed.wait(_LOOK_S)
                if time.monotonic() - heard >= HEARTBEAT_S:
                    return Event(ALIVE, subscriber.cursor)
            if subscriber.cursor >= self._newest:
                return Event(self._over, subscriber.cursor) if self._over else None
            missed += self._catch_up(subscriber)
            subscriber.cursor += 1
            return Event(WINDOW, subscriber.cursor, missed, self._windows[subscriber.cursor - self.oldest])

    def _catch_up(self, subscriber: Subscriber) -> int:
        """Move a cursor that fell off the history to the newest window, or end its stream; returns what it missed."""
        if not self.has_lost(subscriber):
            return 0
        missed = self._newest - 1 - subscriber.cursor
        if self.slow == "drop":
            raise StreamError(f"too slow: {missed} windows missed (read faster, or serve with --slow thin)")
        subscriber.cursor += missed
        return missed


class ReplayFeed(Feed):
    """The windows of a recording, from its beginning, for each subscriber at its own speed: nobody misses any."""

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


def size_of(window: Window) -> int:
    """Bytes of a window's columns."""
    return int(sum(getattr(window, table).nbytes for table in ARROW))
