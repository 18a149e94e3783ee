"""Datasets: windows of many hosts and runs in, partitioned Parquet out, in a directory or any store of pyarrow.fs.

    ROOT/summary/host=web1/day=2026-01-31/run=20260131T080000Z-1a2b3c/part-….parquet
    ROOT/tasks/…    ROOT/cpus/…    ROOT/gaps/…

The table comes first, so that its folder is one table to Spark, Ray Data, DuckDB and the like. A window's number is
unique in its run, so host, run and window_id join the tables. Each writer's files have a name of their own: any number
of writers may share a dataset, and one that starts again adds to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote

import pyarrow as pa

from schedtel.errors import RecordingError
from schedtel.recordings.recorder import OpenPart, Recorder
from schedtel.windows.arrow import from_list
from schedtel.windows.gaps import Gap, wall_start
from schedtel.windows.runs import new_run
from schedtel.windows.schema import DEFINITIONS_VERSION, GAPS
from schedtel.windows.window import Window

_GAPS = pa.schema([c.field() for c in GAPS], metadata={"schedtel.definitions_version": str(DEFINITIONS_VERSION)})

#: What the source of a run is asked for, in its metadata.
_OF_A_RUN = ("window", "filter", "preemptions")


class Dataset(Recorder):
    """Writes windows of any hosts to one dataset; complete after every :meth:`write`, so nothing needs closing.

    Constructed as :class:`schedtel.Recorder` is, with a directory or a URI such as ``s3://bucket/path``. It may hold a
    dataset.
    """

    def _begin(self) -> None:
        #: The run that windows belong to if nobody says otherwise, and a name for this writer's files.
        self._session = new_run()
        #: What is known of each run.
        self._facts_of_runs: dict[tuple[str, ...], dict[str, str]] = {}

    def write(self, window: Window, run: str = "", facts: Mapping[str, str] = MappingProxyType({})) -> None:
        """Add a window of a run; ``facts`` are the metadata of the source it is from.

        Raises :class:`RecordingError` when it cannot be written.
        """
        self.add(window, run, facts)
        self.flush()

    def add(self, window: Window, run: str = "", facts: Mapping[str, str] = MappingProxyType({})) -> None:
        """Add a window that the next :meth:`flush` will write, as :meth:`write` does."""
        if any(window.summary[name].null_count for name in ("host", "wall_start")):
            raise RecordingError(
                f"cannot write to {self._place}: a dataset is by host and day, and the trace knows no host or no wall "
                "clock (import it with --host and --wall-start, or to a plain directory)"
            )
        host, run = key = host_of(window), run or self._session
        if key not in self._open:
            # The host's other runs are over, most likely. One that is not (two servers may say they are the same host)
            # goes on with its next part.
            for part in (part for other, part in self._open.items() if other[0] == host):
                part.close()
            self._open[key] = OpenPart(self._place, *self._rotation, f"part-{self._session}-")
            self._facts_of_runs[key] = {name: facts[name] for name in _OF_A_RUN if name in facts}
        part = self._open[key]
        part.facts = self._facts(key)
        part.move(f"{partition(host, window, run)}/")
        part.add(window)

    def _facts(self, key: tuple[str, ...]) -> dict[str, str]:
        return super()._facts(key) | self._facts_of_runs[key]

    def write_gap(self, gap: Gap, window: Window) -> None:
        """Say that windows are missing before one. Raises :class:`RecordingError` when it cannot be written."""
        folder = f"gaps/{partition(host_of(window), window, gap.run)}"
        self._place.write(f"{folder}/part-{self._session}-{gap.before_window_id:06d}.parquet", _gap_row(gap))


def recorder_of(where: str, window: str, rotate_bytes: int, rotate_every: str) -> Recorder:
    """What writes where a user says: to a URI a dataset, which many may share, and to a directory a recording."""
    return (Dataset if "://" in where else Recorder)(where, window, "", rotate_bytes, rotate_every)


def partition(host: str, window: Window, run: str) -> str:
    """The folder of a window. Names are quoted: they come from other machines, and may say ``../..``."""
    day = wall_start(window).date().isoformat()
    return f"host={quote(host, safe='')}/day={day}/run={quote(run, safe='')}"


def host_of(window: Window) -> str:
    return str(window.summary["host"][0].as_py())


def _gap_row(gap: Gap) -> pa.RecordBatch:
    microseconds = {name: int(getattr(gap, name).timestamp() * 1e6) for name in ("gap_start", "gap_end")}
    row = {**vars(gap), **microseconds}
    return pa.RecordBatch.from_arrays([from_list([row[f.name]], f.type) for f in _GAPS], schema=_GAPS)
