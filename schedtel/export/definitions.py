"""Every exported metric, once: name, unit, kind and help. A metric of a column takes them from the schema.

Names are OpenTelemetry's. Prometheus's names follow from them by the rules of OpenTelemetry's specification
("Prometheus and OpenMetrics Compatibility"): dots become underscores, the unit is written out, and a counter ends in
``_total``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from schedtel.windows.column import Column
from schedtel.windows.schema import DISTRIBUTIONS, LOSSES, TABLES

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
#: Unit of a metric (UCUM) → its word in the names of Prometheus.
UNIT_WORDS = {"s": "seconds", "By": "bytes", "1": "ratio"}
NS_PER_S = 1_000_000_000

_COLUMNS = {table: {column.name: column for column in columns} for table, columns in TABLES.items()}
_PREFIXES = {
    "summary": "schedtel.",
    "cpus": "schedtel.cpu.",
    "tasks": "schedtel.cgroup.",
    "preemptions": "schedtel.preemption.",
}
_LABELS = {"summary": (), "cpus": ("cpu",), "tasks": ("cgroup",), "preemptions": ("victim", "preemptor")}


@dataclass(frozen=True)
class Metric:
    """One metric. ``column``: the column of a window's table that it sums or shows; empty for the exporter's own."""

    name: str
    kind: str
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    column: str = ""

    @property
    def prometheus_name(self) -> str:
        """Name in Prometheus, with its suffixes: ``schedtel_cgroup_cpu_seconds_total``."""
        words = [self.name.replace(".", "_"), UNIT_WORDS.get(self.unit, ""), "total" if self.kind == COUNTER else ""]
        return "_".join(filter(None, words))


def _metric(table: str, column: str, kind: str, name: str = "") -> Metric:
    """The metric of a column, with the column's meaning as its help.

    :param name: the metric's name, where the column's without its unit would mislead.
    """
    definition = _COLUMNS[table][column]
    stem = name or re.sub("_(ns|bytes|avg)$", "", column)
    text = _help(definition, table, kind)
    return Metric(_PREFIXES[table] + stem, kind, _unit(definition), text, _LABELS[table], column)


def _unit(column: Column) -> str:
    if column.unit == "1":
        return "1" if pa.types.is_floating(column.type) else ""
    return {"ns": "s", "bytes": "By", "tasks": "{task}"}[column.unit]


def _help(column: Column, table: str, kind: str) -> str:
    """The column's meaning, without what is true of a row only: names of other columns, nulls, its window."""
    meaning = re.sub(r": sum of \w+ / window_ns|; null [^,;]*$", "", column.meaning)
    meaning = re.sub(r"\b(\w+)_ns\b", r"\1 time", meaning)
    if kind == COUNTER:
        meaning = meaning.replace(" in the window", "")
    elif kind == GAUGE:
        last = re.sub(r"\bthe window\b", "the last window", meaning)
        meaning = last if last != meaning else f"{meaning}, in the last window"
    return _sentence(meaning + (", of the tasks of the cgroup" if table == "tasks" else ""), column.scope)


def _sentence(meaning: str, scope: str = "") -> str:
    return meaning[0].upper() + meaning[1:] + (" (selected tasks)" if scope == "selection" else "")


_COUNTED = (
    *("tasks_arrived", "tasks_completed", "voluntary_switches", "involuntary_switches", "wakeups", "migrations"),
    *("steal_ns", "throttled_ns", *LOSSES, "bpf_ns", "collector_cpu_ns"),
)
_LAST = (
    *("window_ns", "tasks_active", "tasks_folded", "runqueue_length_avg", "running_avg", "blocked_avg", "iowait_avg"),
    *("fairness_cv", "fairness_jain", "weighted_fairness_cv", "weighted_fairness_jain", "collector_rss_bytes"),
)
_OF_CPUS = ("busy_ns", "idle_ns", "teardown_ns", "untracked_ns", "switches")
_OF_CGROUPS = (
    *("cpu_ns", "wakeup_wait_ns", "preempt_wait_ns"),
    *("voluntary_switches", "involuntary_switches", "wakeups", "migrations"),
)

HOST_COUNTERS = tuple(_metric("summary", name, COUNTER) for name in _COUNTED)
#: These averages count tasks, which `schedtel_running` would not say.
_NAMES = {"running_avg": "running_tasks", "blocked_avg": "blocked_tasks", "iowait_avg": "iowait_tasks"}
HOST_GAUGES = tuple(_metric("summary", name, GAUGE, _NAMES.get(name, "")) for name in _LAST)
CPU_COUNTERS = tuple(_metric("cpus", name, COUNTER) for name in _OF_CPUS)
CGROUP_COUNTERS = tuple(_metric("tasks", name, COUNTER) for name in _OF_CGROUPS)
#: `schedtel_preemption_count` would read like the count of a histogram `schedtel_preemption`.
PREEMPTION_COUNTERS = (_metric("preemptions", "count", COUNTER, "waits"), _metric("preemptions", "wait_ns", COUNTER))

_SUM_OF_WAITS = "; the sum is of all time waited, of waits that go on as well"


def _durations(name: str, meaning: str, column: str = "", labels: tuple[str, ...] = ()) -> Metric:
    """The metric of a column that is a histogram or, without ``column``, of a list of durations (selected tasks)."""
    scope = "" if column else "selection"
    return Metric(name, HISTOGRAM, "s", _sentence(meaning.replace(" in the window", ""), scope), labels, column)


WAIT = _durations("schedtel.wait", "waits for a CPU that ended, by duration" + _SUM_OF_WAITS, "wait_histogram")
LIVES = {name: _durations(f"schedtel.{name}", DISTRIBUTIONS[name]) for name in ("tat", "rt")}
_WAITED, _BURST = (_COLUMNS["tasks"][name].meaning for name in ("wait_histogram", "burst_tat_histogram"))
CGROUP_WAIT = _durations("schedtel.cgroup.wait", _WAITED + _SUM_OF_WAITS, "wait_histogram", ("cgroup",))
CGROUP_BURST_TAT = _durations("schedtel.cgroup.burst_tat", _BURST, "burst_tat_histogram", ("cgroup",))
HISTOGRAMS = (WAIT, *LIVES.values(), CGROUP_WAIT, CGROUP_BURST_TAT)

WINDOWS = Metric("schedtel.windows", COUNTER, "", "Windows that the sums are of")
OBSERVED = Metric("schedtel.observed", COUNTER, "s", "Time that these windows cover")
MISSED = Metric("schedtel.windows_missed", COUNTER, "", "Windows that were served and did not come: they are in no sum")
LAST_WINDOW = Metric("schedtel.last_window_timestamp", GAUGE, "s", "End of the last window, seconds since 1970")
CGROUPS = Metric("schedtel.cgroups", GAUGE, "", "Cgroups that have series of their own")
CGROUPS_FOLDED = Metric(
    "schedtel.cgroups_folded", GAUGE, "", 'Cgroups that had no room in the last window, counted in cgroup="other"'
)
#: Label of every metric if the windows may be of several hosts.
HOST_LABEL = "host"
HOST = Metric("schedtel.host_info", GAUGE, "", "1; labels: what is observed", (HOST_LABEL, "kernel", "scheduler"))
OWN = (WINDOWS, OBSERVED, MISSED, LAST_WINDOW, CGROUPS, CGROUPS_FOLDED, HOST)

METRICS = (*OWN, *HOST_COUNTERS, *HOST_GAUGES, *CPU_COUNTERS, *CGROUP_COUNTERS, *PREEMPTION_COUNTERS, *HISTOGRAMS)


def markdown() -> str:
    """All metrics as a Markdown table, for the documentation."""
    lines = ["| Prometheus | OpenTelemetry | unit | kind | labels | meaning |", "|---|---|---|---|---|---|"]
    for m in METRICS:
        labels = ", ".join(m.labels) or "-"
        lines.append(f"| `{m.prometheus_name}` | `{m.name}` | {m.unit or '-'} | {m.kind} | {labels} | {m.help} |")
    return "\n".join(lines) + "\n"
