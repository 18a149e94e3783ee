"""Many URIs in; the windows of all of them out, with the gaps between. Lost connections are made again."""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from schedtel.errors import SchedtelError, StreamError
from schedtel.flight.assembly import UntrustedError
from schedtel.flight.client import Subscription, is_permanent
from schedtel.flight.slices import size_of
from schedtel.flight.wire import END, Request
from schedtel.latch import Latch
from schedtel.windows.gaps import Gap, wall_end, wall_start
from schedtel.windows.validation import MOST_BYTES
from schedtel.windows.window import Window

_log = logging.getLogger(__name__)
#: Most windows that wait to be written, and together they have at most the bytes of the largest one that is taken. A
#: longer queue would hide a slow disk from the servers.
_AHEAD = 16
#: How often a waiting thread checks whether it must stop.
_LOOK_S = 0.2
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 30.0


@dataclass(frozen=True)
class Delivery:
    """A window, the URI and run it is from, the server's facts, and the gap before the window if there is one."""

    uri: str
    run: str
    window: Window
    facts: Mapping[str, str]
    gap: Gap | None = None


@dataclass(frozen=True)
class Outage:
    """Why a URI delivers nothing for now; if ``final``, it is not tried again."""

    uri: str
    error: SchedtelError
    final: bool


class Collection:
    """Iterable over several servers: a :class:`Delivery` for each window, an :class:`Outage` for each outage.

    It ends when every run is over (a recording's end, a ``--count`` reached) or has a final outage, or by :meth:`stop`.
    A server that stops or vanishes is tried again after 0.5 s, 1 s … 30 s. Each delay is randomized by up to a half, so
    that the collectors of a fleet do not come back all at once. A new connection continues after the last window
    received if the server still keeps the next one.

    :param subscribe: makes a subscription from a URI and a request.
    """

    def __init__(self, uris: Sequence[str], subscribe: Callable[[str, Request], Subscription]) -> None:
        self._subscribe = subscribe
        self._arrived: queue.Queue[Delivery | Outage] = queue.Queue(_AHEAD)
        self._stopped = Latch()
        self._waiting_bytes, self._sizes = 0, threading.Lock()
        self._open: dict[str, Subscription] = {}
        self._threads = [threading.Thread(target=self._follow, args=(uri,), daemon=True) for uri in dict.fromkeys(uris)]

    def __iter__(self) -> Iterator[Delivery | Outage]:
        for thread in self._threads:
            thread.start()
        while not self._stopped.is_set():
            busy = any(thread.is_alive() for thread in self._threads)
            with contextlib.suppress(queue.Empty):
                news = self._arrived.get(timeout=_LOOK_S)
                self._make_room(news)
                yield news
                continue
            if not busy:
                return

    def stop(self) -> None:
        """End the iteration. Safe in a signal handler."""
        self._stopped.set()

    def close(self) -> None:
        """End all subscriptions and wait for their threads."""
        self._stopped.set()
        while any(thread.is_alive() for thread in self._threads):
            for subscription in list(self._open.values()):
                subscription.stop()
            self._threads[0].join(_LOOK_S)
            self._threads = [thread for thread in self._threads if thread.is_alive()] or self._threads

    def _follow(self, uri: str) -> None:
        """In a thread of its own: follow one server through all its outages."""
        server, delay = _ServerState(uri), _FIRST_DELAY_S
        while not self._stopped.is_set():
            seen = server.seen
            error = self._until_lost(server)
            if error is None:
                return
            final = is_permanent(error)
            if final or server.seen != seen or delay == _FIRST_DELAY_S:
                delay = _FIRST_DELAY_S
                self._put(Outage(uri, error, final))
            if final:
                return
            self._stopped.wait(delay * random.uniform(0.5, 1.5))
            delay = min(2 * delay, _LONGEST_DELAY_S)

    def _until_lost(self, server: _ServerState) -> SchedtelError | None:
        """Pass a server's windows on until its stream ends; return why it ended, None at the end of the run."""
        try:
            with self._subscribe(server.uri, server.request()) as subscription:
                self._open[server.uri] = subscription
                server.begin(subscription.metadata.get("run", ""))
                _log.info("connected to %s, run %s", server.uri, server.run)
                for window in subscription:
                    self._put(server.arrival(subscription, window))
            return None if subscription.ended == END else StreamError(f"lost {server.uri}: the server has stopped")
        except SchedtelError as error:
            return error
        except Exception as error:  # noqa: BLE001  (it is this server's alone: the others go on)
            _log.debug("error of %s", server.uri, exc_info=True)
            return UntrustedError(f"lost {server.uri}: {type(error).__name__} by what it sent (report this)")
        finally:
            self._open.pop(server.uri, None)

    def _put(self, news: Delivery | Outage) -> None:
        while not self._stopped.is_set():
            if not self._has_room(news):
                self._stopped.wait(_LOOK_S)
                continue
            with contextlib.suppress(queue.Full):
                self._arrived.put(news, timeout=_LOOK_S)
                return
            self._make_room(news)

    def _has_room(self, news: Delivery | Outage) -> bool:
        """Whether news may wait for the caller too; if so, its bytes are counted. One window always may."""
        size = _bytes_of(news)
        with self._sizes:
            if self._waiting_bytes and self._waiting_bytes + size > MOST_BYTES:
                return False
            self._waiting_bytes += size
            return True

    def _make_room(self, news: Delivery | Outage) -> None:
        with self._sizes:
            self._waiting_bytes -= _bytes_of(news)


def _bytes_of(news: Delivery | Outage) -> int:
    return size_of(news.window) if isinstance(news, Delivery) else 0


class _ServerState:
    """The state of a server that is kept from one connection to the next."""

    def __init__(self, uri: str) -> None:
        self.uri, self.run = uri, ""
        self.seen = self.sequence = 0
        self._last: Window | None = None
        self._cause = "slow"

    def request(self) -> Request:
        """A request for the windows after the last one received; all that the server keeps if its run is a new one."""
        return Request(start="history", run=self.run, after=self.sequence)

    def begin(self, run: str) -> None:
        """Note a new connection, which is the cause of any gap before the next window."""
        self._cause = "disconnected" if run == self.run else "restarted"
        self.run = run

    def arrival(self, subscription: Subscription, window: Window) -> Delivery:
        cause, self._cause = self._cause, "slow"
        last, self._last = self._last, window
        self.sequence, self.seen = subscription.sequence, self.seen + 1
        missed = None if cause == "restarted" else subscription.gap_before
        if last is None or missed == 0:
            return Delivery(self.uri, self.run, window, subscription.metadata)
        between = (last.window_id, window.window_id, missed, wall_end(last), wall_start(window))
        gap = Gap(self.uri, cause, self.run, *between)
        counted = "an unknown number" if missed is None else missed
        _log.warning("gap in %s before window %d: %s, %s missed", self.uri, window.window_id, cause, counted)
        return Delivery(self.uri, self.run, window, subscription.metadata, gap)
