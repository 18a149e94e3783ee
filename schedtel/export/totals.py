"""Windows of one host in; a reading of all its metrics out, at any time: sums, and gauges of the last window.

Sums are integers: nanoseconds and counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from schedtel.analysis.timeline import life_samples
from schedtel.export import definitions as d
from schedtel.export.buckets import CGROUP_STEP, HOST_STEP, Histogram, exported
from schedtel.export.cgroups import DEFAULT_MAX_CGROUPS, CgroupTotals
from schedtel.export.definitions import Metric
from schedtel.export.exemplars import WaitExemplars
from schedtel.export.preemptions import PairTotals
from schedtel.export.series_slots import OTHER
from schedtel.records.histogram import fine_counts
from schedtel.records.layout import FINE_BUCKETS
from schedtel.windows import tables
from schedtel.windows.arrow import rows
from schedtel.windows.gaps import wall_end, wall_start
from schedtel.windows.schema import LOSSES
from schedtel.windows.window import Window


@dataclass(frozen=True)
class Series:
    """One series of a metric: the values of its labels, and its value in the metric's unit.

    ``start_ns``: wall clock since which it counts.
    """

    labels: tuple[str, ...]
    value: float | Histogram
    start_ns: int


@dataclass(frozen=True)
class Reading:
    """All metrics of a host at one moment.

    ``time_ns``: end of its last window on the wall clock; 0 before the first window.
    """

    time_ns: int
    host: str
    families: list[tuple[Metric, list[Series]]]


class HostTotals:
    """Sums over the windows of one host.

    :param several: the windows are of all hosts without a reading of their own (the host ``other``); then there are
        sums and no gauges.
    """

    def __init__(self, max_cgroups: int = DEFAULT_MAX_CGROUPS, *, several: bool = False) -> None:
        self._several = several
        self._cgroups, self._pairs = CgroupTotals(max_cgroups), PairTotals(max_cgroups)
        self._exemplars = WaitExemplars()
        self.windows = 0
        self._observed_ns = self._missed = self._start_ns = self._time_ns = 0
        self._last: dict[str, Any] = {}
        self._counted = {
            m.column: 0 for m in d.HOST_COUNTERS if m.column != "bpf_ns"
        }  # null unless the kernel counts it
        self._cpus: dict[int, np.ndarray] = {}
        self._counts = {metric: np.zeros(FINE_BUCKETS, np.int64) for metric in (d.WAIT, *d.LIVES.values())}
        self._sums_ns = dict.fromkeys(self._counts, 0)

    @property
    def losses(self) -> dict[str, int]:
        """Loss counter → its sum over all windows; and ``windows_missed``, the windows that did not arrive."""
        return {name: self._counted[name] for name in LOSSES} | {"windows_missed": self._missed}

    def add(self, window: Window, missed: int = 0) -> None:
        """Add the next window; ``missed`` windows before it did not arrive."""
        row = rows(window.summary)[0]
        self._last = {} if self._several else row
        wall_start_ns = _unix_ns(wall_start(window))
        self._start_ns, self._time_ns = self._start_ns or wall_start_ns, _unix_ns(wall_end(window))
        self.windows += 1
        self._missed += missed
        self._observed_ns += row["window_ns"]
        self._count(row)
        self._add_cpus(window)
        self._add_lives(window)
        if not self._several:
            self._exemplars.add(window, wall_start_ns)
        self._cgroups.add(window.tasks, wall_start_ns, window.end_ns)
        self._pairs.add(window.preemptions, wall_start_ns, window.end_ns)

    def _count(self, row: dict[str, Any]) -> None:
        for metric in d.HOST_COUNTERS:
            if row[metric.column] is not None:
                self._counted[metric.column] = self._counted.get(metric.column, 0) + row[metric.column]

    def _add_cpus(self, window: Window) -> None:
        columns = np.stack([tables.column(window.cpus, metric.column) for metric in d.CPU_COUNTERS], axis=1)
        for cpu, sums in zip(tables.column(window.cpus, "cpu").tolist(), columns, strict=True):
            self._cpus[cpu] = self._cpus.get(cpu, 0) + sums
        self._counts[d.WAIT] += tables.histograms(window.cpus, d.WAIT.column).sum(axis=0, dtype=np.int64)
        self._sums_ns[d.WAIT] += int(tables.column(window.tasks, "wait_ns").sum())

    def _add_lives(self, window: Window) -> None:
        for name, samples_ns in life_samples(window).items():
            self._counts[d.LIVES[name]] += fine_counts(samples_ns)
            self._sums_ns[d.LIVES[name]] += int(samples_ns.sum())

    def read(self) -> Reading:
        """The current values of all metrics; metrics without a value are left out."""
        families = [*self._own(), *self._host(), *self._of_cpus(), *self._of_cgroups(), *self._of_pairs()]
        return Reading(self._time_ns, OTHER if self._several else self._last.get("host") or "", families)

    def _own(self) -> Iterator[tuple[Metric, list[Series]]]:
        yield d.WINDOWS, [self._series(self.windows)]
        yield d.OBSERVED, [self._series(self._observed_ns / d.NS_PER_S)]
        yield d.MISSED, [self._series(self._missed)]
        yield d.CGROUPS, [self._series(len(self._cgroups))]
        yield d.CGROUPS_FOLDED, [self._series(self._cgroups.folded)]
        if self._last:
            yield d.LAST_WINDOW, [self._series(self._time_ns / d.NS_PER_S)]
            yield d.HOST, [self._series(1, *(self._last[name] or "" for name in d.HOST.labels))]

    def _host(self) -> Iterator[tuple[Metric, list[Series]]]:
        for values, metrics in ((self._counted, d.HOST_COUNTERS), (self._last, d.HOST_GAUGES)):
            for metric in metrics:
                if values.get(metric.column) is not None:
                    yield metric, [self._series(_in_unit(metric, values[metric.column]))]
        for metric, counts in self._counts.items():
            exemplars = self._exemplars.of_buckets if metric is d.WAIT else {}
            yield metric, [self._series(exported(counts, self._sums_ns[metric], HOST_STEP, exemplars))]

    def _of_cpus(self) -> Iterator[tuple[Metric, list[Series]]]:
        for at, metric in enumerate(d.CPU_COUNTERS):
            series = [self._series(_in_unit(metric, int(sums[at])), str(cpu)) for cpu, sums in self._cpus.items()]
            yield metric, series

    def _of_cgroups(self) -> Iterator[tuple[Metric, list[Series]]]:
        groups = list(self._cgroups)
        for metric in d.CGROUP_COUNTERS:
            yield metric, [Series((g.path,), _in_unit(metric, g.columns[metric.column]), g.start_ns) for g in groups]
        for metric, total in ((d.CGROUP_WAIT, "wait_ns"), (d.CGROUP_BURST_TAT, "burst_tat_sum_ns")):
            merged = [(g, exported(g.histograms[metric.column], g.columns[total], CGROUP_STEP)) for g in groups]
            yield metric, [Series((g.path,), histogram, g.start_ns) for g, histogram in merged]

    def _of_pairs(self) -> Iterator[tuple[Metric, list[Series]]]:
        pairs = list(self._pairs)
        for metric in d.PREEMPTION_COUNTERS:
            yield metric, [Series(p.names, _in_unit(metric, p.columns[metric.column]), p.start_ns) for p in pairs]

    def _series(self, value: float | Histogram, *labels: str) -> Series:
        return Series(labels, value, self._start_ns)


def _in_unit(metric: Metric, value: float) -> float:
    """A column's value in the metric's unit: nanoseconds become seconds, other values stay."""
    return value / d.NS_PER_S if metric.unit == "s" else value


def _unix_ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
