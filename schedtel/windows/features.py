"""A window in; a vector of named numbers for a model out. The one table of all features.

A feature's name is a contract, as a column's is, and so is its place. A feature that is added later comes last, and
``FEATURES_VERSION`` changes; it changes, too, when a meaning does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from schedtel.errors import UsageError
from schedtel.records.perf_events import EVENTS, PerfEvent
from schedtel.windows import tables
from schedtel.windows.arrow import valid
from schedtel.windows.counter_table import totals
from schedtel.windows.machine_schema import MACHINE
from schedtel.windows.schema import DISTRIBUTIONS, SUMMARY

if TYPE_CHECKING:
    from schedtel.windows.window import Window

FEATURES_VERSION = 2
#: Where a feature comes from.
KERNEL, PSUTIL = "kernel", "psutil"


@dataclass(frozen=True)
class Feature:
    """One feature: a number of type float64 in each window, or missing.

    :param part: ``kernel``: exact, by schedtel's programs; ``psutil``: a reading of the machine.
    :param source: the columns that it is made from, such as ``summary.tat_mean_ns``.
    """

    name: str
    unit: str
    meaning: str
    part: str
    source: str
    type: str = "float64"


@dataclass(frozen=True, eq=False)
class FeatureVector:
    """The features of one window: arrays of shape (features,), in the order of the names.

    ``values``: float64, never NaN, 0 where the feature is missing. ``mask``: true where it is missing, as in numpy's
    masked arrays. ``version`` is that of the feature schema.
    """

    names: tuple[str, ...]
    values: np.ndarray
    mask: np.ndarray
    version: int = FEATURES_VERSION

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> float | None:
        """The value of a feature; None if it is missing. Raises :class:`UsageError` for a name that is none."""
        if name not in self.names:
            raise UsageError(f"cannot find feature {name!r}: there is none of this name in the view")
        place = self.names.index(name)
        return None if self.mask[place] else float(self.values[place])

    def as_dict(self) -> dict[str, float | None]:
        """Name → value; None where it is missing."""
        pairs = zip(self.names, self.values.tolist(), self.mask.tolist(), strict=True)
        return {name: None if missing else value for name, value, missing in pairs}


_OF_SUMMARY = (
    *(f"{prefix}_{s}" for prefix in DISTRIBUTIONS for s in ("count", "mean_ns", "p50_ns", "p95_ns", "p99_ns")),
    *("fairness_cv", "fairness_jain", "weighted_fairness_cv", "weighted_fairness_jain"),
    *("running_avg", "runqueue_length_avg", "blocked_avg", "iowait_avg"),
    *("voluntary_switches", "involuntary_switches", "migrations", "wakeups"),
    *("tasks_active", "tasks_arrived", "tasks_completed"),
    *("steal_ns", "throttled_ns"),
)


def _all() -> Iterator[Feature]:
    summary = {column.name: column for column in SUMMARY}
    for name in ("window_ns", *_OF_SUMMARY):
        yield Feature(name, summary[name].unit, summary[name].meaning, KERNEL, f"summary.{name}")
    yield Feature(
        "runnable_avg",
        "tasks",
        "average number of tasks running or waiting for a CPU",
        KERNEL,
        "summary.running_avg + summary.runqueue_length_avg",
    )
    yield Feature("forks", "1", "tasks with a row of their own whose fork was in the window", KERNEL, "tasks.fork_ns")
    yield Feature(
        "idle_share",
        "1",
        "part of the CPUs' time in which they were idle, without time offline",
        KERNEL,
        "cpus.idle_ns / (cpus.idle_ns + cpus.busy_ns)",
    )
    for column in MACHINE[1:]:
        yield Feature(column.name, column.unit, column.meaning, PSUTIL, f"machine.{column.name}")
    for event in EVENTS:
        total, rate = _of_event(event)
        yield Feature(total, event.unit, f"{event.meaning}, of all tasks", KERNEL, "counters.count")
        meaning = f"{event.meaning}, of all tasks, a second of CPU time"
        yield Feature(rate, f"{event.unit}/s", meaning, KERNEL, "counters.count / cpus.busy_ns")


def _of_event(event: PerfEvent) -> tuple[str, str]:
    """The names of the features of a perf event: its total, and that a second of CPU time."""
    return f"counter_{event.word}_total", f"counter_{event.word}_per_cpu_s"


#: Every feature, in the order of a vector.
FEATURES = tuple(_all())

#: The names of an earlier study of schedulers → the feature that each of them names.
STUDY = {
    "T_vcsw_total_delta": "voluntary_switches",
    "T_nvcsw_total_delta": "involuntary_switches",
    "T_cpu_percent_avg": "cpu_percent_avg",
    "T_io_wait_percent_avg": "iowait_percent_avg",
    "T_irq_percent_avg": "irq_percent_avg",
    "T_softirq_percent_avg": "softirq_percent_avg",
    "T_run_queue_avg": "runqueue_length_avg",
    "T_active_threads_avg": "runnable_avg",
    "T_blocked_threads_avg": "blocked_avg",
    "T_io_blocked_threads_avg": "iowait_avg",
    "T_mem_used_avg": "memory_used_avg_bytes",
    "T_mem_available": "memory_available_avg_bytes",
    "T_swap_used_avg": "swap_used_avg_bytes",
    "T_cache_mem_avg": "memory_cached_avg_bytes",
    "T_buffers_mem_avg": "memory_buffers_avg_bytes",
    "T_swap_in_total_delta": "swap_in_total_delta_bytes",
    "T_swap_out_total_delta": "swap_out_total_delta_bytes",
    "T_io_write_total_delta": "io_written_total_delta_bytes",
    "T_io_read_total_delta": "io_read_total_delta_bytes",
}
VIEWS = ("all", "study")


@cache
def features_in(view: str = "all") -> tuple[Feature, ...]:
    """The features of a view, in the order of its vector. Raises :class:`UsageError` for another than ``VIEWS``."""
    if view not in VIEWS:
        raise UsageError(f"cannot make features of view {view!r}: there are {', '.join(VIEWS)}")
    if view == "all":
        return FEATURES
    named = {feature.name: feature for feature in FEATURES}
    return tuple(_renamed(named[name], study) for study, name in STUDY.items())


def _renamed(feature: Feature, name: str) -> Feature:
    return Feature(name, feature.unit, feature.meaning, feature.part, feature.source)


def features_of(window: Window, view: str = "all") -> FeatureVector:
    """The features of a window; :meth:`schedtel.windows.window.Window.features` says which. They are read-only."""
    names = tuple(feature.name for feature in features_in(view))
    known = _values(window)
    found = [known[STUDY.get(name, name)] for name in names]
    values, mask = np.array([value or 0.0 for value in found], np.float64), np.array([v is None for v in found], bool)
    for shared in (values, mask):
        shared.flags.writeable = False
    return FeatureVector(names, values, mask)


def _values(window: Window) -> dict[str, float | None]:
    """Every feature by name, None where it is missing."""
    found: dict[str, Any] = {name: window.summary[name][0].as_py() for name in ("window_ns", *_OF_SUMMARY)}
    found["runnable_avg"] = found["running_avg"] + found["runqueue_length_avg"]
    found |= {"forks": _forks(window), "idle_share": _idle_share(window)}
    return found | _machine_values(window) | _counter_values(window)


def _forks(window: Window) -> int:
    forked_ns, known = tables.column(window.tasks, "fork_ns"), valid(window.tasks["fork_ns"])
    return int((known & (forked_ns >= window.start_ns) & (forked_ns < window.end_ns)).sum())


def _idle_share(window: Window) -> float | None:
    idle_ns, busy_ns = (int(tables.column(window.cpus, name).sum()) for name in ("idle_ns", "busy_ns"))
    return idle_ns / (idle_ns + busy_ns) if idle_ns + busy_ns else None


def _machine_values(window: Window) -> dict[str, float | None]:
    sampled = window.machine.num_rows > 0
    return {c.name: window.machine[c.name][0].as_py() if sampled else None for c in MACHINE[1:]}


def _counter_values(window: Window) -> dict[str, float | None]:
    counts, busy_s = totals(window.counters), int(tables.column(window.cpus, "busy_ns").sum()) / 1e9
    found: dict[str, float | None] = {}
    for event in EVENTS:
        count = counts.get(event.name)
        rate = None if count is None or not busy_s else count / busy_s
        found |= zip(_of_event(event), (count, rate), strict=True)
    return found
