"""A WSGI application in; an HTTP server out, for this machine, or for a network with TLS and a token.

The server is that of Python's standard library, with a thread for each connection and at most 64 connections, 32 of
one peer. A client that is silent for 10 s is disconnected. So is one that has not sent a whole request, with the token,
after 10 s, or has not taken the whole answer after 30 s, whatever it sends meanwhile.
"""

from __future__ import annotations

import contextlib
import hmac
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from socketserver import ThreadingMixIn
from typing import Any, BinaryIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from schedtel.access.descriptors import EXHAUSTED
from schedtel.access.places import Connection, holders, surplus
from schedtel.access.tokens import check_token
from schedtel.access.uri import host_and_port, is_loopback
from schedtel.closing import Closing
from schedtel.errors import StreamError, UsageError

DEFAULT_LISTEN = "127.0.0.1:9435"
_PATH = "/metrics"
_MOST, _SHARE = 64, 32
#: Longest silence of a client; how long its request may take, and its request and the answer together.
_SILENCE_S, _REQUEST_S, _TOTAL_S = 10.0, 10.0, 30.0
#: A request with its headers is longer than this only by intent.
_LONGEST_REQUEST = 64 << 10
#: The accepting thread waits this long when no descriptor is left: the listening socket stays readable.
_EXHAUSTED_S = 0.1
_LOOK_S = 0.5
#: Key of the function in a WSGI environment that marks the connection as one with an accepted request.
_PROVE = "schedtel.prove"

_Application = Callable[..., Any]


class Endpoint(Closing):
    """Serves metrics at ``url`` from its construction until :meth:`close`.

    :param application: a WSGI application; it answers the path ``/metrics``.
    :param listen: ``HOST:PORT``; with port 0 the kernel chooses a free one.
    :param token: the token that a scrape must send as ``Authorization: Bearer …``; required beyond this machine.
    :param tls_cert, tls_key: files in PEM; required beyond this machine.
    :param client_ca: a file in PEM: clients must present a certificate of this authority.

    Raises :class:`UsageError` for an unsafe or malformed setting, :class:`StreamError` if it cannot listen there.
    """

    def __init__(
        self,
        application: _Application,
        listen: str = DEFAULT_LISTEN,
        *,
        token: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        client_ca: str | None = None,
    ) -> None:
        host, port = _host_and_port(listen)
        tls = _tls_context(tls_cert, tls_key, client_ca)
        _check(host, listen, tls is not None, token)
        self._server = _bound(host, port, listen, tls)
        proving = _proving(application)
        self._server.set_app(_only_metrics(proving if token is None else _with_token(proving, token)))
        shown_host = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown_host}:{self._server.server_address[1]}{_PATH}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="schedtel-export", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, without waiting for a scrape in progress."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _host_and_port(listen: str) -> tuple[str, int]:
    try:
        return host_and_port(listen)
    except ValueError as error:
        raise UsageError(
            f"cannot listen on {listen!r}: it is no address (write HOST:PORT, {DEFAULT_LISTEN})"
        ) from error


def _check(host: str, listen: str, encrypted: bool, token: str | None) -> None:
    if token is not None:
        check_token(token)
    if is_loopback(host):
        return
    if not encrypted:
        raise UsageError(
            f"cannot listen on {listen}: beyond this machine only TLS is served (give --tls-cert and --tls-key)"
        )
    if token is None:
        raise UsageError(f"cannot listen on {listen}: without a token anyone could read it (give --token-file)")


def _tls_context(certificate: str | None, key: str | None, authority: str | None) -> ssl.SSLContext | None:
    if certificate is None or key is None:
        if any(file is not None for file in (certificate, key, authority)):
            raise UsageError("cannot use TLS: certificate and key belong together (give both --tls-cert and --tls-key)")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
        if authority is not None:
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # also ssl.SSLError, a subclass
        files = ", ".join(filter(None, (certificate, key, authority)))
        raise UsageError(f"cannot use {files} for TLS: {error.strerror or error} (check the files, in PEM)") from error
    return context


def _bound(host: str, port: int, listen: str, tls: ssl.SSLContext | None) -> _Server:
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return _Server(family, where, tls)
    except OSError as error:
        raise StreamError(f"cannot listen on {listen}: {error.strerror or error} (choose another address)") from error


# ---- WSGI wrappers ----


def _proving(application: _Application) -> _Application:
    def proven(environ: dict[str, Any], start_response: _Application) -> Any:
        environ[_PROVE]()
        return application(environ, start_response)

    return proven


def _with_token(application: _Application, token: str) -> _Application:
    expected = f"Bearer {token}".encode()

    def guarded(environ: dict[str, Any], start_response: _Application) -> Any:
        shown = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
        if hmac.compare_digest(shown, expected):
            return application(environ, start_response)
        return _refuse(start_response, "401 Unauthorized", ("WWW-Authenticate", "Bearer"))

    return guarded


def _only_metrics(application: _Application) -> _Application:
    def routed(environ: dict[str, Any], start_response: _Application) -> Any:
        if environ["PATH_INFO"] == _PATH:
            return application(environ, start_response)
        return _refuse(start_response, "404 Not Found")

    return routed


def _refuse(start_response: _Application, status: str, *headers: tuple[str, str]) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain"), *headers])
    return [f"{status}: metrics are at {_PATH}\n".encode()]


# ---- the server ----


class _Limited:
    """A request as it is read, cut off after :data:`_LONGEST_REQUEST` bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._left = stream, _LONGEST_REQUEST

    def readline(self, size: int = -1) -> bytes:
        line = self._stream.readline(self._left if size < 0 else min(size, self._left))
        self._left -= len(line)
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Handler(WSGIRequestHandler):
    timeout = _SILENCE_S

    def setup(self) -> None:
        super().setup()
        self.rfile: Any = _Limited(self.rfile)

    def get_environ(self) -> dict[str, Any]:
        assert isinstance(self.server, _Server)
        return super().get_environ() | {_PROVE: partial(self.server.prove, self.request)}

    def get_stderr(self) -> Any:
        """Where wsgiref prints the traceback of a client that hung up before it had the answer: nowhere."""
        return io.StringIO()

    def log_message(self, *_: object) -> None:
        """Log nothing: a scrape every few seconds is normal."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, family: int, where: tuple[Any, ...], tls: ssl.SSLContext | None) -> None:
        self.address_family, self._tls = family, tls
        self._lock, self._open = threading.Lock(), dict[socket.socket, Connection]()
        self._next_look = 0.0
        super().__init__(where[:2], _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. Its thread does the TLS handshake, so that a silent client holds up no other."""
        try:
            connection, peer = super().get_request()
        except OSError as error:
            if error.errno in EXHAUSTED:
                time.sleep(_EXHAUSTED_S)
            raise
        if self._tls is not None:
            try:
                connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            except OSError:  # the peer has hung up already
                connection.close()
                raise
        return connection, peer

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start the thread of a connection, and shut down those that have no place any more."""
        with self._lock:
            self._open[request] = Connection((str(client_address[0]), int(client_address[1])), time.monotonic())
            if len(self._open) > _MOST:
                self._close(surplus(list(self._open.values()), _MOST, _SHARE))
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().close_request(request)

    def service_actions(self) -> None:
        """Shut down the connections that take too long, or more than their share of places, twice a second."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        with self._lock:
            for request, connection in self._open.items():
                if now - connection.since > (_TOTAL_S if connection.proven else _REQUEST_S):
                    _shut_down(request)
            if len(self._open) > _SHARE:
                self._close_beyond_shares()

    def prove(self, request: Any) -> None:
        """Mark a connection as one whose request has been accepted."""
        with self._lock:
            if request in self._open:
                self._open[request].proven = True

    def _close_beyond_shares(self) -> None:
        of_peer = holders(connection.peer for connection in self._open.values() if connection.holder is None)
        for connection in self._open.values():
            connection.holder = of_peer[connection.peer] if connection.holder is None else connection.holder
        self._close(surplus(list(self._open.values()), _MOST, _SHARE))

    def _close(self, connections: list[Connection]) -> None:
        closing = set(connections)
        for request in [request for request, connection in self._open.items() if connection in closing]:
            del self._open[request]  # its place is free now; its thread ends as soon as it runs
            _shut_down(request)

    def handle_error(self, *_: object) -> None:
        """Print nothing: a client that hung up or failed the handshake learns it from the closed connection."""


def _shut_down(request: socket.socket) -> None:
    """End a connection that another thread reads or writes.

    Not by the method of an SSL socket, which first forgets that the connection is encrypted.
    """
    with contextlib.suppress(OSError):
        socket.socket.shutdown(request, socket.SHUT_RDWR)
