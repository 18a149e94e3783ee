"""Windows of a source in, on one machine; the same windows out, on another, over Arrow Flight.

    wire        windows and requests          ⇄ Arrow batches and tickets
    feeds       windows of a source           → the next event for each subscriber
    sockets     the sockets of a server       → vanished peers detected, connections shut down
    server      a feed                        → an Arrow Flight server
    client      a URI                         → windows
    collect     many URIs                     → windows of all of them, gaps and outages

pyarrow.flight is imported when a stream is made and not earlier, so that ``live`` and ``record`` do not pay for its
memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schedtel.access.tls import read_tls
from schedtel.access.uri import DEFAULT_URI, parse_address
from schedtel.flight.client import Subscription
from schedtel.flight.feeds import Feed, LiveFeed, ReplayFeed
from schedtel.flight.wire import Request
from schedtel.windows.source import Source

if TYPE_CHECKING:
    from schedtel.flight.server import Server


def serve(
    source: Source,
    uri: str = DEFAULT_URI,
    *,
    token: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    client_ca: str | None = None,
    slow: str = "thin",
    history: int = 60,
    max_subscribers: int = 64,
) -> Server:
    """Serve a source's windows on Arrow Flight. The server listens at once and publishes in ``server.run()``.

    :param source: a live source, whose windows go to all subscribers as they end; or a recording, which every
        subscriber gets from its beginning.
    :param uri: ``grpc://127.0.0.1:8815``, ``grpc+unix:///path``, or ``grpc+tls://host:port``; with port 0 the kernel
        chooses a free one.
    :param token: the token that a subscriber must present; required beyond this machine.
    :param tls_cert, tls_key: files in PEM, for ``grpc+tls``.
    :param client_ca: a file in PEM: subscribers must present a certificate of this authority.
    :param slow: what the server does with a subscriber that has fallen behind the history: ``thin`` continues with the
        newest window and tells it how many it missed, ``drop`` ends its stream.
    :param history: number of windows the server keeps for late subscribers, at most 64 MB of them.
    :param max_subscribers: number of subscribers served at a time.

    Raises :class:`UsageError` for settings that are not safe to serve, :class:`StreamError` if the server cannot listen
    there.
    """
    from schedtel.flight.server import Server  # noqa: PLC0415  (imports pyarrow.flight, see above)

    feed: Feed
    source.need_identity("serve")
    if source.is_repeatable:
        feed = ReplayFeed(source.metadata, source)
    else:
        feed = LiveFeed(source.metadata, history=history, slow=slow)
    tls = read_tls(tls_cert, tls_key, client_ca)
    return Server(feed, source, parse_address(uri), tls, token, max_subscribers)


def subscribe(
    uri: str,
    *,
    token: str | None = None,
    history: bool = False,
    ca: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
) -> Subscription:
    """The windows that ``schedtel serve`` publishes at a URI, with the numbers of the live run.

    :param token: the token that the server requires.
    :param history: begin with the oldest window that the server keeps, instead of the next one.
    :param ca: a file in PEM: the authority to trust instead of the system's.
    :param tls_cert, tls_key: files in PEM, for a server that requires a certificate.

    Raises :class:`UsageError` for a wrong URI or file, and :class:`StreamError` if the server does not answer, refuses
    the call, has other definitions of the columns, or is lost.
    """
    request = Request(start="history" if history else "now")
    return Subscription(uri, token, read_tls(tls_cert, tls_key, ca), request)


__all__ = ["Subscription", "serve", "subscribe"]
