"""Windows in, one after the other; at most a thousand bins of time out, each the exact merger of its windows.

A bin keeps of its windows only what can be added: numerators and denominators of quotients, histograms, nanoseconds per
CPU. So a bin of many windows has the figures that one long window would have had. Means are weighted by their samples
or their time, and percentiles are read from added histograms, never averaged. The task rows of only one window are in
memory at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from schedtel.analysis.preemption_sums import Preempted
from schedtel.errors import UsageError
from schedtel.records.histogram import fine_counts, percentile_ns
from schedtel.records.layout import FINE_BUCKETS, TASK_BUCKETS
from schedtel.windows import tables
from schedtel.windows.arrow import rows, valid
from schedtel.windows.schema import DISTRIBUTIONS, LOSSES
from schedtel.windows.window import Window

MOST_BINS = 1000


@dataclass(frozen=True)
class Figure:
    """A quotient of two sums over windows.

    ``kind`` says of which two; ``better`` is "lower", "higher" or "" for neither.

    ======== ========================================= ===============================
    kind     numerator                                 denominator
    ======== ========================================= ===============================
    mean     sum of the samples                        number of samples
    average  value x window                            the windows that have the value
    rate     count                                     time in seconds
    cpus     nanoseconds                               time
    share    nanoseconds                               time x CPUs
    ======== ========================================= ===============================
    """

    name: str
    label: str
    unit: str
    kind: str
    column: str
    better: str = ""


def _rate(column: str) -> Figure:
    return Figure(f"{column}_per_s", f"{column.replace('_', ' ')} per second", "1/s", "rate", column)


def _cpus(column: str, label: str, better: str = "") -> Figure:
    return Figure(f"{column.removesuffix('_ns')}_cpus", label, "CPUs", "cpus", column, better)


FIGURES = (
    Figure("tat_mean_ns", "turnaround (TAT), mean", "ns", "mean", "tat", "lower"),
    Figure("rt_mean_ns", "response (RT), mean", "ns", "mean", "rt", "lower"),
    Figure("burst_tat_mean_ns", "burst TAT, mean", "ns", "mean", "burst_tat", "lower"),
    Figure("wakeup_wait_mean_ns", "wakeup wait (burst RT), mean", "ns", "mean", "wakeup_wait", "lower"),
    Figure("preempt_wait_mean_ns", "preempt wait, mean", "ns", "mean", "preempt_wait", "lower"),
    Figure("fairness_jain", "fairness J", "1", "average", "fairness_jain", "higher"),
    Figure("fairness_cv", "fairness CV", "1", "average", "fairness_cv", "lower"),
    Figure("weighted_fairness_jain", "fairness J by weight", "1", "average", "weighted_fairness_jain", "higher"),
    Figure("weighted_fairness_cv", "fairness CV by weight", "1", "average", "weighted_fairness_cv", "lower"),
    Figure("runqueue_length_avg", "run queue", "tasks", "average", "runqueue_length_avg", "lower"),
    Figure("running_avg", "running", "tasks", "average", "running_avg"),
    Figure("blocked_avg", "blocked", "tasks", "average", "blocked_avg"),
    Figure("iowait_avg", "on I/O", "tasks", "average", "iowait_avg"),
    Figure("tasks_active", "tasks active in a window", "tasks", "average", "tasks_active"),
    _rate("tasks_arrived"),
    _rate("tasks_completed"),
    _rate("voluntary_switches"),
    _rate("involuntary_switches"),
    _rate("wakeups"),
    _rate("migrations"),
    Figure("idle_share", "idle share of the CPUs", "1", "share", "idle_ns"),
    _cpus("teardown_ns", "tear-down"),
    _cpus("steal_ns", "steal"),
    _cpus("throttled_ns", "throttled"),
    _cpus("bpf_ns", "cost: BPF programs", "lower"),
    _cpus("collector_cpu_ns", "cost: collector", "lower"),
    Figure("collector_rss_bytes", "cost: collector's memory", "bytes", "average", "collector_rss_bytes", "lower"),
)
FIGURE_INDEX = {figure.name: index for index, figure in enumerate(FIGURES)}


@dataclass(frozen=True)
class Samples:
    """A kind of duration of which a bin keeps the histogram.

    ``scope``: "host", or "selection" for the tasks that a filter selects.
    """

    name: str
    label: str
    scope: str
    buckets: int = FINE_BUCKETS


SAMPLES = (
    Samples("wait", "wait, all tasks", "host"),
    Samples("selected_wait", "wait, selected tasks", "selection", TASK_BUCKETS),
    Samples("tat", "turnaround (TAT)", "selection"),
    Samples("rt", "response (RT)", "selection"),
    Samples("burst_tat", "burst TAT", "selection", TASK_BUCKETS),
)


@dataclass
class Bin:
    """A stretch of time: ``windows`` windows, merged. Times are CLOCK_MONOTONIC, ``wall_us`` microseconds since 1970.

    ``numerators``, ``denominators``, ``lowest``, ``highest``: shape (len(FIGURES),); the latter two are the extremes of
    the windows' own values, NaN where no window has one. ``histograms``: name of :data:`SAMPLES` → shape (buckets,).
    ``largest_ns``: name → largest sample, 0 if it is not known. ``cpus``: CPU → busy and idle ns. ``losses``: in the
    order of :data:`schedtel.windows.schema.LOSSES`. ``preempted``: waits by victim and preemptor, and throttled
    cgroups. ``held_up``: number of windows that span more than one nominal length.
    """

    start_ns: int
    end_ns: int
    wall_us: int
    windows: int
    held_up: int
    numerators: np.ndarray
    denominators: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    histograms: dict[str, np.ndarray]
    largest_ns: dict[str, int]
    cpus: dict[int, np.ndarray]
    losses: np.ndarray
    preempted: Preempted = field(default_factory=Preempted)

    def absorb(self, later: Bin) -> None:
        """Merge a later bin into this one."""
        self.end_ns = later.end_ns
        self.windows += later.windows
        self.held_up += later.held_up
        for name in ("numerators", "denominators", "losses"):
            getattr(self, name).__iadd__(getattr(later, name))
        np.fmin(self.lowest, later.lowest, out=self.lowest)
        np.fmax(self.highest, later.highest, out=self.highest)
        for name, counts in later.histograms.items():
            self.histograms[name] += counts
            self.largest_ns[name] = max(self.largest_ns[name], later.largest_ns[name])
        for cpu, times in later.cpus.items():
            self.cpus[cpu] = self.cpus[cpu] + times if cpu in self.cpus else times
        self.preempted.absorb(later.preempted)

    @property
    def values(self) -> np.ndarray:
        """The figures, shape (len(FIGURES),); NaN where the denominator is 0."""
        return quotient(self.numerators, self.denominators)


def quotient(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Elementwise quotient, NaN where the denominator is 0."""
    known = denominators > 0
    return np.where(known, numerators / np.where(known, denominators, 1), np.nan)


def bin_of(window: Window) -> Bin:
    """One window as a bin."""
    row = rows(window.summary)[0]
    pairs = np.array([_pair(figure, row, window.cpus.num_rows) for figure in FIGURES], np.float64)
    values = quotient(pairs[:, 0], pairs[:, 1])
    busy, idle = (tables.column(window.cpus, name) for name in ("busy_ns", "idle_ns"))
    numbers = tables.column(window.cpus, "cpu").tolist()
    histograms = _histograms(window)
    return Bin(
        start_ns=window.start_ns,
        end_ns=window.end_ns,
        wall_us=window.summary["wall_start"].view(pa.int64())[0].as_py() or 0,
        windows=1,
        held_up=int((row["windows_spanned"] or 1) > 1),
        numerators=pairs[:, 0].copy(),
        denominators=pairs[:, 1].copy(),
        lowest=values,
        highest=values.copy(),
        histograms=histograms,
        largest_ns={name: _largest_ns(name, row, counts) for name, counts in histograms.items()},
        cpus={cpu: np.array(times) for cpu, times in zip(numbers, zip(busy, idle, strict=True), strict=True)},
        losses=np.array([row[name] or 0 for name in LOSSES]),
        preempted=Preempted.of(window),
    )


def _pair(figure: Figure, row: dict[str, Any], cpus: int) -> tuple[float, float]:
    """Numerator and denominator of a figure in one window; 0 and 0 where it has no value."""
    if figure.kind == "mean":
        mean, count = row[f"{figure.column}_mean_ns"], row[f"{figure.column}_count"]
        return (mean * count, count) if count else (0, 0)
    value, length = row[figure.column], row["window_ns"]
    if value is None:
        return 0, 0
    pairs = {
        "average": (value * length, length),
        "rate": (value, length / 1e9),
        "cpus": (value, length),
        "share": (value, length * cpus - (row["offline_ns"] or 0)),
    }
    return pairs[figure.kind]


def _histograms(window: Window) -> dict[str, np.ndarray]:
    tasks = window.tasks
    own = ~tables.is_other(tasks)
    coarse = {"selected_wait": "wait_histogram", "burst_tat": "burst_tat_histogram"}
    return {
        "wait": tables.histograms(window.cpus, "wait_histogram").sum(axis=0, dtype=np.int64),
        **{n: tables.histograms(tasks, c)[own].sum(axis=0, dtype=np.int64) for n, c in coarse.items()},
        **{name: fine_counts(samples) for name, samples in life_samples(window).items()},
    }


def life_samples(window: Window) -> dict[str, np.ndarray]:
    """TAT of the tasks that completed in the window, and RT of those that got their first CPU: the summary's samples.

    Each is of shape (n,), in ns. Left-censored tasks are left out. A life that ends on the edge ends with the window; a
    first CPU on the edge belongs to the next window.
    """
    tasks, start, end = window.tasks, window.start_ns, window.end_ns
    completion, first_cpu = (tables.column(tasks, name) for name in ("completion_ns", "first_cpu_ns"))
    born_seen = ~tables.column(tasks, "left_censored").astype(bool) & ~tables.is_other(tasks)
    completed = valid(tasks["completion_ns"]) & (completion > start) & (completion <= end) & born_seen
    started = valid(tasks["first_cpu_ns"]) & (first_cpu >= start) & (first_cpu < end) & born_seen
    chosen = {"tat": completed, "rt": started}
    return {name: tables.column(tasks, f"{name}_ns")[rows_] for name, rows_ in chosen.items()}


def _largest_ns(name: str, row: dict[str, Any], counts: np.ndarray) -> int:
    """The largest sample, or the upper edge of the last bucket in use if the summary has no maximum of these tasks."""
    if name in DISTRIBUTIONS:
        return row[f"{name}_max_ns"] or 0
    if name == "selected_wait":
        return max(row[f"{kind}_max_ns"] or 0 for kind in ("wakeup_wait", "preempt_wait"))
    return percentile_ns(counts, 1.0) or 0


@dataclass
class Timeline:
    """Bins of a recording, in order: at most ``most_bins``, each of ``stride`` windows; the last may have fewer.

    ``hosts``, ``kernels``, ``schedulers``: the distinct ones of all windows, in the order of their appearance.
    """

    most_bins: int = MOST_BINS
    stride: int = 1
    bins: list[Bin] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)
    schedulers: list[str] = field(default_factory=list)

    def add(self, window: Window) -> None:
        """Add the next window. If there would be too many bins, every two neighbours are merged into one."""
        self._take_provenance(window)
        if self._last_is_full() and len(self.bins) >= self.most_bins:
            self._halve()
        if self._last_is_full():
            self.bins.append(bin_of(window))
        else:
            self.bins[-1].absorb(bin_of(window))

    def _last_is_full(self) -> bool:
        return not self.bins or self.bins[-1].windows >= self.stride

    def _take_provenance(self, window: Window) -> None:
        for name, seen in (("host", self.hosts), ("kernel", self.kernels), ("scheduler", self.schedulers)):
            fact = window.summary[name][0].as_py()
            if fact and fact not in seen:
                seen.append(fact)

    def _halve(self) -> None:
        for left, right in zip(self.bins[::2], self.bins[1::2], strict=False):
            left.absorb(right)
        self.bins = self.bins[::2]
        self.stride *= 2

    @property
    def windows(self) -> int:
        return sum(b.windows for b in self.bins)

    @property
    def duration_ns(self) -> int:
        """Time from the first window's start to the last window's end."""
        return self.bins[-1].end_ns - self.bins[0].start_ns if self.bins else 0

    def stacked(self, name: str) -> np.ndarray:
        """One field of all bins, such as ``numerators`` or ``losses``: shape (bins, ...)."""
        return np.stack([getattr(b, name) for b in self.bins])

    def histograms(self, name: str) -> np.ndarray:
        """One kind of :data:`SAMPLES`: shape (bins, buckets)."""
        return np.stack([b.histograms[name] for b in self.bins])

    def total(self) -> Bin:
        """All bins merged into a new one."""
        merged = copy.deepcopy(self.bins[0])  # absorb() adds in place
        for later in self.bins[1:]:
            merged.absorb(later)
        return merged


def follow(windows: Iterable[Window], timeline: Timeline) -> Iterator[Window]:
    """Pass the windows on, and add each to the timeline. Raises :class:`UsageError` if there is none."""
    for window in windows:
        timeline.add(window)
        yield window
    if not timeline.bins:
        raise UsageError("cannot draw or compare: there is no window (record for longer)")


def timeline_of(windows: Iterable[Window], most_bins: int = MOST_BINS) -> Timeline:
    """The timeline of all windows of a source. Raises :class:`UsageError` if it has none."""
    timeline = Timeline(most_bins)
    for _ in follow(windows, timeline):
        pass
    return timeline
