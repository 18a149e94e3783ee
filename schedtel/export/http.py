"""A WSGI application in; an HTTP server out, for this machine, or for a network with TLS and a token.

The server is that of Python's standard library, with a thread for each scrape and at most 16 scrapes at a time. A
client that sends nothing for 10 s is disconnected.
"""

from __future__ import annotations

import hmac
import socket
import ssl
import threading
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from schedtel.access.tokens import check_token
from schedtel.access.uri import host_and_port, is_loopback
from schedtel.errors import StreamError, UsageError

DEFAULT_LISTEN = "127.0.0.1:9435"
_PATH = "/metrics"
_MOST_AT_ONCE = 16
_SILENCE_S = 10.0

_Application = Callable[..., Any]


class Endpoint:
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
        self._server.set_app(_only_metrics(application if token is None else _with_token(application, token)))
        shown_host = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown_host}:{self._server.server_address[1]}{_PATH}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="schedtel-export", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, without waiting for a scrape in progress."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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


class _Handler(WSGIRequestHandler):
    timeout = _SILENCE_S

    def log_message(self, *_: object) -> None:
        """Log nothing: a scrape every few seconds is normal."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, family: int, where: tuple[Any, ...], tls: ssl.SSLContext | None) -> None:
        self.address_family, self._tls = family, tls
        self._scrapes = threading.BoundedSemaphore(_MOST_AT_ONCE)
        super().__init__(where[:2], _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. Its thread does the TLS handshake, so that a silent client holds up no other."""
        connection, peer = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, peer

    def verify_request(self, *_: object) -> bool:
        """Whether one more scrape may run; if not, the base class closes the connection."""
        return self._scrapes.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._scrapes.release()

    def handle_error(self, *_: object) -> None:
        """Print nothing: a client that hung up or failed the handshake learns it from the closed connection."""
