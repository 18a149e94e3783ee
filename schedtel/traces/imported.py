"""The text of a trace in; windows out, as a source, by the state machine that live windows come from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import BinaryIO

import numpy as np

from schedtel.errors import RecordingError, UsageError
from schedtel.foreign_text import text_of_path
from schedtel.records.raw_window import RawWindow
from schedtel.traces import text as trace_text
from schedtel.traces.file import TraceFile
from schedtel.traces.order import InOrder
from schedtel.traces.play import NoCgroups, play
from schedtel.traces.replay import Replay
from schedtel.traces.text import FORMATS, ReadProgress
from schedtel.windows.build import build
from schedtel.windows.grid import window_length
from schedtel.windows.source import Source
from schedtel.windows.window import Window

#: Of a wall clock: in nanoseconds since 1970, it and what follows must fit 63 bits.
_YEARS = range(1970, 2200)
#: A text of which so many lines have no event of the scheduler is not read further: it may have no end.
_MOST_LINES_WITHOUT = 500_000


class ImportedTrace(Source):
    """Windows of a trace, aligned to multiples of their length on the trace's clock; the first and last are shorter.

    They can be iterated over once. ``reading`` counts what has been read so far; ``metadata`` has the same as text.
    """

    def __init__(
        self,
        trace: str | os.PathLike[str] | BinaryIO,
        window: str = "5s",
        form: str = "auto",
        wall_start: datetime | None = None,
        host: str | None = None,
    ) -> None:
        if form not in FORMATS:
            raise UsageError(f"cannot import format {form!r}: there are {', '.join(FORMATS)}")
        if wall_start and wall_start.year not in _YEARS:
            raise UsageError(
                f"cannot use the time {wall_start.isoformat()}: it is not between {_YEARS.start} and {_YEARS.stop} "
                "(give the wall clock of the first event)"
            )
        self.window_ns, self._window = window_length(window), window
        self._text = TraceFile(trace, form)
        self.name = self._text.name
        self.reading = ReadProgress(self._text.form)
        self._wall_start, self._host = wall_start, host and text_of_path(host)
        self._start_ns = self._window_id = 0
        self._ordered = InOrder(self._chunks())

    # ---- text ----

    def _chunks(self) -> Iterator[np.ndarray]:
        """Yield the events of each chunk of text, and at last the events lost after the last one."""
        last = None
        for text in self._text:
            events = trace_text.parse(text, self.reading)
            last = events[-1:].copy() if len(events) else last
            if last is None and self.reading.lines > _MOST_LINES_WITHOUT:
                return
            yield events
        if last is not None:
            yield trace_text.end(last, self.reading)

    @property
    def progress(self) -> float | None:
        """Part of the text that has been read, from 0 to 1; None if its length is not known."""
        return self._text.progress

    # ---- windows ----

    def __iter__(self) -> Iterator[Window]:
        played = False
        for window in play(self._ordered, self.window_ns, self._begin, self._build):
            played = True
            yield window
        if not played:
            raise RecordingError(
                f"cannot import {self.name}: no event of the scheduler in its {self.reading.lines} lines "
                "(trace sched:sched_switch and the others)"
            )

    def _begin(self, start_ns: int, first_edge_ns: int) -> Replay:
        self._start_ns = start_ns
        replay = Replay(
            start_ns,
            first_edge_ns,
            wakeups_traced=bool(self._ordered.wakeups),
            overwritten=self.reading.overwritten,
        )
        replay.know_cpus(int(self.reading.facts.get("cpus", 0)))
        return replay

    def _build(self, raw: RawWindow) -> Window:
        self._window_id += 1
        spanned = max(1, round((raw.end_ns - raw.start_ns) / self.window_ns))
        return build(raw, self._window_id, spanned, self._wall_ns(raw.start_ns), self._of_host(), NoCgroups)

    def _wall_ns(self, moment_ns: int) -> int | None:
        """Wall clock at a moment of the trace's clock, by the user's or the tracer's information; None without any."""
        if self._wall_start is not None:
            return int(self._wall_start.timestamp() * 1e6) * 1000 + moment_ns - self._start_ns
        offset = self.reading.wall_offset_ns
        return None if offset is None else offset + moment_ns

    def _wall_clock(self) -> str:
        """Where the wall clock is from: ``the user``, ``the tracer``, or ``""`` if it is not known."""
        if self._wall_start is not None:
            return "the user"
        return "" if self.reading.wall_offset_ns is None else "the tracer"

    def _of_host(self) -> dict[str, object]:
        """The summary's columns that are not sums over tasks or CPUs. A trace has few of them; the rest are null."""
        unknown = ("scheduler", "steal_ns", "throttled_ns", "collector_cpu_ns", "collector_rss_bytes")
        facts = self.reading.facts
        return {"host": self._host or facts.get("host"), "kernel": facts.get("kernel"), **dict.fromkeys(unknown)}

    @property
    def metadata(self) -> Mapping[str, str]:  # type: ignore[override]
        """Facts about the trace, and what has been read of it so far."""
        reading, facts = self.reading, self.reading.facts
        return {
            "clock": _CLOCKS.get(facts.get("clock", ""), facts.get("clock") or "the trace's"),
            "host": self._host or facts.get("host", ""),
            "kernel": facts.get("kernel", ""),
            "window": self._window,
            "filter": "",
            "imported_from": reading.format,
            "imported_file": text_of_path(self.name),
            "imported_wall_clock": self._wall_clock(),
            "imported_wakeups": self._ordered.wakeups,
            "imported_lines": str(reading.lines),
            "imported_events": str(sum(reading.events.values())),
            "imported_lines_not_understood": str(reading.not_understood),
            "imported_events_lost": str(reading.lost),
            "imported_events_out_of_order": str(self._ordered.late),
        }

    @property
    def out_of_order(self) -> int:
        """Number of events that came too late to be sorted to their place."""
        return self._ordered.late

    @property
    def wakeups(self) -> str:
        """Name of the trace's event that wakeups are taken from; ``""`` if the trace has none."""
        return self._ordered.wakeups

    def close(self) -> None:
        """Close the file, unless it is standard input."""
        self._text.close()


#: perf's name of a clock → the kernel's.
_CLOCKS = {"monotonic": "CLOCK_MONOTONIC", "monotonic_raw": "CLOCK_MONOTONIC_RAW", "boottime": "CLOCK_BOOTTIME"}


def import_trace(
    trace: str | os.PathLike[str] | BinaryIO,
    window: str = "5s",
    *,
    form: str = "auto",
    wall_start: datetime | None = None,
    host: str | None = None,
) -> ImportedTrace:
    """The windows of a trace that perf or ftrace has printed. Needs a C compiler, and no privileges.

    :param trace: a text file, an open binary stream, or ``-`` for standard input: the output of `perf script` or
        `perf sched script`, ftrace's ``trace`` or ``trace_pipe``, or the output of `trace-cmd report`.
    :param window: length of a window, such as ``250ms``, ``5s``, ``1m``; from 10 ms to 24 h.
    :param form: ``perf``, ``ftrace``, or ``auto``, which detects it.
    :param wall_start: wall clock of the trace's first event. Without it, the column ``wall_start`` is null, unless
        perf's header has the wall clock (`perf script --header`, recorded with ``-k CLOCK_MONOTONIC``).
    :param host: name of the machine; it takes precedence over the name in perf's header.

    Raises :class:`RecordingError` if the trace cannot be read, :class:`UsageError` for a wrong value, and
    :class:`CapabilityError` if there is no C compiler.
    """
    return ImportedTrace(trace, window, form, wall_start, host)
