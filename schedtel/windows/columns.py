"""Named columns in, batches of a table's schema out; of batches, columns as numpy and sums of groups."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from schedtel.records import layout
from schedtel.windows.arrow import fixed_list, from_numpy, lists_to_numpy, to_numpy
from schedtel.windows.schema import ARROW, SPARSE, TASK_SUMS

#: Identity of the row ``other``, which stands for all tasks without a row of their own.
OTHER_TID = 0
OTHER_COMM = "other"

#: Table → column → numpy dtype of the columns of plain values. Asking the schema each time costs as much as the column.
KINDS = {
    table: {f.name: np.dtype(f.type.to_pandas_dtype()) for f in ARROW[table] if pa.types.is_primitive(f.type)}
    for table in ("tasks", "cpus", *SPARSE)
}


def batch_of(columns: dict[str, object], table: str) -> pa.RecordBatch:
    """A batch of the table's schema from its columns, each an Arrow array or what :func:`array_of` takes."""
    schema, kinds = ARROW[table], KINDS[table]
    return pa.RecordBatch.from_arrays(
        [array_of(columns[name], kinds.get(name)) for name in schema.names], schema=schema
    )


def array_of(values: object, kind: np.dtype | None, known: pa.Buffer | None = None) -> pa.Array:
    """A column as an Arrow array; an Arrow array is returned as it is.

    :param values: numbers or booleans of shape (n,), or, if ``kind`` is None, histograms of shape (n, buckets).
    :param kind: the type that the column has in the schema.
    :param known: one bit a row, 0 where the value is null.
    """
    if isinstance(values, pa.Array):
        return values
    assert isinstance(values, np.ndarray)
    if kind is None:
        return fixed_list(values)
    return from_numpy(values if values.dtype == kind else values.astype(kind), known)


def empty(table: str) -> pa.RecordBatch:
    """A table without rows."""
    return _without_rows(ARROW[table])


def _without_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def concatenate(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """Batches of one schema as one batch."""
    table = pa.Table.from_batches(list(batches), schema=schema).unify_dictionaries().combine_chunks()
    return table.to_batches()[0] if table.num_rows else _without_rows(schema)


def column(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """One numeric or boolean column as numpy, shape (rows,); nulls are 0 or false."""
    return to_numpy(batch.column(name))


def histograms(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """A histogram column as numpy of shape (rows, buckets)."""
    return lists_to_numpy(batch.column(name))


def is_other(batch: pa.RecordBatch) -> np.ndarray:
    """Which rows of a ``tasks`` batch are the row ``other``: booleans of shape (rows,)."""
    return column(batch, "tid") == OTHER_TID


def group_sums(batch: pa.RecordBatch, codes: np.ndarray, groups: int) -> dict[str, np.ndarray]:
    """Sums of the summable columns and histograms of a ``tasks`` batch within each group, exact in int64.

    ``max_wait_ns`` is the largest value in the group.

    :param codes: shape (rows,), each row's group from 0 to groups - 1; every group has a row.
    """
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(groups))
    sums = {name: _reduce(column(batch, name)[order], starts, np.add) for name in TASK_SUMS}
    sums["max_wait_ns"] = _reduce(column(batch, "max_wait_ns")[order], starts, np.maximum)
    for name in layout.TASK_HISTOGRAMS:
        sums[name] = _reduce(histograms(batch, name)[order].astype(np.int64), starts, np.add)
    return sums


def _reduce(values: np.ndarray, starts: np.ndarray, operation: np.ufunc) -> np.ndarray:
    return operation.reduceat(values, starts, axis=0) if len(starts) else values[:0]
