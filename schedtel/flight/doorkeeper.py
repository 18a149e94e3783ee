"""The connections of a Flight server in; those that may not stay are shut down.

gRPC accepts every connection and never ends one by itself: an idle one, or one in the middle of its TLS handshake,
would hold a descriptor for ever. So a thread looks at the server's sockets twice a second, and more often in a flood.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection

from schedtel.access.descriptors import raise_limit
from schedtel.access.places import Connection, holders, surplus
from schedtel.access.uri import Address
from schedtel.flight import sockets

_log = logging.getLogger(__name__)
#: Most connections of a server, proven or not, unless it has more subscribers than half as many.
MOST_CONNECTIONS = 512
#: A connection without an accepted call is shut down after this long, whatever it sends: a total, and not a silence.
UNPROVEN_S = 10.0
#: A connection without a stream is shut down this long after its last call. A client of gRPC connects again by itself.
IDLE_S = 600.0
_LOOK_S, _FLOOD_LOOK_S = 0.5, 0.2
#: The sockets of the collector and of its kernel side need descriptors as well.
_RESERVED = 256


class Doorkeeper:
    """Watches the connections of one server in a thread of its own, from :meth:`watch` until :meth:`close`.

    ``closed`` counts the connections that it has shut down, ``most`` is how many may stay.

    :param streaming: the peers that have a stream now, as Flight names them.
    """

    def __init__(self, most: int, streaming: Callable[[], Collection[str]]) -> None:
        self.most = max(16, min(most, raise_limit() - _RESERVED))
        self.closed = 0
        self._streaming = streaming
        self._seen: dict[int, Connection] = {}
        self._calls: dict[str, float] = {}
        self._told = False
        self._ending, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)

    def watch(self, address: Address, port: int) -> None:
        """Begin to watch the connections of the server at this address and port."""
        self._address, self._port = address, port
        self._thread.start()

    def admit(self, peer: str) -> None:
        """Note that a call of this peer, as Flight names it, has been accepted now."""
        self._calls[peer] = time.monotonic()

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        # The user who may open a Unix socket is the one who serves: such a peer can end the server anyway.
        while self._address.kind != "unix" and not self._ending.wait(self._pause()):
            with contextlib.suppress(OSError):  # gRPC closed a socket during the look; the next look is soon
                self.look()

    def _pause(self) -> float:
        return _FLOOD_LOOK_S if len(self._seen) > self.most // 2 else _LOOK_S

    def look(self) -> None:
        """Shut down the connections that have no place, or that have been unproven or idle for too long."""
        now, found = time.monotonic(), sockets.connections(self._address, self._port)
        self._seen = {inode: self._known(inode, name, now) for inode, name in found.items()}
        self._forget_calls(set(found.values()), now)
        late = {inode for inode, connection in self._seen.items() if self._is_late(connection, found[inode], now)}
        no_place = self._without_place([c for inode, c in self._seen.items() if inode not in late])
        ending = late | {inode for inode, connection in self._seen.items() if connection in no_place}
        if ending:
            self.closed += sockets.shut_down(ending)
            self._tell(len(no_place))

    def _known(self, inode: int, name: str, now: float) -> Connection:
        connection = self._seen.get(inode) or Connection(sockets.endpoint_of(name), now)
        connection.proven = connection.proven or name in self._calls
        return connection

    def _is_late(self, connection: Connection, name: str, now: float) -> bool:
        if not connection.proven:
            return now - connection.since > UNPROVEN_S
        return now - self._calls.get(name, now) > IDLE_S and name not in self._streaming()

    def _forget_calls(self, present: set[str], now: float) -> None:
        """Forget calls of connections that are gone, but not of one that was accepted during the look."""
        for name, called in list(self._calls.items()):
            if name not in present and now - called > UNPROVEN_S:
                self._calls.pop(name, None)

    def _without_place(self, connections: list[Connection]) -> set[Connection]:
        share = self.most // 2
        if len(connections) <= share:
            return set()
        of_peer = holders(c.peer for c in connections if c.holder is None)
        for connection in connections:
            connection.holder = of_peer[connection.peer] if connection.holder is None else connection.holder
        return set(surplus(connections, self.most, share))

    def _tell(self, without_place: int) -> None:
        """Log a flood once, and not each connection of it."""
        if without_place and not self._told:
            _log.warning("too many connections: %d were shut down (at most %d are served)", without_place, self.most)
        self._told = bool(without_place)
