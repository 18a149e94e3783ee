"""Windows of many hosts and runs in; a dataset of Parquet files out, in a directory or any store of pyarrow.fs.

    ROOT/summary/host=web1/day=2026-01-31/run=20260131T080000Z-1a2b3c/part-….parquet
    ROOT/tasks/…    ROOT/cpus/…    ROOT/gaps/…

Paths begin with the table, so that its folder is one table to Spark, Ray Data, DuckDB and the like. A window's number
is unique in its run, so host, run and window_id join the tables. Each writer names its files differently. So any number
of writers may share a dataset, and a writer that starts again adds to it.
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

#: The entries of a source's metadata that the dataset keeps for each run.
_RUN_FACTS = ("window", "filter", "preemptions", "counters")


class Dataset(Recorder):
    """Writes windows of any hosts to one dataset. Every :meth:`write` leaves it complete, so nothing needs closing.

    The parameters are those of :class:`schedtel.Recorder`, but ``directory`` may also be a URI such as
    ``s3://bucket/path``, and may already hold a dataset.
    """

    def _begin(self) -> None:
        #: The run of windows that the caller names no run for. It is also part of the names of this writer's files.
        self._session = new_run()
        #: Metadata of each run, by host and run.
        self._facts_of_runs: dict[tuple[str, ...], dict[str, str]] = {}

    def write(self, window: Window, run: str = "", facts: Mapping[str, str] = MappingProxyType({})) -> None:
        """Add a window of a run.

        :param facts: the metadata of the window's source.

        Raises :class:`RecordingError` if the window cannot be written, or has no host or no wall clock.
        """
        self.add(window, run, facts)
        self.flush()

    def add(self, window: Window, run: str = "", facts: Mapping[str, str] = MappingProxyType({})) -> None:
        """Add a window that the next :meth:`flush` writes; parameters and errors are those of :meth:`write`."""
        if any(window.summary[name].null_count for name in ("host", "wall_start")):
            raise RecordingError(
                f"cannot write to {self._place}: a dataset is by host and day, and the trace knows no host or no wall "
                "clock (import it with --host and --wall-start, or to a plain directory)"
            )
        host, run = key = host_of(window), run or self._session
        if key not in self._open:
            # Most likely the host's other runs are over. A run that is not (two servers may claim to be the same host)
            # continues with its next part.
            for part in (part for other, part in self._open.items() if other[0] == host):
                part.close()
            self._open[key] = OpenPart(self._place, *self._rotation, f"part-{self._session}-")
            self._facts_of_runs[key] = {name: facts[name] for name in _RUN_FACTS if name in facts}
        part = self._open[key]
        part.facts = self._facts(key)
        part.move(f"{partition(host, window, run)}/")
        part.add(window)

    def _facts(self, key: tuple[str, ...]) -> dict[str, str]:
        return super()._facts(key) | self._facts_of_runs[key]

    def write_gap(self, gap: Gap, window: Window) -> None:
        """Record that windows are missing before ``window``. Raises :class:`RecordingError` if it cannot be written."""
        folder = f"gaps/{partition(host_of(window), window, gap.run)}"
        self._place.write(f"{folder}/part-{self._session}-{gap.before_window_id:06d}.parquet", _gap_row(gap))


def recorder_of(where: str, window: str, rotate_bytes: int, rotate_every: str) -> Recorder:
    """The recorder for a place: a :class:`Dataset`, which writers may share, for a URI; a recording for a directory.

    The parameters and errors are those of :class:`schedtel.Recorder`.
    """
    return (Dataset if "://" in where else Recorder)(where, window, "", rotate_bytes, rotate_every)


def partition(host: str, window: Window, run: str) -> str:
    """The folder of a window, below that of a table. Names are quoted: other machines may send ``../..``."""
    day = wall_start(window).date().isoformat()
    return f"host={quote(host, safe='')}/day={day}/run={quote(run, safe='')}"


def host_of(window: Window) -> str:
    return str(window.summary["host"][0].as_py())


def _gap_row(gap: Gap) -> pa.RecordBatch:
    microseconds = {name: int(getattr(gap, name).timestamp() * 1e6) for name in ("gap_start", "gap_end")}
    row = {**vars(gap), **microseconds}
    return pa.RecordBatch.from_arrays([from_list([row[f.name]], f.type) for f in _GAPS], schema=_GAPS)
