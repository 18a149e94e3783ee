"""``schedtel collect``: windows of many servers in; one dataset out."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

from schedtel.access.uri import parse_address
from schedtel.cli.options import client_options, log_options, rotation_options
from schedtel.cli.service import log_end, notify_systemd, say, set_up_log
from schedtel.cli.session import stop_on_signals
from schedtel.cli.sources import open_request
from schedtel.cli.strict import StrictCommand
from schedtel.flight.collect import Collection, Delivery, Outage
from schedtel.recordings.dataset import Dataset

_INCOMPLETE = 1


@click.command("collect", cls=StrictCommand, short_help="Gather the windows of many servers.")
@click.argument("uris", nargs=-1, required=True, metavar="URI...")
@click.option("-o", "--output", required=True, metavar="DIR|URI", help="Dataset to add to: a directory or s3://…")
@click.option("-n", "--count", type=click.IntRange(min=1), help="End after this many windows, of all servers together.")
@rotation_options
@client_options
@log_options
def command(
    uris: tuple[str, ...],
    output: str,
    count: int | None,
    rotate_size: int,
    rotate_every: str,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Write what several `schedtel serve` publish to one dataset, in each table a folder for each host, day and run.

    A server that is out of reach is tried again, at longer and longer intervals. Missed windows are noted in the table
    gaps. All servers get the same token. Exit status 1 if a server refused for good.
    """
    set_up_log(quiet=quiet, verbose=verbose)
    for uri in uris:
        parse_address(uri)
    subscribe = open_request(options)
    totals = _Totals()
    with (
        Dataset(output, rotate_bytes=rotate_size << 20, rotate_every=rotate_every) as dataset,
        closing(Collection(uris, subscribe)) as collection,
    ):
        with stop_on_signals(collection.stop) as signals:
            notify_systemd("READY=1")
            for arrival in totals.deliveries(collection):
                dataset.write(arrival.window, arrival.run, arrival.facts)
                if arrival.gap:
                    dataset.write_gap(arrival.gap, arrival.window)
                if dataset.windows_written == count:
                    break
        log_end(signals)
    say.info(totals.describe(dataset))
    return _INCOMPLETE if totals.refused else 0


class _Totals:
    """Totals of all servers, for the closing line."""

    def __init__(self) -> None:
        self.refused = 0
        self.uris: set[str] = set()
        self._causes: Counter[str] = Counter()
        self._missed = 0

    def deliveries(self, collection: Collection) -> Iterator[Delivery]:
        """Yields each delivery after counting it, and logs each outage."""
        for arrival in collection:
            if isinstance(arrival, Outage):
                self.refused += arrival.final
                say.warning("%s; %s", arrival.error, "gave it up" if arrival.final else "trying again")
                continue
            self.uris.add(arrival.uri)
            if arrival.gap:
                self._causes[arrival.gap.cause] += 1
                self._missed += arrival.gap.windows_missed or 0
            yield arrival

    def describe(self, dataset: Dataset) -> str:
        windows, servers = _counted(dataset.windows_written, "window"), _counted(len(self.uris), "server")
        return f"collected {windows} of {servers} to {dataset.where}: {self._gaps()}"

    def _gaps(self) -> str:
        causes = ", ".join(f"{count} {cause}" for cause, count in self._causes.items())
        return (
            f"{_counted(self._causes.total(), 'gap')} ({causes}), {self._missed} windows missed"
            if causes
            else "no gaps"
        )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
