"""Datasets: windows of many hosts and runs in, partitioned Parquet out, in a directory or any store of pyarrow.fs.

    ROOT/summary/host=web1/day=2026-01-31/run=20260131T080000Z-1a2b3c/part-….parquet
    ROOT/tasks/…    ROOT/cpus/…    ROOT/gaps/…

The table comes first, so that its folder is one table to Spark, Ray Data, DuckDB and the like. A window's number is
unique in its run, so host, run and window_id join the tables. Each writer's files have a name of their own: any number
of writers may share a dataset, and one that starts again adds to it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from urllib.parse import quote

import pyarrow as pa

from schedtel.arrow import from_list
from schedtel.host import new_run
from schedtel.recording import Recorder, rotation_ns
from schedtel.schema import DEFINITIONS_VERSION, GAPS
from schedtel.storage import Place, place_of
from schedtel.window import Window

_GAPS = pa.schema([c.field() for c in GAPS], metadata={"schedtel.definitions_version": str(DEFINITIONS_VERSION)})


@dataclass(frozen=True)
class Gap:
    """Windows that are missing before a window; the columns of ``gaps``."""

    uri: str
    cause: str
    run: str
    after_window_id: int
    before_window_id: int
    windows_missed: int | None
    gap_start: datetime
    gap_end: datetime


class Dataset:
    """Writes windows of any hosts to one dataset; complete after every :meth:`write`, so nothing needs closing.

    :param where: a directory, which is made if missing, or a URI such as ``s3://bucket/path``. It may hold a dataset.

    The others are those of :class:`schedtel.Recorder`.
    """

    def __init__(
        self,
        where: str | os.PathLike[str],
        window: str = "",
        filter_text: str = "",
        rotate_bytes: int = 1 << 20,
        rotate_every: str = "5m",
    ) -> None:
        rotation_ns(rotate_bytes, rotate_every)  # at once, and not with the first window
        self.window, self.filter_text = window, filter_text
        self._rotation = (rotate_bytes, rotate_every)
        self._place = place_of(where)
        self._place.prepare()
        #: The run that windows belong to if nobody says otherwise, and a name for this writer's files.
        self._session = new_run()
        self._hosts: dict[str, _HostRecorder] = {}
        self._gaps: list[Gap] = []
        self.windows_written = 0
        self._closed_bytes = 0

    @property
    def where(self) -> str:
        return str(self._place)

    @property
    def bytes_written(self) -> int:
        return self._closed_bytes + sum(host.bytes_written for host in self._hosts.values())

    def write(self, window: Window, run: str = "", facts: Mapping[str, str] = MappingProxyType({})) -> None:
        """Add a window of a run; ``facts`` are the metadata of the source it is from.

        Raises :class:`RecordingError` when it cannot be written.
        """
        name, run = host_of(window), run or self._session
        recorder = self._hosts.get(name)
        if recorder is None or recorder.run != run:
            self._closed_bytes += recorder.bytes_written if recorder else 0
            files = _Files(self._place, name, run, self._session)
            texts = facts.get("window", self.window), facts.get("filter", self.filter_text)
            recorder = _HostRecorder(files, *texts, *self._rotation)
            self._hosts[name] = recorder
        recorder.write(window)
        self.windows_written += 1

    def write_gap(self, gap: Gap, window: Window) -> None:
        """Say that windows are missing before one. Raises :class:`RecordingError` when it cannot be written."""
        folder = f"gaps/{partition(host_of(window), window, gap.run)}"
        self._place.write(f"{folder}/part-{self._session}-{gap.before_window_id:06d}.parquet", _gap_row(gap))


@dataclass(frozen=True)
class _Files:
    """Where one host's run is written, and by whom."""

    place: Place
    host: str
    run: str
    session: str


class _HostRecorder(Recorder):
    """The open parts of one host's run; a part is of one day."""

    def __init__(self, files: _Files, window: str, filter_text: str, rotate_bytes: int, rotate_every: str) -> None:
        self._files, self.run, self._folder = files, files.run, ""
        super().__init__("", window, filter_text, rotate_bytes, rotate_every)

    def _prepare(self) -> None:
        self._place = self._files.place  # made by the dataset, and not empty

    def write(self, window: Window) -> None:
        folder = partition(self._files.host, window, self.run)
        if self._folder not in ("", folder):
            self._close_part()
        self._folder = folder
        super().write(window)

    def _name(self, table: str) -> str:
        return f"{table}/{self._folder}/part-{self._files.session}-{self._part:06d}.parquet"


def partition(host: str, window: Window, run: str) -> str:
    """The folder of a window. Names are quoted: they come from other machines, and may say ``../..``."""
    day = wall_start(window).date().isoformat()
    return f"host={quote(host, safe='')}/day={day}/run={quote(run, safe='')}"


def host_of(window: Window) -> str:
    return str(window.summary["host"][0].as_py())


def wall_start(window: Window) -> datetime:
    """Start of a window on the wall clock, UTC."""
    # as_py() of a point in time would import pandas, and wants a database of time zones.
    microseconds = window.summary["wall_start"].view(pa.int64())[0].as_py()
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def wall_end(window: Window) -> datetime:
    """End of a window on the wall clock, UTC."""
    return wall_start(window) + timedelta(microseconds=(window.end_ns - window.start_ns) / 1000)


def _gap_row(gap: Gap) -> pa.RecordBatch:
    microseconds = {name: int(getattr(gap, name).timestamp() * 1e6) for name in ("gap_start", "gap_end")}
    row = {**vars(gap), **microseconds}
    return pa.RecordBatch.from_arrays([from_list([row[f.name]], f.type) for f in _GAPS], schema=_GAPS)
