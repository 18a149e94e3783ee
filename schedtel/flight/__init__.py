"""Windows over Arrow Flight: a source in here, the same windows out on another machine.

    address     URIs, tokens, certificates    → what is safe to serve and to ask
    wire        windows and requests            ⇄ Arrow batches and tickets
    feeds       windows                       → what each subscriber gets next
    sockets     the server's sockets          → gone peers noticed, calls ended
    server      a feed                        → an Arrow Flight server
    client      a URI                         → windows
    collect     many URIs                     → one dataset

pyarrow.flight is imported when a stream is made, and not before: ``live`` and ``record`` do without its memory.
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
    """Serve a source's windows on Arrow Flight. Listening begins at once, publishing with ``server.run()``.

    :param source: a live source, whose windows go to all subscribers as they end; or a recording, which every
        subscriber gets from its beginning.
    :param uri: ``grpc://127.0.0.1:8815``, ``grpc+unix:///path``, or ``grpc+tls://host:port``; port 0 takes a free one.
    :param token: what a subscriber must show; needed beyond this machine.
    :param tls_cert, tls_key: files in PEM, for ``grpc+tls``.
    :param client_ca: a file in PEM: subscribers must show a certificate of this authority.
    :param slow: what to do with a subscriber that has fallen behind the history: ``thin`` lets it go on with the newest
        window and tells it how many it missed, ``drop`` ends its stream.
    :param history: how many windows are remembered, at most 64 MB of them.

    Raises :class:`UsageError` for what is not safe to serve, :class:`StreamError` when the address cannot be had.
    """
    from schedtel.flight.server import Server  # noqa: PLC0415  (pyarrow.flight: see above)

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

    :param token: what the server wants to be shown.
    :param history: begin with the oldest window that the server remembers, and not with the next.
    :param ca: a file in PEM: the authority to trust, instead of the system's.
    :param tls_cert, tls_key: files in PEM, where the server wants to see a certificate.

    Raises :class:`UsageError` for a wrong URI or file, and :class:`StreamError` when no server answers, refuses, has
    other definitions, or is lost.
    """
    request = Request(start="history" if history else "now")
    return Subscription(uri, token, read_tls(tls_cert, tls_key, ca), request)


__all__ = ["Subscription", "serve", "subscribe"]
