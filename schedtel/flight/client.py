"""A URI in, the windows that a server publishes there out: a source like any other, with the same numbers."""

from __future__ import annotations

import contextlib
import queue
import re
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
from schedtel.windows.source import Source
from schedtel.windows.window import Window

#: How long a server may take to answer at first.
_ANSWER_S = 10.0
#: A server that lives says so every few seconds (feeds.HEARTBEAT_S).
_SILENCE_S = 30.0
#: Windows received and not yet asked for. More would only hide from the server that we are slow.
_AHEAD = 2
#: How soon a thread notices that it is to end, and how long it has for it.
_LOOK_S, _LEAVE_S = 0.2, 2.0


class Subscription(Source):
    """Windows as a server publishes them. Made by :func:`schedtel.subscribe`.

    ``metadata`` says what the server knows of them: host, kernel, window, filter, run. ``windows_missed`` counts those
    that were published and did not come, because this side was too slow; ``gap_before`` is the number of those before
    the window that was yielded last. ``ended`` says how the stream did: ``end``, the run is over; ``stop``, one side
    left; ``left``, it was this one.
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
        self._client = self._connect(tls)
        try:
            self.metadata = self._ask()
        except BaseException:
            self.close()
            raise

    def _connect(self, tls: Tls) -> Any:
        import pyarrow.flight as fl  # noqa: PLC0415  (12 MB that `live` does without)

        options: dict[str, Any] = {"tls_root_certs": tls.authority or None}
        # gRPC lets clients of one process share a connection, and so its flow control: one that is slow would stop all.
        options["generic_options"] = [("grpc.use_local_subchannel_pool", 1)]
        if tls.certificate:
            options |= {"cert_chain": tls.certificate, "private_key": tls.key}
        return fl.FlightClient(self.address.uri, **options)

    def _call(self, timeout: float | None = None) -> Any:
        import pyarrow.flight as fl  # noqa: PLC0415  (see above)

        headers = [(b"authorization", b"Bearer " + self._token.encode())] if self._token else []
        return fl.FlightCallOptions(timeout=timeout, headers=headers)

    def _ask(self) -> dict[str, str]:
        """What the server has to say of its windows; at the same time whether it is there, lets us in and fits."""
        import pyarrow.flight as fl  # noqa: PLC0415  (see above)

        with self._explained():
            info = self._client.get_flight_info(fl.FlightDescriptor.for_path("windows"), self._call(_ANSWER_S))
            return wire.facts_of(info.schema)

    def __iter__(self) -> Iterator[Window]:
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
            worker.join(_LEAVE_S)  # and not longer: a server that does not answer a call cannot be made to

    def _receive(self, chunks: queue.Queue[Any], gone: threading.Event) -> None:
        """In a thread of its own: pass batches on, in the end what ended them; wait where they are not taken."""
        reader, got = None, None
        while not gone.is_set() and not isinstance(got, BaseException):
            try:
                reader = reader or self._open()
                got = reader.read_chunk().data
            except BaseException as error:  # noqa: BLE001  (raised again where the windows are taken)
                got = error
            _put(chunks, got, gone)
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
        """The next events. A thread waits for them, since no signal would reach a wait inside Flight."""
        got, until = None, time.monotonic() + _SILENCE_S
        while got is None and not self.ended:
            with contextlib.suppress(queue.Empty):
                got = chunks.get(timeout=_LOOK_S)
            if got is None and time.monotonic() > until:
                raise StreamError(f"nothing was heard for {_SILENCE_S:.0f} s (is the server's machine there?)")
        if self.ended:  # by stop(): what came then is the end that we made
            return []
        if isinstance(got, StopIteration):
            raise StreamError("the server ended it without a word (subscribe again)")
        if isinstance(got, BaseException):
            raise got
        self._heard = True
        return wire.unpack(got)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of Flight and of what came, as one line that names the stream."""
        try:
            yield
        except StreamError as error:
            raise StreamError(f"{self._failed()} {self.address.uri}: {error}") from error.__cause__
        except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
            raise StreamError(f"{self._failed()} {self.address.uri}: {explain(error, self._heard)}") from error

    def _failed(self) -> str:
        return "lost" if self._heard else "cannot subscribe to"

    def stop(self) -> None:
        """End the stream; iteration finishes. Safe in a signal handler and from a thread."""
        self._stopping, self.left = True, self.left or not self.ended
        self.ended = self.ended or wire.STOP
        self._cancel()

    def close(self) -> None:
        self.stop()
        self._client.close()


def _put(chunks: queue.Queue[Any], got: Any, gone: threading.Event) -> None:
    while not gone.is_set():
        with contextlib.suppress(queue.Full):
            chunks.put(got, timeout=_LOOK_S)
            return


_GONE = r"Socket closed|Connection reset|Broken pipe|GOAWAY|shutdown|closed"
#: What gRPC's words mean, and what to do, the more special first.
_MEANINGS = (
    (r"certificate has expired", "its certificate has expired (renew it)"),
    (
        r"[Hh]ostname [Vv]erification|not match|not in peer certificate",
        "its certificate is for another name (use the name it was made for)",
    ),
    (
        r"self.signed|unable to get (local )?issuer|CERTIFICATE_VERIFY_FAILED",
        "its certificate is not trusted (give its authority by --ca)",
    ),
    (r"CERTIFICATE_REQUIRED|certificate required", "it wants a certificate of ours (give --tls-cert and --tls-key)"),
    (
        r"WRONG_VERSION_NUMBER|[Hh]andshak",
        "one side speaks TLS and the other does not, or refuses our certificate (compare both URIs)",
    ),
    (r"Connection refused|No such file", "nobody serves there (start `schedtel serve` there, or correct the URI)"),
    (r"Permission denied", "this user may not use the socket (ask its owner)"),
    (r"DNS|resolve|Name or service", "no such host (correct the URI)"),
    (r"[Dd]eadline|[Tt]imed out|[Tt]imeout", "no answer (is the host there, and the port open?)"),
    (
        _GONE,
        "the server has gone (subscribe again, or use `schedtel collect`, which does)",
    ),
)


#: What a server does that speaks another protocol, and, after the handshake, one that wants a certificate of ours.
_HUNG_UP = "it hung up (grpc+tls and grpc must not be mixed up; or it wants a certificate: --tls-cert and --tls-key)"


def explain(error: Exception, connected: bool) -> str:
    """One line for a person: cause, and what to do."""
    import pyarrow.flight as fl  # noqa: PLC0415  (see above)

    text = " ".join(str(error).split())
    if isinstance(error, fl.FlightUnauthenticatedError | fl.FlightUnauthorizedError):
        return "the token is missing or wrong (give --token-file, or set SCHEDTEL_TOKEN)"
    if isinstance(error, fl.FlightUnavailableError | fl.FlightTimedOutError | fl.FlightInternalError):
        if not connected and re.search(_GONE, text):
            return _HUNG_UP
        return next((meaning for words, meaning in _MEANINGS if re.search(words, text)), _advised(_first(text)))
    if isinstance(error, fl.FlightServerError):
        return _advised(_first(text))
    return f"what came is no stream of windows: {_first(text)} (is it schedtel that serves there?)"


def _first(text: str) -> str:
    """The server's own words, without what Flight and gRPC put around them."""
    text = re.split(r"\. Detail:|\.? gRPC client debug context", text, maxsplit=1)[0]
    return text.removeprefix("Flight returned unavailable error, with message: ").rstrip(".")


def _advised(text: str) -> str:
    return text if text.endswith(")") else f"{text} (see what the server says)"


def is_permanent(error: SchedtelError) -> bool:
    """Whether trying again cannot help: the server is there, and refuses us or does not fit."""
    return isinstance(error, UsageError) or any(
        words in str(error)
        for words in ("token is missing or wrong", "definitions have version", "its columns are not")
    )
