"""The one definition of every column of every table: name, type, unit and meaning.

The documentation, the NDJSON schema and the Arrow schemas are made from it.

A column name is a contract: it is the same in Arrow, Parquet, NDJSON and pandas.
"""

from dataclasses import replace

import pyarrow as pa

from schedtel.records.layout import FINE_BUCKETS, TASK_BUCKETS
from schedtel.windows.column import Column
from schedtel.windows.column import count as _count
from schedtel.windows.column import nanoseconds as _ns
from schedtel.windows.machine_schema import MACHINE

#: Version of the definitions below; it changes when the meaning of a column does.
DEFINITIONS_VERSION = 1


_LABEL = pa.dictionary(pa.int32(), pa.string())
_TASK_HISTOGRAM = pa.list_(pa.uint32(), TASK_BUCKETS)
_FINE_HISTOGRAM = pa.list_(pa.uint32(), FINE_BUCKETS)


def _summed(column: Column) -> Column:
    return replace(column, summed=True)


DISTRIBUTIONS = {
    "tat": "turnaround time (completion - arrival) of the tasks that completed in the window",
    "rt": "response time (first CPU - arrival) of the tasks that got their first CPU in the window",
    "burst_tat": "burst turnaround time (wakeup to next voluntary switch-out) of the bursts that ended in the window",
    "burst_rt": "burst response time (wakeup to its first switch-in) of the bursts that got a CPU in the window",
    "wakeup_wait": "wait for a CPU after a wakeup, of the waits that ended in the window",
    "preempt_wait": "wait for a CPU after losing it while runnable, of the waits that ended in the window",
}
STATISTICS = {
    "count": "number of samples",
    "mean": "mean",
    "p50": "median",
    "p95": "95th percentile",
    "p99": "99th percentile",
    "max": "largest",
}


def _distribution(prefix: str) -> list[Column]:
    what = DISTRIBUTIONS[prefix]
    named = [(f"{prefix}_count" if s == "count" else f"{prefix}_{s}_ns", s) for s in STATISTICS]
    return [(_count if s == "count" else _ns)(name, f"{STATISTICS[s]} of the {what}", "selection") for name, s in named]


def _average(name: str, meaning: str) -> Column:
    return Column(name, pa.float64(), "tasks", meaning, "host")


def _fairness(name: str, meaning: str) -> Column:
    return Column(name, pa.float64(), "1", meaning + " over the tasks that asked for at least 1 ms", "selection")


SUMMARY = [
    _count("window_id", "number of the window in this run, from 1"),
    _ns("window_start_ns", "start of the window, CLOCK_MONOTONIC"),
    _ns("window_ns", "length of the window"),
    _count("windows_spanned", "nominal lengths it covers: 1, or more when the collector was held up"),
    Column("wall_start", pa.timestamp("us", "UTC"), "UTC", "start of the window on the wall clock"),
    Column("host", pa.string(), "", "host name"),
    Column("kernel", pa.string(), "", "kernel release"),
    Column("scheduler", pa.string(), "", "sched_ext's scheduler, eevdf or cfs; several: eevdf+simple; a cgroup's: a/b"),
    _count("tasks_active", "tasks with a row of their own: they ran or waited in the window", "selection"),
    _count("tasks_arrived", "tasks that became runnable for the first time in the window", "selection"),
    _count("tasks_completed", "tasks that completed in the window", "selection"),
    _count("tasks_folded", "tasks in the row `other`: asleep, filtered out, or without room in the ring", "host"),
    *(column for prefix in DISTRIBUTIONS for column in _distribution(prefix)),
    _count("waits_unfinished", "waits that go on past the window's end (right-censored)", "host"),
    _count("bursts_unfinished", "bursts that go on past the window's end (right-censored)", "host"),
    _fairness("fairness_cv", "coefficient of variation of share = cpu / (cpu + wait)"),
    _fairness("fairness_jain", "Jain's index of share = cpu / (cpu + wait)"),
    _fairness("weighted_fairness_cv", "coefficient of variation of CPU time per load weight"),
    _fairness("weighted_fairness_jain", "Jain's index of CPU time per load weight"),
    _average("runqueue_length_avg", "average number of tasks waiting for a CPU: sum of wait_ns / window_ns"),
    _average("running_avg", "average number of tasks running: sum of cpu_ns / window_ns"),
    _average("blocked_avg", "average number of tasks blocked: sum of blocked_ns / window_ns"),
    _average(
        "iowait_avg",
        "average number of tasks blocked on I/O: sum of iowait_ns / window_ns; null with backend bcc and in imports",
    ),
    _count("voluntary_switches", "switches away from a task that was not runnable any more", "host"),
    _count("involuntary_switches", "switches away from a task that was still runnable", "host"),
    _count("wakeups", "blocked tasks made runnable", "host"),
    _count("migrations", "switch-ins on another CPU than the task's last", "host"),
    _ns("idle_ns", "idle time, summed over the CPUs", "host"),
    _ns("teardown_ns", "CPU time of tasks after their completion", "host"),
    _ns("untracked_ns", "CPU time of tasks that the kernel hides from this user's task iterator", "host"),
    _ns("offline_ns", "time in which CPUs were offline, of those that were online for a part of the window", "host"),
    _ns("steal_ns", "time the hypervisor ran something else, summed over the CPUs (/proc/stat)", "host"),
    _ns("throttled_ns", "time cgroups were throttled by their CPU bandwidth limit (cpu.stat)", "host"),
    _count("ring_dropped", "rows folded into `other` because the ring was full", "host"),
    _count("state_failed", "tasks whose state could not be allocated or read", "host"),
    _count("samples_discarded", "samples thrown away for a negative duration", "host"),
    _count(
        "programs_skipped",
        "events the kernel did not deliver: skipped runs (recursion_misses), and gaps seen by their consequences",
        "host",
    ),
    _ns("bpf_ns", "run time of the BPF programs; null unless kernel.bpf_stats_enabled is 1", "host"),
    _ns("collector_cpu_ns", "CPU time of the collecting process", "host"),
    Column("collector_rss_bytes", pa.int64(), "bytes", "resident memory of the collecting process", "host"),
]

TASKS = [
    _count("window_id", "number of the window in this run"),
    Column("tid", pa.int32(), "", "thread id; 0 in the row `other`"),
    Column("tgid", pa.int32(), "", "process id; 0 in the row `other`"),
    _ns(
        "start_boottime_ns",
        "start of the thread, CLOCK_BOOTTIME; with tid and previous_tid the task's identity in a window",
    ),
    Column("previous_tid", pa.int32(), "", "tid before an exec by a thread that was not the leader; null if none"),
    Column("comm", _LABEL, "", "command name; `other` for what has no row of its own"),
    Column("cgroup_id", pa.int64(), "", "id of the cgroup (v2)"),
    Column("cgroup", _LABEL, "", "path of the cgroup; null when it was gone before it could be looked up"),
    Column("uid", pa.int64(), "", "user id"),
    Column("nice", pa.int32(), "", "nice value"),
    Column("policy", pa.int32(), "", "scheduling policy (SCHED_* of sched.h)"),
    Column("weight", pa.int64(), "1", "load weight; 1024 at nice 0"),
    Column("kernel_thread", pa.bool_(), "", "true for a thread of the kernel"),
    Column("left_censored", pa.bool_(), "", "alive before tracing began: arrival is its start, response time unknown"),
    _ns("fork_ns", "fork, CLOCK_MONOTONIC"),
    _ns("arrival_ns", "became runnable for the first time, CLOCK_MONOTONIC"),
    _ns("first_cpu_ns", "first switch-in after arrival, CLOCK_MONOTONIC"),
    _ns("completion_ns", "sched_process_exit, CLOCK_MONOTONIC; null while alive"),
    _ns("tat_ns", "turnaround time, completion - arrival; null while alive"),
    _ns("rt_ns", "response time, first CPU - arrival; null until known"),
    _summed(_ns("alive_ns", "part of the window in which the task was alive = cpu + wait + blocked")),
    _summed(_ns("cpu_ns", "time on a CPU")),
    _summed(_ns("wait_ns", "time runnable and not on a CPU = wakeup wait + preempt wait")),
    _summed(_ns("wakeup_wait_ns", "time waiting after a wakeup")),
    _summed(_ns("preempt_wait_ns", "time waiting after losing the CPU while runnable")),
    _summed(_ns("blocked_ns", "time neither running nor waiting, I/O wait included")),
    _summed(
        _ns("iowait_ns", "part of blocked_ns in which the task was in iowait; null with backend bcc and in imports")
    ),
    _ns("max_wait_ns", "longest wait that ended in the window"),
    _ns(
        "open_wait_ns",
        "age of the wait that goes on past the window's end, whichever window it began in; 0 if none goes on, null if "
        "it began before tracing; in `other` the largest",
    ),
    _summed(_count("voluntary_switches", "switch-outs not runnable")),
    _summed(_count("involuntary_switches", "switch-outs runnable")),
    _summed(_count("wakeups", "times it was made runnable from blocked")),
    _summed(_count("migrations", "switch-ins on another CPU than its last")),
    _summed(_count("bursts", "bursts that ended in the window")),
    _summed(_ns("burst_tat_sum_ns", "sum of their turnaround times")),
    _summed(_count("waits_unfinished", "1 if a wait goes on past the window's end")),
    _summed(_count("bursts_unfinished", "1 if a burst goes on past the window's end")),
    _ns("total_cpu_ns", "CPU time of its life so far"),
    Column("wait_histogram", _TASK_HISTOGRAM, "1", "waits that ended, by duration"),
    Column("burst_tat_histogram", _TASK_HISTOGRAM, "1", "bursts that ended, by turnaround time"),
    Column(
        "exit_code",
        pa.int32(),
        "",
        "exit status, or minus the signal; null while alive, with backend bcc and in imports",
    ),
    _count("folded_tasks", "tasks summed into the row `other`; null in the others"),
]

CPUS = [
    _count("window_id", "number of the window in this run"),
    Column("cpu", pa.int32(), "", "CPU number"),
    _ns("busy_ns", "time with a task on the CPU"),
    _ns("idle_ns", "time without a task on the CPU"),
    _ns("teardown_ns", "part of busy_ns with a task after its completion"),
    _ns("untracked_ns", "part of busy_ns with a task that the kernel hides from this user's task iterator"),
    _ns("offline_ns", "time in which the CPU was offline; a CPU that was so all window has no row"),
    _count("switches", "context switches, to and from idle included"),
    Column("wait_histogram", _FINE_HISTOGRAM, "1", "waits that ended on this CPU, by duration"),
]

#: The row with the largest wait comes first. The sums over all rows are those of all samples of preempt wait, of tasks
#: that the filter selects and of tasks that it leaves out.
PREEMPTIONS = [
    _count("window_id", "number of the window in this run"),
    Column(
        "victim",
        _LABEL,
        "",
        "whose tasks lost their CPU while runnable: a cgroup or a command name; `other` for tasks that the filter "
        "leaves out, and for pairs that the kernel's table had no room for (a command of that name is `\\other`); null "
        "when the cgroup was gone",
    ),
    Column(
        "victim_cgroup_id", pa.int64(), "", "id of the cgroup (v2); null for `other` and where told by command name"
    ),
    Column(
        "preemptor",
        _LABEL,
        "",
        "whose task took the CPU; `(idle)`: no task, as when a bandwidth limit stops the victim; else as the victim",
    ),
    Column("preemptor_cgroup_id", pa.int64(), "", "likewise; null for `(idle)` as well"),
    _count("count", "waits of the victim that ended in the window, after losing its CPU to the preemptor"),
    _ns("wait_ns", "time of those waits, from losing the CPU to having one again, whichever tasks ran meanwhile"),
    _ns("max_wait_ns", "the longest of them"),
]

#: The cgroups that a bandwidth limit may have stopped; the one that was throttled longest comes first.
THROTTLED = [
    _count("window_id", "number of the window in this run"),
    Column("cgroup", _LABEL, "", "path in the hierarchy that has the cpu controller, which may be v1"),
    _ns("throttled_ns", "time it was throttled, summed over the CPUs (cpu.stat)"),
    _count("periods", "periods of its limit in which it wanted a CPU"),
    _count("throttled_periods", "those of them in which it used up its quota"),
]

#: What perf events counted, where any were asked for: rows by task, and for each event a row `other`, even with 0.
COUNTERS = [
    _count("window_id", "number of the window in this run"),
    Column("tid", pa.int32(), "", "thread id; 0 in the rows `other`"),
    Column("tgid", pa.int32(), "", "process id; 0 in the rows `other`"),
    _ns("start_boottime_ns", "start of the thread, CLOCK_BOOTTIME, as in `tasks`; null in the rows `other`"),
    Column("previous_tid", pa.int32(), "", "as in `tasks`"),
    Column("comm", _LABEL, "", "command name; `other` for tasks that have no row in `tasks`"),
    Column("cgroup", _LABEL, "", "path of the cgroup, as in `tasks`"),
    Column("event", _LABEL, "", "name of the perf event, such as page-faults"),
    Column(
        "count",
        pa.int64(),
        "",
        "how often it happened while the task was on a CPU, in ns for clocks; scaled up where running_share is below "
        "1, null where it is 0",
    ),
    Column(
        "running_share",
        pa.float64(),
        "1",
        "part of that time in which it was counted: below 1 where events take turns on the hardware's counters",
    ),
]

#: The longest waits of selected tasks, the longest first: those that ended in the window, and those that go on.
WAITS = [
    _count("window_id", "number of the window in this run"),
    Column("tid", pa.int32(), "", "thread id"),
    Column("tgid", pa.int32(), "", "process id; null where an import does not tell it"),
    _ns("start_boottime_ns", "start of the thread, CLOCK_BOOTTIME, as in `tasks`; null in imports"),
    Column("comm", _LABEL, "", "command name when the wait ended, or at the window's end where it goes on"),
    Column("cpu", pa.int32(), "", "CPU that the task got, or on which it is queued; null where that is not known"),
    Column("kind", _LABEL, "", "wakeup: after a wakeup or the arrival; preempt: after losing the CPU while runnable"),
    _ns(
        "wait_start_ns",
        "when it became runnable, or lost the CPU, CLOCK_MONOTONIC, whichever window that was in; null if it was "
        "before tracing began",
    ),
    _ns(
        "wait_ns",
        "length of the wait, or its age at the window's end where it goes on; if it began before tracing, the part of "
        "it since then",
    ),
    Column("goes_on", pa.bool_(), "", "true if the wait goes on past the window's end"),
    Column(
        "behind_tid",
        pa.int32(),
        "",
        "thread that had the CPU last: until the wait ended, or at the window's end; 0: none, it was idle; null where "
        "that is not known",
    ),
    Column("behind_comm", _LABEL, "", "its command name; `(idle)` for none"),
]

#: A table that a dataset of several hosts has beside those of the windows: a row for each gap in a host's windows.
GAPS = [
    Column("uri", pa.string(), "", "where the windows were to be had"),
    Column("cause", pa.string(), "", "slow: given up by the server; disconnected: out of reach; restarted: a new run"),
    Column("run", pa.string(), "", "run of the first window after the gap"),
    _count("after_window_id", "last window before the gap; of the run before where the cause is restarted"),
    _count("before_window_id", "first window after the gap"),
    _count("windows_missed", "windows between them; null where the server was restarted, because it is unknown"),
    Column("gap_start", pa.timestamp("us", "UTC"), "UTC", "end of the last window before, on the wall clock"),
    Column("gap_end", pa.timestamp("us", "UTC"), "UTC", "start of the first window after, on the wall clock"),
]

#: Columns that recordings of an earlier schedtel do not have: a reader finds null there.
ADDED_LATER = {"summary": ("offline_ns",), "tasks": ("open_wait_ns",), "cpus": ("offline_ns",)}

TABLES = {
    "summary": SUMMARY,
    "tasks": TASKS,
    "cpus": CPUS,
    "preemptions": PREEMPTIONS,
    "throttled": THROTTLED,
    "machine": MACHINE,
    "counters": COUNTERS,
    "waits": WAITS,
}
#: Tables for which a recording has files only where there are rows.
SPARSE = ("preemptions", "throttled", "machine", "counters", "waits")
ARROW = {name: pa.schema([column.field() for column in columns]) for name, columns in TABLES.items()}


def ndjson_schema() -> dict[str, object]:
    """JSON Schema of one line of NDJSON: one window as ``{"summary": {…}, "tasks": […], "cpus": […], …}``."""
    rows = {name: _json_object(columns) for name, columns in TABLES.items()}
    properties = {name: row if name == "summary" else {"type": "array", "items": row} for name, row in rows.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"schedtel window, definitions version {DEFINITIONS_VERSION}",
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }


def _json_object(columns: list[Column]) -> dict[str, object]:
    return {
        "type": "object",
        "required": [column.name for column in columns],
        "additionalProperties": False,
        "properties": {
            column.name: {"type": [_json_type(column.type), "null"], "description": _describe(column)}
            for column in columns
        },
    }


def _json_type(kind: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(kind):
        return "array"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    return "number" if pa.types.is_floating(kind) else "string"


def _describe(column: Column) -> str:
    return column.meaning + (f" [{column.unit}]" if column.unit not in ("", "1") else "")


def markdown() -> str:
    """The tables as Markdown, for the documentation."""
    parts = []
    for name, columns in {**TABLES, "gaps": GAPS}.items():
        lines = [f"## `{name}`", "", "| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [f"| `{c.name}` | {c.type} | {c.unit or '-'} | {c.meaning} |" for c in columns]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


#: The loss counters of the summary: a window in which all are 0 is exact.
LOSSES = ("ring_dropped", "state_failed", "samples_discarded", "programs_skipped")

#: Columns of `tasks` that are summed when rows are folded or grouped: times first, then counts.
TASK_SUMS = sorted((c.name for c in TASKS if c.summed), key=lambda name: not name.endswith("_ns"))
