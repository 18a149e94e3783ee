"""What a user names in; what a page or a comparison tells of each out. Streams are read side by side."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from schedtel.access.uri import is_uri
from schedtel.cli.options import refuse_without_stream
from schedtel.cli.sources import complain_of_missed, open_source, stopped_by_signals
from schedtel.errors import UsageError
from schedtel.flight import Subscription
from schedtel.recordings.dataset import host_of
from schedtel.report import RunSummary, tell
from schedtel.windows.source import Source, bounded
from schedtel.windows.window import Window


def read_stories(places: Sequence[str], options: dict[str, Any]) -> list[RunSummary]:
    """A story of each recording, dataset or stream.

    :param options: those of ``client_options`` and ``bound_options``. A signal ends streams, and what came is told.

    Raises :class:`schedtel.SchedtelError` when one cannot be had, is lost, or has no window.
    """
    if not any(map(is_uri, places)):
        refuse_without_stream("a recording")
    with ExitStack() as stack:
        sources = [stack.enter_context(open_source(place, options)) for place in places]
        stack.enter_context(stopped_by_signals(*sources))
        read = _side_by_side if any(isinstance(source, Subscription) for source in sources) else _in_turn
        stories = read(places, sources, options)
        for source in sources:
            complain_of_missed(source)
        return stories


def _in_turn(places: Sequence[str], sources: Sequence[Source], options: dict[str, Any]) -> list[RunSummary]:
    return [_story(place, source, options) for place, source in zip(places, sources, strict=True)]


def _side_by_side(places: Sequence[str], sources: Sequence[Source], options: dict[str, Any]) -> list[RunSummary]:
    """In a thread each: two streams that are compared are to be of the same time."""

    def read(place: str, source: Source) -> RunSummary:
        try:
            return _story(place, source, options)
        except BaseException:  # the others may have no end
            for other in sources:
                if isinstance(other, Subscription):
                    other.stop()
            raise

    with ThreadPoolExecutor(len(sources)) as pool:
        return list(pool.map(read, places, sources))


def _story(place: str, source: Source, options: dict[str, Any]) -> RunSummary:
    windows = bounded(_of_one_host(source, options["host"], place), options["count"], options["duration"])
    return tell(windows, _name_of(place), source.metadata)


def _of_one_host(windows: Iterable[Window], host: str | None, place: str) -> Iterator[Window]:
    """The windows of a host, or of the only one there is: clocks of several have nothing in common."""
    only = host
    for window in windows:
        found = host_of(window)
        only = only or found
        if found == only:
            yield window
        elif host is None:
            raise UsageError(
                f"cannot tell of {place} as a whole: it has windows of {only} and {found}, whose clocks have nothing "
                f"in common (choose one: --host {only})"
            )


def _name_of(place: str) -> str:
    """What it is called on a page: its directory, without the way there, which is nobody's business; or its URI."""
    return place if is_uri(place) else os.path.basename(os.path.abspath(place)) or place
