"""Events in the order of time in; windows on a grid out, by a replayed machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

from schedtel.records.raw_window import RawWindow
from schedtel.traces.replay import Replay
from schedtel.windows.window import Window

#: A longer time without events, in windows, becomes one window with a windows_spanned above 1.
_MOST_EMPTY_WINDOWS = 1000
#: A first window shorter than a window's length divided by this runs to the next edge, as a live one does.
_LEAST_FIRST_PART = 10


def play(
    chunks: Iterable[np.ndarray],
    window_ns: int,
    begin: Callable[[int, int], Replay],
    build: Callable[[RawWindow], Window],
) -> Iterator[Window]:
    """The windows of events, aligned to multiples of their length; the first and the last one are shorter.

    :param chunks: arrays of EVENT, none of them empty, in the order of time.
    :param begin: the time of the first event and the first edge → the machine, asked for once.
    """
    replay, newest_ns = None, 0
    for events in chunks:
        if replay is None:
            start_ns = int(events["time_ns"][0])
            replay = begin(start_ns, _edge_after(start_ns + window_ns // _LEAST_FIRST_PART, start_ns, window_ns))
        newest_ns = max(newest_ns, int(events["time_ns"].max()))
        for raw in _happen(replay, events, window_ns):
            yield build(raw)
    if replay is None:
        return
    last = newest_ns + 1
    if replay.edge_ns < last:  # the last event is on the edge, so it belongs to the next window
        yield build(replay.collect(lambda _: last))
    replay.end_at(last)
    yield build(replay.collect(lambda start: start + window_ns))


def _happen(replay: Replay, events: np.ndarray, window_ns: int) -> Iterator[RawWindow]:
    while len(events):
        events = events[replay.happen(events) :]
        if len(events):
            yield replay.collect(partial(_edge_after, upcoming_ns=int(events["time_ns"][0]), window_ns=window_ns))


def _edge_after(moment_ns: int, upcoming_ns: int, window_ns: int) -> int:
    """The first edge of the grid after a moment.

    :param upcoming_ns: time of the next event. If that is more than :data:`_MOST_EMPTY_WINDOWS` windows later, the
        last edge not after it is returned, so that the time without events is one window.
    """
    edge = (moment_ns // window_ns + 1) * window_ns
    if upcoming_ns - edge > _MOST_EMPTY_WINDOWS * window_ns:
        return upcoming_ns // window_ns * window_ns
    return edge


class NoCgroups:
    """Stands for the table of cgroups: no scheduler event names a cgroup."""

    @staticmethod
    def path_of(_identity: int) -> str | None:
        return None
