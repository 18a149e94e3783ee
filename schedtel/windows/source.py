"""The interface between code that makes windows and code that uses them: a source is an iterable of windows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from schedtel.closing import Closing
from schedtel.durations import parse_duration

if TYPE_CHECKING:
    from schedtel.windows.table_stream import TableStream
    from schedtel.windows.window import Window

#: The tables of a window, which are those of :mod:`schedtel.windows.schema`.
TABLE_NAMES = ("summary", "tasks", "cpus", "preemptions", "throttled", "machine", "counters", "waits")


class Source(Closing):
    """An iterable of windows, and a context manager. Subclasses define :meth:`__iter__` and, if needed, :meth:`close`.

    The source itself is an Arrow stream of its ``tasks``; :meth:`table` returns the others. Any consumer of the Arrow
    C stream interface reads them: ``polars.DataFrame(source.table("summary"))``, ``duckdb.from_arrow(...)``.

    ``metadata`` holds facts that all its windows share: host, kernel, window, filter.
    """

    metadata: Mapping[str, str] = MappingProxyType({})
    #: Whether every iteration begins with the first window, as a recording's does and a live source's does not.
    is_repeatable = False

    def need_identity(self, purpose: str) -> None:
        """Raise :class:`UsageError` if its windows lack the host or the wall clock that tells them apart.

        :param purpose: what the windows are needed for, for the message: ``serve``.
        """

    def __iter__(self) -> Iterator[Window]:
        raise NotImplementedError

    def close(self) -> None:
        """Release the source's resources. Windows that it has yielded stay valid."""

    def table(self, name: str) -> TableStream:
        """The stream of one of :data:`TABLE_NAMES` over all windows. Raises :class:`UsageError` for any other name."""
        from schedtel.windows.table_stream import TableStream  # noqa: PLC0415  (it imports pyarrow: see live)

        return TableStream(self, name)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table("tasks").__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self.table("tasks").__arrow_c_schema__()


def bounded(windows: Iterable[Window], count: int | None = None, duration: str | None = None) -> Iterator[Window]:
    """Pass on the windows until there are ``count``, or until one completes ``duration`` since the first began.

    Raises :class:`UsageError` for a text that is no duration.
    """
    limit_ns = parse_duration(duration) if duration is not None else None
    return itertools.islice(windows if limit_ns is None else _lasting(windows, limit_ns), count)


def _lasting(windows: Iterable[Window], limit_ns: int) -> Iterator[Window]:
    begin_ns = None
    for window in windows:
        begin_ns = window.start_ns if begin_ns is None else begin_ns
        yield window
        if window.end_ns - begin_ns >= limit_ns:
            return
