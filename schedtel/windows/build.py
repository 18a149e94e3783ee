"""A raw window of the kernel and the host's counters in; a :class:`Window` out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from schedtel.records.raw_window import RawWindow
from schedtel.records.throttled import Throttled
from schedtel.windows import metrics, tables
from schedtel.windows.arrow import from_list
from schedtel.windows.counter_table import counters_batch
from schedtel.windows.memory import Memory
from schedtel.windows.schema import ARROW, TASK_SUMS
from schedtel.windows.wait_table import waits_batch
from schedtel.windows.window import Window


def build(
    raw: RawWindow,
    window_id: int,
    spanned: int,
    wall_start_ns: int | None,
    host: dict[str, object],
    cgroups: Any,
    throttled: Sequence[Throttled] = (),
    memory: Memory | None = None,
    machine: Mapping[str, object] | None = None,
) -> Window:
    """Make a window from the kernel's records and the host's counters.

    :param spanned: number of nominal window lengths that the window covers.
    :param wall_start_ns: the window's start on the wall clock, in nanoseconds since 1970; None if it is not known.
    :param host: the summary columns that are not of the kernel's records, name to value.
    :param cgroups: gives the path of a cgroup id, ``path_of()``.
    :param memory: lends most of the memory of the table ``tasks``.
    :param machine: the columns of the table ``machine``, name to value; None if the machine was not sampled.
    """
    tasks = tables.tasks_batch(window_id, raw.tasks, raw.folded, cgroups.path_of, raw.unknown, memory, raw.unknown_rows)
    cpus = tables.cpus_batch(window_id, raw.cpu_numbers, raw.cpus)
    row: dict[str, object] = {
        "window_id": window_id,
        "window_start_ns": raw.start_ns,
        "window_ns": raw.end_ns - raw.start_ns,
        "windows_spanned": spanned,
        "wall_start": None if wall_start_ns is None else wall_start_ns // 1000,
        "bpf_ns": raw.bpf_ns,
        **host,
        **raw.losses,
        **_task_columns(tasks, raw),
        **_sample_columns(raw),
        **_host_sums(tasks, cpus, raw.end_ns - raw.start_ns),
        **({"iowait_avg": None} if "iowait_ns" in raw.unknown else {}),
    }
    arrays = [from_list([row[field.name]], field.type) for field in ARROW["summary"]]
    summary = pa.RecordBatch.from_arrays(arrays, schema=ARROW["summary"])
    preemptions = tables.preemptions_batch(window_id, raw.preemptions, raw.preempted_by, cgroups.path_of)
    limited, sampled = tables.throttled_batch(window_id, throttled), tables.machine_batch(window_id, machine)
    counters = counters_batch(window_id, tasks, raw.counted)
    waits = waits_batch(window_id, raw.waits)
    return Window(summary, tasks, cpus, preemptions, limited, sampled, counters, waits)


def _task_columns(tasks: pa.RecordBatch, raw: RawWindow) -> dict[str, object]:
    """Summary columns made from the rows of the selected tasks."""
    # Columns are read, not records: a column is contiguous, while one field of the records is cache lines apart.
    real = tasks.slice(0, len(raw.tasks))
    arrival, first_cpu, completion = (
        tables.column(real, f"{name}_ns") for name in ("arrival", "first_cpu", "completion")
    )
    censored = tables.column(real, "left_censored")
    # A record has no first CPU and no completion past its window's end. It has one exactly at the end only if the life
    # ends with the window. It has an arrival as soon as that is known, even one that belongs to the next window.
    arrived = (arrival >= raw.start_ns) & (arrival < raw.end_ns)
    ended = completion > raw.start_ns
    started = (first_cpu >= raw.start_ns) & ~censored
    completed = ended & ~censored
    row: dict[str, object] = {
        "tasks_active": real.num_rows,
        "tasks_arrived": int((arrived & ~censored).sum()),
        "tasks_completed": int(ended.sum()),
        "tasks_folded": int(raw.folded["tasks"].sum()),
    }
    samples = {
        "tat": completion[completed] - arrival[completed],
        "rt": first_cpu[started] - arrival[started],
    }
    for prefix, durations in samples.items():
        row |= _distribution_columns(prefix, metrics.of_samples(durations))
    fairness = metrics.fairness(*(tables.column(real, name) for name in ("cpu_ns", "wait_ns", "weight", "policy")))
    return row | {
        "fairness_cv": fairness.cv,
        "fairness_jain": fairness.jain,
        "weighted_fairness_cv": fairness.weighted_cv,
        "weighted_fairness_jain": fairness.weighted_jain,
    }


#: A burst's response time is its first switch-in minus its wakeup: the same samples as the wakeup wait.
_SAMPLE_ROWS = {"wakeup_wait": 0, "burst_rt": 0, "preempt_wait": 1, "burst_tat": 2}


def _sample_columns(raw: RawWindow) -> dict[str, object]:
    """Summary columns made from the fine histograms of the selected tasks, merged over the CPUs."""
    selected = raw.cpus["samples"][:, 1]
    row: dict[str, object] = {}
    for prefix, kind in _SAMPLE_ROWS.items():
        samples = selected[:, kind]
        counts = samples["histogram"].sum(axis=0, dtype=np.int64)
        largest_ns = int(samples["max_ns"].max(initial=0))
        row |= _distribution_columns(prefix, metrics.of_histogram(counts, int(samples["sum_ns"].sum()), largest_ns))
    return row


def _distribution_columns(prefix: str, of: metrics.Distribution) -> dict[str, object]:
    values = (of.count, of.mean_ns, of.p50_ns, of.p95_ns, of.p99_ns, of.max_ns)
    return dict(zip(metrics.columns(prefix), values, strict=True))


def _host_sums(tasks: pa.RecordBatch, cpus: pa.RecordBatch, window_ns: int) -> dict[str, object]:
    """Summary columns that are sums over all rows, ``other`` included: a filter does not change them."""
    total = {name: int(tables.column(tasks, name).sum()) for name in TASK_SUMS}
    averages = {"runqueue_length": "wait_ns", "running": "cpu_ns", "blocked": "blocked_ns", "iowait": "iowait_ns"}
    return {
        **{f"{name}_avg": total[source] / window_ns for name, source in averages.items()},
        **{name: total[name] for name in TASK_SUMS if name in ARROW["summary"].names},
        "idle_ns": int(tables.column(cpus, "idle_ns").sum()),
        "teardown_ns": int(tables.column(cpus, "teardown_ns").sum()),
        "untracked_ns": int(tables.column(cpus, "untracked_ns").sum()),
        "offline_ns": int(tables.column(cpus, "offline_ns").sum()),
    }
