"""The directory, object store or server URI that the user names in; a source of windows out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from schedtel.access.tls import read_tls
from schedtel.access.tokens import read_token
from schedtel.access.uri import is_uri
from schedtel.cli import lines
from schedtel.cli.session import stop_on_signals
from schedtel.flight import Subscription
from schedtel.flight.wire import Request
from schedtel.recordings.recording import Recording, imported_from, read
from schedtel.target.client import Connection
from schedtel.windows.source import Source


def open_source(where: str, options: dict[str, Any], *, history: bool = True) -> Source:
    """The recording or the stream at ``where``.

    :param options: those of ``client_options``.
    :param history: a stream begins with the windows that the server keeps, not with the next one.

    Raises :class:`schedtel.SchedtelError` when the source cannot be opened.
    """
    return open_stream(where, options, history=history) if is_uri(where) else read(where)


def open_stream(uri: str, options: dict[str, Any], *, history: bool) -> Subscription:
    """A subscription that uses the user's token and certificates."""
    return open_request(options)(uri, Request(start="history" if history else "now"))


def open_request(options: dict[str, Any]) -> Callable[[str, Request], Subscription]:
    """A function from a URI and a request to a subscription. It reads the token and the certificates once, now."""
    token, tls = read_token(options["token_file"]), read_tls(options["tls_cert"], options["tls_key"], options["ca"])
    return lambda uri, request: Subscription(uri, token, tls, request)


def open_target(uri: str, options: dict[str, Any]) -> Connection:
    """A connection to a target that uses the user's token and certificates."""
    tls = read_tls(options["tls_cert"], options["tls_key"], options["ca"])
    return Connection(uri, read_token(options["token_file"]), tls)


def stopped_by_signals(*sources: Source) -> AbstractContextManager[object]:
    """Inside the context, a signal ends the streams, and the caller finishes with the windows received so far.

    If all sources are files, signals keep their default effect and end the command at once.
    """
    streams = [source for source in sources if isinstance(source, Subscription)]

    def stop() -> None:
        for stream in streams:
            stream.stop()

    return stop_on_signals(stop) if streams else nullcontext()


def describe(source: Source) -> str:
    """A line for the head of a page.

    For a recording of several runs it gives only their number, since their windows and filters may differ.
    """
    facts = source.metadata
    kind = source.address.uri if isinstance(source, Subscription) else "recording"
    if origin := imported_from(facts):
        kind += f", imported from {origin}"
    if isinstance(source, Recording) and len(source.runs) > 1:
        hosts = len({run[:1] for run in source.runs})
        return f"{kind} · {len(source.runs)} runs of {hosts} host{'' if hosts == 1 else 's'}"
    return " · ".join([kind, f"window {facts.get('window', '?')}", facts.get("filter") or "all tasks"])


def complain_of_missed(source: Source) -> None:
    """Print one line on stderr if the subscriber was too slow and missed windows of a stream."""
    missed = getattr(source, "windows_missed", 0)
    if missed:
        lines.remark(f"schedtel: {missed} windows missed: too slow for the server (read faster, or ask for less)")


def complain_of_damage(source: Source) -> None:
    """Print a line on stderr for each part of a recording of which windows were left out, but for the first few only.

    To be called after the windows have been read.
    """
    damaged = source.damaged if isinstance(source, Recording) else []
    for damage in damaged[:_MOST_DAMAGES]:
        lines.remark(f"schedtel: {damage}")
    if len(damaged) > _MOST_DAMAGES:
        lines.remark(f"schedtel: {len(damaged) - _MOST_DAMAGES} parts more are damaged or missing")


def complain_of_no_pairs(source: Source) -> None:
    """Print one line on stderr if the source has no preemption pairs, with the reason."""
    traced = source.metadata.get("preemptions")
    has_pairs = source.has_rows("preemptions") if isinstance(source, Recording) else traced != "off"
    if not has_pairs:
        why = _WHY_NO_PAIRS.get(traced, "there were none")
        lines.remark(f"schedtel: no preemptions to show: {why}")


def complain_of_no_waits(source: Source) -> None:
    """Print one line on stderr if the source is a recording without a single wait."""
    if isinstance(source, Recording) and not source.has_rows("waits"):
        lines.remark("schedtel: no waits to show: there were none, or an earlier schedtel recorded this")


_MOST_DAMAGES = 5
#: Value of ``--preemptions`` → reason. None: the value is not recorded, as in imports and in the library's recordings.
_WHY_NO_PAIRS = {
    "off": "traced with --preemptions off (trace with cgroup or comm)",
    None: "there were none, or they were not traced",
}
