"""A window: Arrow batches in; metrics, groups and data frames out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from schedtel import metrics, ndjson, tables
from schedtel.arrow import fixed_list, from_list, from_numpy, to_numpy, valid
from schedtel.errors import UsageError
from schedtel.histogram import percentiles_ns
from schedtel.loader import RawWindow
from schedtel.memory import Memory
from schedtel.metrics import Metrics
from schedtel.schema import ARROW, LOSSES, TABLES
from schedtel.throttling import Throttled

if TYPE_CHECKING:
    import pandas as pd

#: Words for groupings that are not columns, and the column that stands for them.
_GROUP_COLUMNS = {"process": "tgid", "task": "tid"}


@dataclass(frozen=True)
class Window:
    """One window of telemetry.

    ``summary``: one row; ``tasks``: a row for each task active in the window, and ``other``; ``cpus``: a row for
    each CPU; ``preemptions``: a row for each pair of groups of which one took the CPU from the other; ``throttled``: a
    row for each cgroup that a bandwidth limit may have stopped. All are :class:`pyarrow.RecordBatch`; the columns are
    those of :mod:`schedtel.schema`.
    """

    summary: pa.RecordBatch
    tasks: pa.RecordBatch
    cpus: pa.RecordBatch
    preemptions: pa.RecordBatch = field(default_factory=partial(tables.empty, "preemptions"))
    throttled: pa.RecordBatch = field(default_factory=partial(tables.empty, "throttled"))

    @property
    def window_id(self) -> int:
        return int(self.summary["window_id"][0].as_py())

    @property
    def start_ns(self) -> int:
        """Start, CLOCK_MONOTONIC."""
        return int(self.summary["window_start_ns"][0].as_py())

    @property
    def end_ns(self) -> int:
        """End, CLOCK_MONOTONIC; the next window's start."""
        return self.start_ns + int(self.summary["window_ns"][0].as_py())

    @cached_property
    def metrics(self) -> Metrics:
        """TAT, RT, bursts, waits, fairness and averages of this window."""
        return Metrics.from_summary(self.summary)

    @property
    def losses(self) -> dict[str, int]:
        """The loss counters; a window in which all are 0 is exact."""
        return {name: int(self.summary[name][0].as_py()) for name in LOSSES}

    def groups(self, by: str = "cgroup") -> pa.RecordBatch:
        """Tasks summed by ``cgroup``, ``comm``, ``process``, ``task`` or any column of ``tasks``.

        Returns one row a group: the key, ``tasks``, the sums of all times and counts, ``max_wait_ns``, the merged
        histograms, ``wait_p50_ns``/``wait_p99_ns`` read from them (a task's histogram has 2 buckets an octave),
        ``tasks_completed``, mean ``tat_ns`` and ``rt_ns``, and the fairness inside the group. The row ``other`` stays
        a group of its own, under the key null or ``other``.

        Raises :class:`UsageError` for a name that is no column.
        """
        return _groups(self.tasks, by)

    def to_pandas(self, table: str = "tasks") -> pd.DataFrame:
        """One table as a pandas data frame."""
        return getattr(self, table).to_pandas()

    def to_ndjson(self) -> str:
        """The window as one line of JSON, by the schema that ``schedtel schema`` prints."""
        return b"".join(self.ndjson_parts()).decode()

    def ndjson_parts(self) -> Iterator[bytes]:
        """That line, as UTF-8, in parts of some dozen rows at most, for who has more to do than to write."""
        return ndjson.parts({name: getattr(self, name) for name in TABLES})


def _groups(batch: pa.RecordBatch, by: str) -> pa.RecordBatch:
    name = _GROUP_COLUMNS.get(by, by)
    if name not in batch.schema.names or pa.types.is_fixed_size_list(batch.schema.field(name).type):
        known = ", ".join([*_GROUP_COLUMNS, "cgroup", "comm", "uid"])
        raise UsageError(f"cannot group by {by!r}: no such column (use {known} or another column of tasks)")
    keys, codes = _encode(batch.column(name))
    groups = len(keys)
    sums = tables.group_sums(batch, codes, groups)
    real = ~tables.is_other(batch)
    columns: dict[str, pa.Array] = {by: keys}
    columns["tasks"] = from_numpy(np.bincount(codes[real], minlength=groups))
    for column, values in sums.items():
        columns[column] = fixed_list(values) if values.ndim == 2 else from_numpy(values)
    columns |= _group_waits(sums) | _group_lives(batch, codes, groups) | _group_fairness(batch, codes, groups, real)
    return pa.RecordBatch.from_pydict(columns)


def _encode(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The distinct keys of a column in their order of appearance, null last, and each row's index into them."""
    texts = column.dictionary.to_pylist() if pa.types.is_dictionary(column.type) else None
    numbers, known = to_numpy(column.indices if texts is not None else column), valid(column)
    distinct, first, index = np.unique(numbers[known], return_index=True, return_inverse=True)
    order = np.argsort(first)
    codes = np.full(len(column), len(distinct))
    codes[known] = np.argsort(order)[index]
    keys = [texts[i] if texts is not None else i for i in distinct[order].tolist()]
    kind = column.type.value_type if texts is not None else column.type
    return from_list(keys + [None] * (not known.all()), kind), codes


def _group_waits(sums: dict[str, np.ndarray]) -> dict[str, pa.Array]:
    read = {"wait_p50_ns": 0.50, "wait_p99_ns": 0.99}
    found = {name: percentiles_ns(sums["wait_histogram"], q, sums["max_wait_ns"]) for name, q in read.items()}
    return {name: from_numpy(values, values >= 0) for name, values in found.items()}


def _group_lives(batch: pa.RecordBatch, codes: np.ndarray, groups: int) -> dict[str, pa.Array]:
    columns = {}
    uncensored = ~tables.column(batch, "left_censored").astype(bool)
    for name in ("tat_ns", "rt_ns"):
        known = valid(batch.column(name)) & uncensored
        count = np.bincount(codes[known], minlength=groups)
        total = np.bincount(codes[known], weights=tables.column(batch, name)[known], minlength=groups)
        columns[name] = from_numpy(np.rint(total / np.maximum(count, 1)).astype(np.int64), count > 0)
    completed = valid(batch.column("completion_ns"))
    return {"tasks_completed": from_numpy(np.bincount(codes[completed], minlength=groups)), **columns}


def _group_fairness(batch: pa.RecordBatch, codes: np.ndarray, groups: int, real: np.ndarray) -> dict[str, pa.Array]:
    cpu_ns, wait_ns = (tables.column(batch, name)[real] for name in ("cpu_ns", "wait_ns"))
    found = metrics.fairness_within(cpu_ns, wait_ns, codes[real], groups)
    return {
        name: from_numpy(values, ~np.isnan(values))
        for name, values in zip(("fairness_cv", "fairness_jain"), found, strict=True)
    }


def build(
    raw: RawWindow,
    window_id: int,
    spanned: int,
    wall_start_ns: int | None,
    host: dict[str, object],
    cgroups: Any,
    throttled: Sequence[Throttled] = (),
    memory: Memory | None = None,
) -> Window:
    """A window from what the kernel left behind and what the host counted meanwhile."""
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
    return Window(summary, tasks, cpus, preemptions, tables.throttled_batch(window_id, throttled))


def _task_columns(tasks: pa.RecordBatch, raw: RawWindow) -> dict[str, object]:
    """Summary columns made from the rows of the selected tasks."""
    # Not the records: a column is in one piece, and they are a cache line apart.
    real = tasks.slice(0, len(raw.tasks))
    arrival, first_cpu, completion = (
        tables.column(real, f"{name}_ns") for name in ("arrival", "first_cpu", "completion")
    )
    censored = tables.column(real, "left_censored")
    # A record tells no first CPU and no completion past its window: on the window's end only those of a life that ends
    # with it. An arrival is told as soon as it is known.
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
        found = metrics.of_histogram(counts, int(samples["sum_ns"].sum()), int(samples["max_ns"].max(initial=0)))
        row |= _distribution_columns(prefix, found)
    return row


def _distribution_columns(prefix: str, found: metrics.Distribution) -> dict[str, object]:
    values = (found.count, found.mean_ns, found.p50_ns, found.p95_ns, found.p99_ns, found.max_ns)
    return dict(zip(metrics.columns(prefix), values, strict=True))


def _host_sums(tasks: pa.RecordBatch, cpus: pa.RecordBatch, window_ns: int) -> dict[str, object]:
    """Summary columns that are sums over all rows, ``other`` included: the same with any filter."""
    total = {name: int(tables.column(tasks, name).sum()) for name in _SUMMED}
    averages = {"runqueue_length": "wait_ns", "running": "cpu_ns", "blocked": "blocked_ns", "iowait": "iowait_ns"}
    return {
        **{f"{name}_avg": total.pop(source) / window_ns for name, source in averages.items()},
        **total,
        "idle_ns": int(tables.column(cpus, "idle_ns").sum()),
        "teardown_ns": int(tables.column(cpus, "teardown_ns").sum()),
        "untracked_ns": int(tables.column(cpus, "untracked_ns").sum()),
    }


_SUMMED = (
    "cpu_ns",
    "wait_ns",
    "blocked_ns",
    "iowait_ns",
    "voluntary_switches",
    "involuntary_switches",
    "wakeups",
    "migrations",
    "waits_unfinished",
    "bursts_unfinished",
)
