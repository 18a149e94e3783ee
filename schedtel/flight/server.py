"""A feed in; an Arrow Flight server out. It checks tickets and tokens, and no subscriber can delay its end."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl

from schedtel.access.policy import check_serving
from schedtel.access.tls import Tls
from schedtel.access.uri import Address
from schedtel.closing import Closing
from schedtel.errors import SchedtelError, StreamError, UsageError
from schedtel.flight import sockets, wire
from schedtel.flight.doorkeeper import MOST_CONNECTIONS, Doorkeeper
from schedtel.flight.feeds import Feed, LiveFeed, Subscriber, Subscribers
from schedtel.flight.slices import slices
from schedtel.flight.sockets import prepare_socket
from schedtel.flight.token_check import TokenCheck
from schedtel.latch import Latch
from schedtel.windows.source import Source

_log = logging.getLogger(__name__)
#: With the policy `drop`: the server hangs up on a subscriber that has not taken an event for this long.
STALLED_S = 5.0
#: Longest body of an action, in bytes.
LARGEST_BODY = 1 << 20
#: How long the subscribers have for the remaining windows when the server ends.
_FAREWELL_S = 2.0


@dataclass(frozen=True)
class Action:
    """What a server does on demand: the body of a call in, that of its answer out.

    :param meaning: what it does, in a few words.
    :param do: called in any thread, with a body of at most :data:`LARGEST_BODY` bytes.
    """

    meaning: str
    do: Callable[[bytes], bytes]


class Server(Closing):
    """A running server. Made by :func:`schedtel.serve`; also a context manager.

    ``uri`` is the address it listens on, with the port that the kernel chose if the caller gave port 0.

    :param source: of a live feed, whose windows :meth:`run` publishes.
    :param actions: name → action; a server of windows has none.
    """

    def __init__(
        self,
        feed: Feed,
        source: Source | None,
        address: Address,
        tls: Tls,
        token: str | None,
        limit: int,
        actions: Mapping[str, Action] = MappingProxyType({}),
    ) -> None:
        self._feed, self._source, self.actions = feed, source, actions
        self.subscribers = Subscribers(limit)
        self._closing = Latch()
        self.door = Doorkeeper(max(MOST_CONNECTIONS, 2 * limit), self._streaming)
        self._flight = _listen(address, tls, token, self)
        self._address, self._port = address, self._flight.port
        self.uri = address.uri if address.kind == "unix" else _with_port(address, self._port)
        sockets.watch_peers(address, self._port)
        self.door.watch(address, self._port)
        self._watch = threading.Thread(target=self._hang_up_on_stalled, name="schedtel-serve", daemon=True)
        self._watch.start()

    @property
    def feed(self) -> Feed:
        return self._feed

    def _streaming(self) -> set[str]:
        return {subscriber.peer for subscriber in self.subscribers.present()}

    def run(self, each: Callable[[Any], None] = lambda _window: None) -> None:
        """Publish the source's windows until it ends; for a recording, wait until :meth:`stop`.

        :param each: called with every window after it has been published.
        """
        if not isinstance(self._feed, LiveFeed) or self._source is None:
            self._closing.wait()
            return
        for window in self._source:
            self._feed.publish(window)
            each(window)
        self._feed.end(wire.STOP if self._closing.is_set() else wire.END)

    def stop(self) -> None:
        """End :meth:`run` of a recording.

        For a live source, whose end the caller brings about, it makes :meth:`run` tell the subscribers that the server
        stops, instead of that the run is over. Safe in a signal handler.
        """
        self._closing.set()

    def close(self) -> None:
        """End all streams and stop listening, within seconds even if a subscriber does not read."""
        self._closing.set()
        self._feed.stop()
        # shutdown() waits for all calls without a time limit, and the call of a subscriber that does not read never
        # ends.
        ending = threading.Thread(target=self._flight.shutdown, daemon=True)
        ending.start()
        ending.join(_FAREWELL_S)
        while ending.is_alive():
            with contextlib.suppress(OSError):  # no descriptor is left to look with: the next look is soon
                sockets.hang_up(self._address, self._port)
            ending.join(0.1)
        self.door.close()
        self._watch.join()
        if self._address.kind == "unix":
            with contextlib.suppress(OSError):
                os.unlink(self._address.path)

    def _hang_up_on_stalled(self) -> None:
        """In a thread of its own, with the policy `drop`: hang up on subscribers that do not read.

        The feed drops a subscriber only when it asks for its next event, which a stalled one never does.
        """
        while not self._closing.wait(STALLED_S / 5):
            if not isinstance(self._feed, LiveFeed) or self._feed.slow != "drop":
                continue
            for subscriber in self.subscribers.present():
                if self._feed.has_lost(subscriber) and _stalled(subscriber):
                    with contextlib.suppress(OSError):  # see close()
                        sockets.hang_up(self._address, self._port, subscriber.peer)


def _stalled(subscriber: Subscriber) -> bool:
    since = subscriber.busy_since
    return since is not None and time.monotonic() - since > STALLED_S


def _with_port(address: Address, port: int) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{address.uri.partition('://')[0]}://{host}:{port}"


def _listen(address: Address, tls: Tls, token: str | None, server: Server) -> _FlightServer:
    check_serving(address, tls, token)
    options: dict[str, Any] = {}
    if address.kind == "tls":
        options = {"tls_certificates": [(tls.certificate, tls.key)], "verify_client": bool(tls.authority)}
        options |= {"root_certificates": tls.authority} if tls.authority else {}
    if token is not None:
        options["middleware"] = {"token": TokenCheck(token)}
    if address.kind == "unix":
        prepare_socket(address)
    location = address.uri if address.kind == "unix" else _with_port(address, address.port)
    # bind(2) creates a Unix socket with the mode that the umask leaves: here the owner's alone.
    before = os.umask(0o177)
    try:
        return _FlightServer(location, server, **options)
    except (pa.ArrowException, OSError) as error:
        raise StreamError(f"cannot serve on {address.uri}: {_cause(error)} (choose another address)") from error
    finally:
        os.umask(before)


def _cause(error: Exception) -> str:
    first = str(error).splitlines()[0]
    return (
        "the address is in use or not this machine's, or the certificate does not fit its key"
        if ("Server did not start" in first)
        else first.rstrip(".")
    )


class _FlightServer(fl.FlightServerBase):  # type: ignore[misc]  # pyarrow has no types
    """The calls of Flight, each in a thread of gRPC's. Every answer is a stream or an error of one line."""

    def __init__(self, location: str, server: Server, **options: Any) -> None:
        self._server = server
        super().__init__(location, **options)

    def do_get(self, context: Any, ticket: fl.Ticket) -> fl.FlightDataStream:
        self._admit(context)
        with _one_line():
            request = wire.parse_request(ticket.ticket)
            schema = self._schema(request)
            return fl.GeneratorStream(schema, self._deliver(context, request, schema))

    def _deliver(self, context: Any, request: wire.Request, schema: pa.Schema) -> Iterator[Any]:
        # The subscriber joins here and not in do_get(): a generator that is discarded before it starts never runs its
        # `finally`.
        with _one_line():
            subscriber = self._server.subscribers.join(context.peer())
        try:
            with _one_line():
                for event in self._server.feed.events(request, subscriber, context.is_cancelled):
                    yield from _chunks(event, request, schema)
        finally:
            # The connection is idle from now on: what gRPC still holds of the stream gets its time.
            self._server.door.admit(subscriber.peer)
            self._server.subscribers.leave(subscriber)

    def _schema(self, request: wire.Request) -> pa.Schema:
        facts = self._server.feed.facts
        return wire.windows_schema(facts) if request.stream == "windows" else wire.table_schema(request, facts)

    def get_flight_info(self, context: Any, descriptor: fl.FlightDescriptor) -> fl.FlightInfo:
        self._admit(context)
        with _one_line():
            path = descriptor.path or []
            if descriptor.descriptor_type != fl.DescriptorType.PATH or len(path) != 1:
                raise UsageError(f"cannot tell what is meant: name one of {', '.join(wire.STREAMS)} as the path")
            return self._info(wire.Request(path[0].decode(errors="replace")))

    def _info(self, request: wire.Request) -> fl.FlightInfo:
        ticket = request.ticket()
        schema = self._schema(wire.parse_request(ticket))
        descriptor = fl.FlightDescriptor.for_path(request.stream)
        # No location: the client gets the stream from the same server (Flight.proto, FlightEndpoint).
        return fl.FlightInfo(schema, descriptor, [fl.FlightEndpoint(ticket, [])], -1, -1)

    def list_flights(self, context: Any, _criteria: bytes) -> Iterator[fl.FlightInfo]:
        self._admit(context)
        return (self._info(wire.Request(name)) for name in wire.STREAMS)

    def do_put(self, *_arguments: Any) -> None:
        raise fl.FlightServerError(_ONLY_READS)

    def do_exchange(self, *_arguments: Any) -> None:
        raise fl.FlightServerError(_ONLY_READS)

    def do_action(self, context: Any, action: fl.Action) -> list[bytes]:
        self._admit(context)
        with _one_line():
            known = self._server.actions.get(action.type)
            if known is None:
                raise UsageError(_no_action(self._server.actions))
            if action.body.size > LARGEST_BODY:
                raise UsageError(f"cannot read a call of {action.body.size} bytes: the longest has {LARGEST_BODY}")
            return [known.do(action.body.to_pybytes())]

    def list_actions(self, context: Any) -> list[tuple[str, str]]:
        self._admit(context)
        return [(name, action.meaning) for name, action in self._server.actions.items()]

    def _admit(self, context: Any) -> None:
        """Note whose connection it is. Flight calls a method only after the token was found right."""
        self._server.door.admit(context.peer())


_ONLY_READS = "cannot do that: this server only publishes (use DoGet)"


def _no_action(known: Mapping[str, Action]) -> str:
    return f"cannot do that: there are {', '.join(known)}" if known else _ONLY_READS


def _chunks(event: wire.Event, request: wire.Request, schema: pa.Schema) -> Iterator[Any]:
    """An event in the form that Flight sends.

    In the stream of one table an event without a window is an empty batch; the marker says which event it is.
    """
    if request.stream == "windows":
        # A RecordBatchStream, because Flight for Python would not send the dictionaries of a bare batch.
        for batch in wire.pack(event, schema):
            yield fl.RecordBatchStream(pa.Table.from_batches([batch]))
        return
    table = wire.table_of(event.window, request) if event.window else pa.RecordBatch.from_pylist([], schema=schema)
    parts = slices(table.cast(schema))
    for part, batch in enumerate(parts, 1):
        yield batch, wire.marker(event, part, len(parts))


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Turn our errors and the errors of a source into Flight's: others would send a traceback to the client."""
    try:
        yield
    except SchedtelError as error:
        raise fl.FlightServerError(str(error)) from None
    except (OSError, ValueError, TypeError, LookupError, pa.ArrowException) as error:
        raise fl.FlightServerError(f"cannot stream: {type(error).__name__} in the server") from None
