"""The table ``tasks`` in; one row for each group out: sums, merged histograms, fairness inside the group."""

import numpy as np
import pyarrow as pa

from schedtel.errors import UsageError
from schedtel.records.histogram import percentiles_ns
from schedtel.windows import metrics, tables
from schedtel.windows.arrow import fixed_list, from_list, from_numpy, to_numpy, valid

#: Groupings whose name is not that of their column → the column.
_GROUP_COLUMNS = {"process": "tgid", "task": "tid"}


def groups_of(batch: pa.RecordBatch, by: str) -> pa.RecordBatch:
    """Sum the rows of a ``tasks`` batch by group; :meth:`schedtel.windows.window.Window.groups` lists the columns.

    Raises :class:`UsageError` for a name that is no column, and for a column of histograms.
    """
    name = _GROUP_COLUMNS.get(by, by)
    if name not in batch.schema.names or pa.types.is_fixed_size_list(batch.schema.field(name).type):
        known = ", ".join([*_GROUP_COLUMNS, "cgroup", "comm", "uid"])
        raise UsageError(f"cannot group by {by!r}: no such column (use {known} or another column of tasks)")
    real = ~tables.is_other(batch)
    keys, codes = _encode(batch.column(name), real)
    groups = len(keys)
    sums = tables.group_sums(batch, codes, groups)
    columns: dict[str, pa.Array] = {"tasks": from_numpy(np.bincount(codes[real], minlength=groups))}
    for column, values in sums.items():
        columns[column] = fixed_list(values) if values.ndim == 2 else from_numpy(values)
    columns |= {"open_wait_ns": _group_open_waits(batch, codes, groups)}
    columns |= _group_waits(sums) | _group_lives(batch, codes, groups) | _group_fairness(batch, codes, groups, real)
    if by in columns:
        raise UsageError(
            f"cannot group by {by!r}: each group has its own {by}, from all its tasks (use another column)"
        )
    return pa.RecordBatch.from_pydict({by: keys} | columns)


def _encode(column: pa.Array, real: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """The distinct keys of a column in their order of appearance, null last, and each row's index into them.

    Rows that are not ``real``, those of `other`, are a last group with the key null. A task may have any name, or a
    cgroup without one, and is in no group with them.
    """
    texts = column.dictionary.to_pylist() if pa.types.is_dictionary(column.type) else None
    numbers, known = to_numpy(column.indices if texts is not None else column), valid(column) & real
    distinct, first, index = np.unique(numbers[known], return_index=True, return_inverse=True)
    order = np.argsort(first)
    codes = np.full(len(column), len(distinct))
    codes[known] = np.argsort(order)[index]
    keys = [texts[i] if texts is not None else i for i in distinct[order].tolist()]
    kind = column.type.value_type if texts is not None else column.type
    unknown = bool((real & ~known).any())
    codes[~real] = len(distinct) + unknown
    return from_list(keys + [None] * (unknown + (not real.all())), kind), codes


def _group_open_waits(batch: pa.RecordBatch, codes: np.ndarray, groups: int) -> pa.Array:
    """The longest of each group's open waits; null where none of the group is known."""
    longest, known = np.zeros(groups, np.int64), valid(batch.column("open_wait_ns"))
    np.maximum.at(longest, codes, tables.column(batch, "open_wait_ns"))
    return from_numpy(longest, np.bincount(codes[known], minlength=groups) > 0)


def _group_waits(sums: dict[str, np.ndarray]) -> dict[str, pa.Array]:
    quantiles = {"wait_p50_ns": 0.50, "wait_p99_ns": 0.99}
    waits = {name: percentiles_ns(sums["wait_histogram"], q, sums["max_wait_ns"]) for name, q in quantiles.items()}
    return {name: from_numpy(values, values >= 0) for name, values in waits.items()}


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
    indices = metrics.fairness_within(cpu_ns, wait_ns, codes[real], groups)
    return {
        name: from_numpy(values, ~np.isnan(values))
        for name, values in zip(("fairness_cv", "fairness_jain"), indices, strict=True)
    }
