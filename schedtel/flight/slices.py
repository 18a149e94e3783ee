"""Tables in; slices small enough for any client's limit on messages out.

A client of gRPC takes messages of at most 4 MiB unless it is told otherwise, and the tasks of a window may have more.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from schedtel.windows.arrow import from_numpy, to_numpy, valid
from schedtel.windows.schema import ARROW
from schedtel.windows.window import Window

#: Rows of a slice have at most this many bytes. A single row has less than 40 KB.
SLICE_BYTES = 1 << 20
#: A dictionary comes with every slice. One that is larger is cut down to the labels of the slice.
_LARGE_DICTIONARY = 256 << 10


def size_of(window: Window) -> int:
    """Bytes of the columns of a window's tables."""
    return int(sum(getattr(window, table).nbytes for table in ARROW))


def slices(batch: pa.RecordBatch) -> list[pa.RecordBatch]:
    """A table in slices of at most :data:`SLICE_BYTES` each; a table without rows is one slice without rows."""
    if batch.num_rows <= 1 or sum(map(_size, batch.columns)) <= SLICE_BYTES:
        return [_compact(batch)]
    half = batch.num_rows // 2
    return [*slices(batch.slice(0, half)), *slices(batch.slice(half))]


def _size(column: pa.Array) -> int:
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    labels = _labels_used(column) if column.dictionary.nbytes > _LARGE_DICTIONARY else None
    if labels is None:
        return int(column.indices.nbytes)
    offsets = np.frombuffer(column.dictionary.buffers()[1], np.int32)[column.dictionary.offset :]
    return int(column.indices.nbytes) + int((offsets[labels + 1] - offsets[labels]).sum())


def _labels_used(column: pa.Array) -> np.ndarray:
    """Codes of the labels that the rows have, in order."""
    return np.unique(to_numpy(column.indices)[valid(column.indices)])


def _compact(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [_with_own_labels(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _with_own_labels(column: pa.Array) -> pa.Array:
    if not pa.types.is_dictionary(column.type) or column.dictionary.nbytes <= _LARGE_DICTIONARY:
        return column
    used, known = _labels_used(column), valid(column.indices)
    codes = np.searchsorted(used, to_numpy(column.indices)).astype(np.int32)
    labels = column.dictionary.take(pa.array(used, pa.int32()))
    return pa.DictionaryArray.from_arrays(from_numpy(np.where(known, codes, 0).astype(np.int32), known), labels)
