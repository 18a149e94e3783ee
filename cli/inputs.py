"""Recordings, datasets and URIs that the user names in; a summary of each out. Streams are read in parallel."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from schedtel.access.uri import is_uri
from schedtel.cli.options import refuse_without_stream
from schedtel.cli.sources import complain_of_damage, complain_of_missed, open_source, stopped_by_signals
from schedtel.errors import UsageError
from schedtel.flight import Subscription
from schedtel.recordings.dataset import host_of
from schedtel.report import RunSummary, tell
from schedtel.windows.source import Source, bounded
from schedtel.windows.window import Window


def read_summaries(places: Sequence[str], options: dict[str, Any]) -> list[RunSummary]:
    """A summary of each recording, dataset or stream.

    :param options: those of ``client_options`` and ``bound_options``. A signal ends streams; the summaries then cover
        the windows received so far.

    Raises :class:`schedtel.SchedtelError` when a source cannot be opened, is lost, or has no window.
    """
    if not any(map(is_uri, places)):
        refuse_without_stream("a recording")
    with ExitStack() as stack:
        sources = [stack.enter_context(open_source(place, options)) for place in places]
        stack.enter_context(stopped_by_signals(*sources))
        read = _in_parallel if any(isinstance(source, Subscription) for source in sources) else _in_turn
        summaries = read(places, sources, options)
        for source in sources:
            complain_of_missed(source)
            complain_of_damage(source)
        return summaries


def _in_turn(places: Sequence[str], sources: Sequence[Source], options: dict[str, Any]) -> list[RunSummary]:
    return [_summary(place, source, options) for place, source in zip(places, sources, strict=True)]


def _in_parallel(places: Sequence[str], sources: Sequence[Source], options: dict[str, Any]) -> list[RunSummary]:
    """Read each source in its own thread, so that two streams that are compared cover the same time."""

    def read(place: str, source: Source) -> RunSummary:
        try:
            return _summary(place, source, options)
        except BaseException:  # the other streams may never end by themselves
            for other in sources:
                if isinstance(other, Subscription):
                    other.stop()
            raise

    with ThreadPoolExecutor(len(sources)) as pool:
        return list(pool.map(read, places, sources))


def _summary(place: str, source: Source, options: dict[str, Any]) -> RunSummary:
    windows = bounded(_of_one_host(source, options["host"], place), options["count"], options["duration"])
    return tell(windows, name_of(place), source.metadata)


def _of_one_host(windows: Iterable[Window], host: str | None, place: str) -> Iterator[Window]:
    """The windows of the named host, or of the only host; clocks of several hosts cannot be compared.

    Raises :class:`UsageError` when there are several hosts and ``host`` is None.
    """
    only = host
    for window in windows:
        current = host_of(window)
        only = only or current
        if current == only:
            yield window
        elif host is None:
            raise UsageError(
                f"cannot summarise {place}: it has windows of {only} and {current}, whose clocks cannot be compared "
                f"(choose one: --host {only})"
            )


def name_of(place: str) -> str:
    """The name of a source on a page: its URI, or the last part of its path; pages do not reveal the rest of a path."""
    return place if is_uri(place) else os.path.basename(os.path.abspath(place)) or place
