"""A window: Arrow batches in; metrics, groups and data frames out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

import pyarrow as pa

from schedtel.windows import ndjson, tables
from schedtel.windows.features import FeatureVector, features_of
from schedtel.windows.groups import groups_of
from schedtel.windows.metrics import Metrics
from schedtel.windows.schema import LOSSES, TABLES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Window:
    """One window of telemetry, as tables.

    ``summary``: one row; ``tasks``: a row for each task active in the window, and the row ``other``; ``cpus``: a row
    for each CPU; ``preemptions``: a row for each pair of a victim and the group that took its CPU; ``throttled``: a row
    for each cgroup that a bandwidth limit may have stopped; ``machine``: one row if the machine was sampled, else none;
    ``counters``: a row for each task and perf event, if any were asked for; ``waits``: the longest waits.
    All are :class:`pyarrow.RecordBatch`; the columns are those of :mod:`schedtel.windows.schema`.
    """

    summary: pa.RecordBatch
    tasks: pa.RecordBatch
    cpus: pa.RecordBatch
    preemptions: pa.RecordBatch = field(default_factory=partial(tables.empty, "preemptions"))
    throttled: pa.RecordBatch = field(default_factory=partial(tables.empty, "throttled"))
    machine: pa.RecordBatch = field(default_factory=partial(tables.empty, "machine"))
    counters: pa.RecordBatch = field(default_factory=partial(tables.empty, "counters"))
    waits: pa.RecordBatch = field(default_factory=partial(tables.empty, "waits"))

    @property
    def window_id(self) -> int:
        """Number of the window in its run, from 1."""
        return int(self.summary["window_id"][0].as_py())

    @property
    def start_ns(self) -> int:
        """Start, CLOCK_MONOTONIC, in nanoseconds."""
        return int(self.summary["window_start_ns"][0].as_py())

    @property
    def end_ns(self) -> int:
        """End, CLOCK_MONOTONIC, in nanoseconds; the next window's start."""
        return self.start_ns + int(self.summary["window_ns"][0].as_py())

    @cached_property
    def metrics(self) -> Metrics:
        """TAT, RT, bursts, waits, fairness and averages of this window."""
        return Metrics.from_summary(self.summary)

    @property
    def losses(self) -> dict[str, int]:
        """The loss counters; a window in which all are 0 is exact."""
        return {name: int(self.summary[name][0].as_py()) for name in LOSSES}

    def features(self, view: str = "all") -> FeatureVector:
        """The window as a vector of named numbers, for a model.

        :param view: ``all``: every feature; ``study``: the names ``T_*`` of an earlier study.

        Raises :class:`UsageError` for another view.
        """
        return self._all_features if view == "all" else features_of(self, view)

    @cached_property
    def _all_features(self) -> FeatureVector:
        """Made once: an agent asks for them at several places."""
        return features_of(self)

    def groups(self, by: str = "cgroup") -> pa.RecordBatch:
        """Tasks summed by ``cgroup``, ``comm``, ``process``, ``task`` or any column of ``tasks``.

        Returns one row for each group: the key, ``tasks``, the sums of all times and counts, the largest
        ``max_wait_ns`` and ``open_wait_ns``, the merged histograms, ``wait_p50_ns``/``wait_p99_ns`` read from them (a
        task's histogram has 2 buckets an octave), ``tasks_completed``, mean ``tat_ns`` and ``rt_ns``, and the fairness
        inside the group. The row ``other`` is the last group, with the key null and 0 ``tasks``; no task is in it,
        whatever its name.

        Raises :class:`UsageError` for a name that is no column.
        """
        return groups_of(self.tasks, by)

    def to_pandas(self, table: str = "tasks") -> pd.DataFrame:
        """One table as a pandas data frame."""
        return getattr(self, table).to_pandas()

    def to_ndjson(self) -> str:
        """The window as one line of JSON, by the schema that ``schedtel schema`` prints."""
        return b"".join(self.ndjson_parts()).decode()

    def ndjson_parts(self) -> Iterator[bytes]:
        """The line of :meth:`to_ndjson` as UTF-8, in parts of 64 rows at most: the caller can do other work between."""
        return ndjson.parts({name: getattr(self, name) for name in TABLES})
