"""A directory or URI that ``schedtel events record`` wrote in; its tables as Arrow tables out."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa

from schedtel.errors import RecordingError
from schedtel.eventlog.batch import EventBatch, in_order
from schedtel.eventlog.files import DamagedPart, read_facts, read_table
from schedtel.eventlog.schema import ARROW, no_rows
from schedtel.recordings.storage import place_of


class EventRecording:
    """Recorded events. Iterating yields an :class:`EventBatch` at a time, of some seconds, in the order of time.

    ``metadata``: host, kernel, clock, filter and the like, as text. ``damaged``: what the last iteration has left out,
    and why.

    Raises :class:`RecordingError` if it is missing, damaged from the begin to the end, or no recording of events.
    """

    def __init__(self, where: str | os.PathLike[str]) -> None:
        self._place = place_of(where)
        if not self._place.exists():
            raise RecordingError(f"cannot read {self._place}: no such directory (name one of `schedtel events record`)")
        self._parts = self._place.parts("events")
        if not self._parts:
            raise RecordingError(f"cannot read {self._place}: no events in it ({self._advice()})")
        self.damaged: list[str] = []
        self.metadata = self._first_facts()
        #: The CPUs that were traced; when the recording begins; and what added to a time makes it one of the wall
        #: clock, and of CLOCK_BOOTTIME; in nanoseconds.
        self.cpus = tuple(_number(cpu, 8191) for cpu in self.metadata.get("cpus", "").split(",")[:8192])
        self.start_ns, self.wall_offset_ns, self.boottime_offset_ns = (
            _number(self.metadata.get(name, ""), 1 << 62)
            for name in ("start_ns", "wall_offset_ns", "boottime_offset_ns")
        )

    def _advice(self) -> str:
        if self._place.parts("summary"):
            return "it is a recording of windows: use `schedtel show`, or record with `schedtel events record`"
        return "name a directory of `schedtel events record`"

    def _first_facts(self) -> dict[str, str]:
        flaw: DamagedPart | None = None
        for part in self._parts:
            try:
                return read_facts(self._place, part)
            except DamagedPart as found:
                flaw = flaw or found
        raise RecordingError(f"cannot read {flaw} (the file is damaged or not a recording's)") from flaw

    def __iter__(self) -> Iterator[EventBatch]:
        return in_order(self._batches())

    def _batches(self) -> Iterator[EventBatch]:
        self.damaged, whole = [], 0
        for part in self._parts:
            try:
                yield EventBatch(**{table: read_table(self._place, table, part) for table in ARROW})
                whole += 1
            except DamagedPart as flaw:
                self.damaged.append(str(flaw))
        if not whole:
            raise RecordingError(f"cannot read {self.damaged[0]} (the file is damaged or not a recording's)")

    def events(self) -> pa.Table:
        """All events, in the order of time. They take some 40 bytes each in memory."""
        return _together("events", [batch.events for batch in self])

    def tasks(self) -> pa.Table:
        """Which threads there were when tracing began, and each birth, exec, new name and exit since."""
        return _together("tasks", [batch.tasks for batch in self])

    def gaps(self) -> pa.Table:
        """Where events are missing, and how many: all losses that are known of."""
        return _together("gaps", [batch.gaps for batch in self])

    def books(self) -> pa.Table:
        """The scheduler's books at each event, in the order of time on each CPU; no rows if they were not recorded."""
        return _together("books", [batch.books for batch in self])


def _number(text: str, most: int) -> int:
    """A number of the metadata; 0 for what is none, or too large."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    return number if number <= most else 0


def _together(table: str, pieces: list[pa.Table]) -> pa.Table:
    return pa.concat_tables([no_rows(table), *pieces]).unify_dictionaries()
