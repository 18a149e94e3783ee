"""numpy arrays and Python values in; Arrow arrays out, and the reverse.

``pyarrow.array()``, ``to_numpy()`` and ``to_pylist()`` do the same, but they look for pandas whenever they are called,
and importing pandas takes 0.3 s and 40 MB. Casts and other compute functions cost 12 MB at their first call. So this
module makes arrays from their buffers (https://arrow.apache.org/docs/format/Columnar.html).
"""

import functools
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

_type_of = functools.cache(pa.from_numpy_dtype)


def from_numpy(values: np.ndarray, known: np.ndarray | pa.Buffer | None = None) -> pa.Array:
    """A numeric or boolean array of shape (n,) as an Arrow array.

    :param known: booleans of shape (n,), or a buffer of their bits; the array is null where they are false.
    """
    bitmap = bits(known) if isinstance(known, np.ndarray) else known
    if values.dtype.kind == "b":
        return pa.Array.from_buffers(pa.bool_(), len(values), [bitmap, bits(values)])
    buffer = pa.py_buffer(values if values.flags.c_contiguous else values.copy())
    return pa.Array.from_buffers(_type_of(values.dtype), len(values), [bitmap, buffer])


def fixed_list(values: np.ndarray) -> pa.Array:
    """Histograms of shape (n, buckets) as a fixed-size list of uint32."""
    flat = np.ascontiguousarray(values, np.uint32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(from_numpy(flat), values.shape[1])


def from_list(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    """A short list of strings, numbers or timestamps as an Arrow array of type ``kind``; None becomes null."""
    known = np.array([value is not None for value in values], bool) if None in values else None
    if pa.types.is_string(kind):
        return _strings(["" if value is None else str(value) for value in values], known)
    storage = pa.int64() if pa.types.is_timestamp(kind) else kind
    numbers = np.array([0 if value is None else value for value in values], storage.to_pandas_dtype())
    array = from_numpy(numbers, known)
    return array if kind == storage else array.view(kind)


def to_numpy(values: pa.Array) -> np.ndarray:
    """A numeric or boolean array as numpy, shape (n,); nulls are 0 or false."""
    buffer = values.buffers()[1]
    if pa.types.is_boolean(values.type):
        return _unpacked(buffer, values) & valid(values)
    kind, n = np.dtype(values.type.to_pandas_dtype()), len(values)
    numbers = np.frombuffer(buffer, kind, n, values.offset * kind.itemsize) if n else np.zeros(0, kind)
    return np.where(valid(values), numbers, kind.type(0)) if values.null_count else numbers


def lists_to_numpy(values: pa.Array) -> np.ndarray:
    """Fixed-size lists of numbers, none of them null, as numpy of shape (n, elements)."""
    size = values.type.list_size
    # Not flatten(): that is a compute function.
    return to_numpy(values.values.slice(values.offset * size, len(values) * size)).reshape(-1, size)


def valid(values: pa.Array) -> np.ndarray:
    """Which elements are not null: booleans of shape (n,)."""
    return _unpacked(values.buffers()[0], values) if values.null_count else np.ones(len(values), bool)


def _unpacked(bitmap: pa.Buffer, values: pa.Array) -> np.ndarray:
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")
    return bits[values.offset : values.offset + len(values)].astype(bool)


def rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch as dictionaries of Python values; timestamps (us, UTC) become datetime."""
    columns = [values(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def values(column: pa.Array) -> list[Any]:
    """A column as Python values; timestamps (us, UTC) become datetime."""
    if not pa.types.is_timestamp(column.type):
        return column.to_pylist()
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    numbers = column.view(pa.int64()).to_pylist()
    return [None if n is None else epoch + timedelta(microseconds=n) for n in numbers]


def _strings(texts: list[str], known: np.ndarray | None) -> pa.Array:
    # Names of the kernel and of files are valid by now: see text_of(). A caller's own may not be.
    encoded = [text.encode(errors="backslashreplace") for text in texts]
    offsets = array("i", accumulate(map(len, encoded), initial=0))
    buffers = [None if known is None else bits(known), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


def bits(values: np.ndarray) -> pa.Buffer:
    """Booleans of shape (n,) as Arrow stores them: one bit each, least significant bit first."""
    return pa.py_buffer(np.packbits(values, bitorder="little"))
