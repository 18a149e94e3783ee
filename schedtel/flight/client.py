"""A URI in; the windows that a server publishes there out, as a source like any other, with the same numbers."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from schedtel.access.policy import check_asking
from schedtel.access.tls import Tls
from schedtel.access.tokens import check_token
from schedtel.access.uri import parse_address
from schedtel.errors import SchedtelError, StreamError, UsageError
from schedtel.flight import wire
from schedtel.flight.assembly import Assembly, UntrustedError
from schedtel.flight.connection import call_options, connect, explain
from schedtel.windows.source import Source
from schedtel.windows.window import Window

#: How long the first answer of a server may take.
_ANSWER_S = 10.0
#: The client gives a silent server up after this long. A running one sends something every feeds.HEARTBEAT_S.
_SILENCE_S = 30.0
#: Most batches received ahead of the caller. More would hide from the server that the caller is slow.
_AHEAD = 2
#: How often a waiting thread checks whether it must end, and how long :meth:`Subscription.__iter__` waits for that.
_LOOK_S, _LEAVE_S = 0.2, 2.0


class Subscription(Source):
    """The windows that a server publishes. Made by :func:`schedtel.subscribe`.

    ``metadata`` has the server's facts about them: host, kernel, window, filter, run. ``windows_missed`` counts the
    windows that were published but not received, because this side was too slow; ``gap_before`` counts those directly
    before the window yielded last. ``ended`` is empty while the stream runs, ``end`` after the end of the run, ``stop``
    after either side left; ``left`` says whether it was this side.
    """

    def __init__(self, uri: str, token: str | None, tls: Tls, request: wire.Request) -> None:
        self.address = parse_address(uri)
        if token is not None:
            check_token(token)
        check_asking(self.address, tls, token)
        self.request = request
        self.windows_missed = self.gap_before = self.sequence = 0
        self.ended, self.left, self._stopping, self._heard = "", False, False, False
        self._token, self._readers = token, set[Any]()
        self._client = connect(self.address, tls)
        try:
            self.metadata = self._ask()
        except BaseException:
            self.close()
            raise

    def _call(self, timeout: float | None = None) -> Any:
        return call_options(self._token, timeout)

    def _ask(self) -> dict[str, str]:
        """Ask for the server's facts; this also checks that it answers, accepts us and has the same definitions."""
        import pyarrow.flight as fl  # noqa: PLC0415  (see above)

        with self._explained():
            info = self._client.get_flight_info(fl.FlightDescriptor.for_path("windows"), self._call(_ANSWER_S))
            return wire.facts_of(info.schema)

    def __iter__(self) -> Iterator[Window]:
        self._assembly = Assembly()
        chunks: queue.Queue[Any] = queue.Queue(_AHEAD)
        gone = threading.Event()
        worker = threading.Thread(target=self._receive, args=(chunks, gone), daemon=True)
        self.ended, self._heard = wire.STOP if self._stopping else "", False
        worker.start()
        try:
            with self._explained():
                yield from self._windows(chunks)
        finally:
            gone.set()
            self._cancel()
            worker.join(_LEAVE_S)  # not longer: a call that the server does not answer cannot be ended from here

    def _receive(self, chunks: queue.Queue[Any], gone: threading.Event) -> None:
        """In a thread of its own: queue each batch, and at last the error that ended the stream.

        The thread waits while the queue is full.
        """
        reader, received = None, None
        while not gone.is_set() and not isinstance(received, BaseException):
            try:
                reader = reader or self._open()
                received = reader.read_chunk().data
            except BaseException as error:  # noqa: BLE001  (raised again by _next(), in the caller's thread)
                received = error
            _put(chunks, received, gone)
        self._readers.discard(reader)

    def _open(self) -> Any:
        import pyarrow.flight as fl  # noqa: PLC0415  (see above)

        reader = self._client.do_get(fl.Ticket(self.request.ticket()), self._call())
        self._readers.add(reader)
        wire.facts_of(reader.schema)
        return reader

    def _cancel(self) -> None:
        for reader in list(self._readers):
            reader.cancel()

    def _windows(self, chunks: queue.Queue[Any]) -> Iterator[Window]:
        while not self.ended:
            for event in self._next(chunks):
                if event.kind in (wire.END, wire.STOP):
                    self.ended = event.kind
                if event.window is not None:
                    self.sequence, self.gap_before = event.sequence, event.windows_missed
                    self.windows_missed += event.windows_missed
                    yield event.window

    def _next(self, chunks: queue.Queue[Any]) -> list[wire.Event]:
        """The next events. They come from a thread, since a signal cannot interrupt a wait inside Flight."""
        received, until = None, time.monotonic() + _SILENCE_S
        while received is None and not self.ended:
            with contextlib.suppress(queue.Empty):
                received = chunks.get(timeout=_LOOK_S)
            if received is None and time.monotonic() > until:
                raise StreamError(f"nothing was heard for {_SILENCE_S:.0f} s (is the server's machine there?)")
        if self.ended:  # by stop(), which cancels the call: anything received after that is only its error
            return []
        if isinstance(received, StopIteration):
            raise StreamError("the server ended the stream without a reason (subscribe again)")
        if isinstance(received, BaseException):
            raise received
        self._heard = True
        return self._assembly.add(received)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of Flight and of malformed batches into a :class:`StreamError` of one line with the URI."""
        try:
            yield
        except StreamError as error:
            raise type(error)(f"{self._failed()} {self.address.uri}: {error}") from error.__cause__
        except (pa.ArrowException, OSError, LookupError, ValueError, TypeError, OverflowError) as error:
            raise StreamError(f"{self._failed()} {self.address.uri}: {explain(error, self._heard)}") from error

    def _failed(self) -> str:
        return "lost" if self._heard else "cannot subscribe to"

    def stop(self) -> None:
        """End the stream, and with it the iteration. Safe in a signal handler and from another thread."""
        self._stopping, self.left = True, self.left or not self.ended
        self.ended = self.ended or wire.STOP
        self._cancel()

    def close(self) -> None:
        """End the stream and the connection. Windows already taken stay valid."""
        self.stop()
        self._client.close()


def _put(chunks: queue.Queue[Any], received: Any, gone: threading.Event) -> None:
    while not gone.is_set():
        with contextlib.suppress(queue.Full):
            chunks.put(received, timeout=_LOOK_S)
            return


def is_permanent(error: SchedtelError) -> bool:
    """Whether trying again cannot help.

    So it is if the request is wrong, the token is refused, the definitions differ, or what came is not to be trusted.
    """
    return isinstance(error, UsageError | UntrustedError) or any(
        words in str(error)
        for words in ("token is missing or wrong", "definitions have version", "its columns are not")
    )
