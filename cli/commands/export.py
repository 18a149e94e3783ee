"""``schedtel export``: windows in; sums out, scraped by Prometheus or pushed to an OpenTelemetry collector."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import click

from schedtel.access.tls import read_tls
from schedtel.access.tokens import read_token
from schedtel.access.uri import is_uri, parse_address
from schedtel.cli import lines
from schedtel.cli.options import (
    Decorator,
    filter_options,
    refuse,
    refuse_for_another_source,
    refuse_without_stream,
    window_options,
)
from schedtel.cli.session import open_session, stop_on_signals
from schedtel.cli.sources import complain_of_damage, open_request
from schedtel.cli.strict import StrictGroup
from schedtel.durations import NS_PER_S, parse_duration
from schedtel.errors import CapabilityError, StreamError
from schedtel.export.cgroups import DEFAULT_MAX_CGROUPS
from schedtel.export.hosts import DEFAULT_MAX_HOSTS, Totals
from schedtel.export.http import DEFAULT_LISTEN, Endpoint
from schedtel.flight.collect import Collection, Outage
from schedtel.latch import Latch
from schedtel.recordings.recording import Recording, read
from schedtel.windows.window import Window


def _at_most(name: str, limit: int, default: int, meaning: str) -> Decorator:
    """An option for the number of hosts or cgroups that have their own series."""
    kind = click.IntRange(min=1, max=limit)
    return click.option(name, type=kind, default=default, show_default=True, metavar="N", help=meaning)


#: Options for a served SOURCE and for the number of series, which both subcommands share.
_SOURCE_OPTIONS = (
    click.option("--source-token-file", metavar="FILE", help="Token for a served SOURCE, else from SCHEDTEL_TOKEN."),
    click.option("--source-ca", metavar="FILE", help="Authority (PEM) to trust for it, instead of the system's."),
    click.option("--source-tls-cert", metavar="FILE", help="Our certificate (PEM), where it wants one."),
    click.option("--source-tls-key", metavar="FILE", help="Its key (PEM)."),
    _at_most(
        "--max-hosts",
        1_000,
        DEFAULT_MAX_HOSTS,
        'Hosts of a SOURCE that are told apart; the rest are summed in host="other".',
    ),
    _at_most(
        "--max-cgroups",
        10_000,
        DEFAULT_MAX_CGROUPS,
        "Cgroups, and as many preemption pairs, with their own series on each host; the rest are summed in `other`.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Do not print where metrics go and the number of windows."),
)


def _with_source(function: Any) -> Any:
    options: tuple[Decorator, ...] = (window_options, filter_options, *_SOURCE_OPTIONS)
    for option in reversed(options):
        function = option(function)
    return click.argument("source", required=False)(function)


@click.group("export", cls=StrictGroup, short_help="Export metrics to Prometheus or OpenTelemetry.")
def command() -> None:
    """Sum windows up and export the sums as metrics, by cgroup and for the host.

    The SOURCE is this machine if none is given, else what is served at a URI, or a recording. The options for windows
    and filters are for this machine.
    """


@command.command("prometheus", short_help="Let Prometheus scrape metrics.")
@click.option(
    "-l", "--listen", default=DEFAULT_LISTEN, show_default=True, metavar="HOST:PORT", help="Where to be scraped."
)
@click.option("--token-file", metavar="FILE", help="Token to be shown by scrapers, else from SCHEDTEL_TOKEN.")
@click.option("--tls-cert", metavar="FILE", help="Certificate (PEM), for HTTPS.")
@click.option("--tls-key", metavar="FILE", help="Its key (PEM).")
@click.option("--client-ca", metavar="FILE", help="Scrapers must show a certificate of this authority (PEM).")
@_with_source
def prometheus(source: str | None, listen: str, quiet: bool, **options: Any) -> None:
    """Serve metrics at http://127.0.0.1:9435/metrics, for Prometheus to scrape.

    Beyond this machine, a certificate and a token are needed. The metrics of a recording stay until Ctrl-C.
    """
    try:
        from schedtel.export.prometheus import application  # noqa: PLC0415  (an optional extra)
    except ModuleNotFoundError as error:
        raise _missing("prometheus", error) from error
    totals = _totals(source, options)
    terms = {name: options.pop(name) for name in ("tls_cert", "tls_key", "client_ca")}
    read_tls(*terms.values())  # only to report errors: OpenSSL reads the files
    terms["token"] = read_token(options.pop("token_file"))
    with _opened(source, options, stays=True) as follow, Endpoint(application(totals), listen, **terms) as endpoint:
        _say(f"exporting on {endpoint.url}", quiet)
        follow(totals)
    _say(_windows(totals), quiet)


@command.command("otlp", short_help="Push metrics to an OpenTelemetry collector.")
@click.option("--endpoint", required=True, metavar="URL", help="The collector, such as http://127.0.0.1:4318.")
@click.option("--interval", default="15s", show_default=True, metavar="DURATION", help="Time between two pushes.")
@click.option("--token-file", metavar="FILE", help="Token for the collector.")
@click.option("--ca", metavar="FILE", help="Authority (PEM) to trust for it, instead of the system's.")
@click.option("--tls-cert", metavar="FILE", help="Our certificate (PEM), where it wants one.")
@click.option("--tls-key", metavar="FILE", help="Its key (PEM).")
@_with_source
def otlp(source: str | None, endpoint: str, interval: str, quiet: bool, **options: Any) -> None:
    """Push metrics by OTLP over HTTP, as protobuf, at every interval and once at the end.

    A collector that is out of reach is tried again at every interval. Sums are pushed, so nothing is missing later.
    """
    try:
        from schedtel.export.otlp import Pusher  # noqa: PLC0415  (an optional extra)
    except ModuleNotFoundError as error:
        raise _missing("otlp", error) from error
    totals = _totals(source, options)
    terms = {name: options.pop(name) for name in ("ca", "tls_cert", "tls_key")}
    read_tls(terms["tls_cert"], terms["tls_key"], terms["ca"])  # only to report errors: the exporter reads the files
    token_file = options.pop("token_file")
    # Not from the environment: SCHEDTEL_TOKEN is for servers of windows and must not be sent to a collector.
    terms["token"] = read_token(token_file) if token_file is not None else None
    interval_s = parse_duration(interval) / NS_PER_S
    with _opened(source, options) as follow, Pusher(totals, endpoint, interval_s, _complain, **terms) as pusher:
        _say(f"exporting to {pusher.url}", quiet)
        follow(totals)
        with stop_on_signals(pusher.hurry):
            pusher.close()
    _say(f"{_windows(totals)}; {pusher.pushed} pushes, {pusher.failed} failed", quiet)
    if pusher.why_not:
        raise StreamError(
            f"cannot push to {pusher.url}: {pusher.why_not}; the last push failed (is a collector there?)"
        )


def _totals(source: str | None, options: dict[str, Any]) -> Totals:
    """Totals for this machine if there is no source, else for up to ``--max-hosts`` hosts."""
    max_cgroups, max_hosts = options.pop("max_cgroups"), options.pop("max_hosts")
    return Totals(max_cgroups, None if source is None else max_hosts)


def _missing(extra: str, error: ModuleNotFoundError) -> CapabilityError:
    return CapabilityError(f"cannot export: {error.name} is not installed (pip install 'schedtel[{extra}]')")


@contextmanager
def _opened(source: str | None, options: dict[str, Any], *, stays: bool = False) -> Iterator[Callable[[Totals], None]]:
    """Open the source. Yields a function that adds its windows to totals until it ends or a signal arrives.

    :param stays: the function waits for a signal after the last window of a recording.
    """
    client = {name: options.pop(f"source_{name}") for name in ("token_file", "ca", "tls_cert", "tls_key")}
    if source is None:
        refuse_without_stream("this machine", "source_")
        refuse(["max_hosts"], "this machine", "it is for windows of several hosts")
        with open_session(options, ()) as session:
            yield partial(_add_all, session.source)
        return
    refuse_for_another_source(source)
    if is_uri(source):
        parse_address(source)
        yield partial(_follow, Collection([source], open_request(client)))
    else:
        refuse_without_stream("a recording", "source_")
        recording = read(source)
        recording.need_identity("export")
        yield partial(_replay, recording, stays)


def _add_all(windows: Iterable[Window], totals: Totals) -> None:
    for window in windows:
        totals.add(window)


def _follow(collection: Collection, totals: Totals) -> None:
    """Add windows across all outages of the server, until its run is over or it refuses for good."""
    try:
        with stop_on_signals(collection.stop):
            for arrival in collection:
                if not isinstance(arrival, Outage):
                    totals.add(arrival.window, (arrival.gap and arrival.gap.windows_missed) or 0)
                elif arrival.final:
                    raise arrival.error
                else:
                    _complain(f"schedtel: {arrival.error}; trying again")
    finally:
        collection.close()


def _replay(recording: Recording, stays: bool, totals: Totals) -> None:
    ended = Latch()
    with stop_on_signals(ended.set):
        _add_all(itertools.takewhile(lambda _: not ended.is_set(), recording), totals)
        complain_of_damage(recording)
        if stays:
            ended.wait()


def _windows(totals: Totals) -> str:
    lost = ", ".join(f"{count} {name}" for name, count in totals.losses.items() if count) or "nothing lost"
    return f"exported {totals.windows} window{'' if totals.windows == 1 else 's'}, {lost}"


def _complain(line: str) -> None:
    lines.remark(line)


def _say(line: str, quiet: bool) -> None:
    if not quiet:
        lines.remark(line)
