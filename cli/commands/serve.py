"""``schedtel serve``: windows of this machine or of a recording in; Arrow Flight streams for many subscribers out."""

from typing import Any

import click

from schedtel.access.tokens import read_token
from schedtel.access.uri import DEFAULT_URI
from schedtel.analysis.health_log import HealthLog
from schedtel.cli.options import (
    counter_options,
    filter_options,
    log_options,
    machine_options,
    refuse_for_another_source,
    server_options,
    window_options,
)
from schedtel.cli.service import log_end, log_start, notify_systemd, say, set_up_log
from schedtel.cli.session import open_session, stop_on_signals
from schedtel.cli.sources import complain_of_damage
from schedtel.cli.strict import StrictCommand
from schedtel.cli.traced_command import TracedCommand
from schedtel.errors import UsageError
from schedtel.flight import serve
from schedtel.live import LiveSource
from schedtel.recordings.recording import read
from schedtel.windows.source import Source


@click.command("serve", cls=StrictCommand, short_help="Serve windows to subscribers.")
@click.option("-l", "--listen", "uri", default=DEFAULT_URI, show_default=True, metavar="URI", help="Where to listen.")
@click.option("--from", "directory", metavar="DIR", help="Serve a recording instead of this machine.")
@window_options
@filter_options
@machine_options
@counter_options
@server_options("subscribers")
@click.option(
    "--slow",
    type=click.Choice(["thin", "drop"]),
    default="thin",
    show_default=True,
    help="A slow subscriber misses windows and is told how many, or loses its stream.",
)
@click.option(
    "--history", type=click.IntRange(min=1), default=60, show_default=True, help="How many windows the server keeps."
)
@click.option(
    "--max-subscribers", type=click.IntRange(min=1), default=64, show_default=True, help="Most streams at a time."
)
@log_options
@click.argument("arguments", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
def command(arguments: tuple[str, ...], directory: str | None, quiet: bool, verbose: bool, **options: Any) -> int:
    """Publish windows on Arrow Flight: to `schedtel subscribe`, `collect`, and any Flight client.

    Without a certificate and a token, it serves only this machine: at 127.0.0.1, or grpc+unix:///path.

    With a COMMAND, run it, and serve it and its descendants until it ends; its exit status is passed on.
    """
    set_up_log(quiet=quiet, verbose=verbose)
    terms = {name: options.pop(name) for name in _TERMS} | {"token": read_token(options.pop("token_file"))}
    if directory is None:
        with open_session(options, arguments) as session:
            _serve(session.source, terms, session.command)
            return session.status()
    if arguments:
        raise UsageError("cannot serve a recording and a command at once (drop --from, or the command)")
    refuse_for_another_source(directory)
    recording = read(directory)
    _serve(recording, terms)
    complain_of_damage(recording)
    return 0


_TERMS = ("uri", "tls_cert", "tls_key", "client_ca", "slow", "history", "max_subscribers")


def _serve(source: Source, terms: dict[str, Any], traced: TracedCommand | None = None) -> None:
    with serve(source, **terms) as server:

        def end() -> None:
            server.stop()
            if isinstance(source, LiveSource):
                source.stop()

        with stop_on_signals(end, traced) as signals:
            say.info("serving on %s", server.uri)
            if isinstance(source, LiveSource):
                log_start(source)
            notify_systemd("READY=1")
            server.run(HealthLog().add)
        log_end(signals)
    streams, missed = server.subscribers.ever, server.subscribers.windows_missed
    say.info("served %d stream%s, %d windows missed by slow ones", streams, "" if streams == 1 else "s", missed)
