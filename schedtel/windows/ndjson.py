"""Tables of one window in; one line of JSON out.

``json.dumps()`` takes 20 µs for a row, and any other way in Python takes 5 µs or more, because a row is some fifty
numbers and two histograms. So ``ndjson.c`` writes the rows from Arrow's buffers. It writes integers, booleans and lists
of unsigned integers by itself; all other values it gets as texts.
"""

import ctypes
import functools
import json
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from schedtel.records.native import load_library
from schedtel.windows.arrow import values

#: Number of rows written at once: few enough for their text to stay in the caches until the caller has used it.
ROWS_AT_ONCE = 64
#: ``enum kind`` of ndjson.c.
_SIGNED, _UNSIGNED, _BITS, _TEXTS = range(4)
#: ``struct column`` of ndjson.c.
_COLUMN = np.dtype(
    [(name, np.uint64) for name in ("name", "values", "known", "texts", "ends", "offset")]
    + [(name, np.uint32) for name in ("name_bytes", "kind", "width", "elements")]
)
#: Most bytes of a number: MOST_DIGITS of ndjson.c.
_NUMBER_BYTES = 20
#: Texts are copied in pieces of so many bytes, and so read up to as many beyond their end: PIECE of ndjson.c.
_SLACK_BYTES = 16


def parts(tables: Mapping[str, pa.RecordBatch]) -> Iterator[bytes]:
    """One line of NDJSON, in pieces and without the newline.

    ``summary`` is an object, each other table a list of objects.

    Raises :class:`CapabilityError` if the compiled ``ndjson.c`` is missing or of another version.
    """
    before = "{"
    for name, batch in tables.items():
        opening, closing = ("", b"") if name == "summary" else ("[", b"]")
        yield f'{before}"{name}":{opening}'.encode()
        yield from rows(batch)
        yield closing
        before = ","
    yield b"}"


def rows(batch: pa.RecordBatch) -> Iterator[bytes]:
    """The rows of a batch as JSON objects, with commas between them."""
    if not batch.num_rows:
        return
    names = _names(tuple(batch.schema.names))
    columns = [_column(name, column) for name, column in zip(names.spans, batch.columns, strict=True)]
    described = np.array([column.described for column in columns], _COLUMN)
    most_bytes = sum(column.most_bytes for column in columns) + len("{},")
    out = np.empty(min(batch.num_rows, ROWS_AT_ONCE) * most_bytes + _SLACK_BYTES, np.uint8)
    write_rows, table, text = _library().write_rows, described.ctypes.data, out.ctypes.data
    for start in range(0, batch.num_rows, ROWS_AT_ONCE):
        end = min(start + ROWS_AT_ONCE, batch.num_rows)
        yield out[: write_rows(table, len(described), start, end, text)].tobytes()


class _Names(NamedTuple):
    """The text before each value of a row, as (address, bytes); ``held`` keeps the memory of the addresses alive."""

    spans: list[tuple[int, int]]
    held: pa.Buffer


@functools.cache
def _names(names: tuple[str, ...]) -> _Names:
    texts = [f"{',' * (place > 0)}{_encode(name)}:".encode() for place, name in enumerate(names)]
    held = pa.py_buffer(b"".join(texts) + bytes(_SLACK_BYTES))
    begins = accumulate(map(len, texts), initial=held.address)
    return _Names([(begin, len(text)) for begin, text in zip(begins, texts, strict=False)], held)


class _Column(NamedTuple):
    """A row of ``_COLUMN``, and the most bytes that a value takes together with its name.

    ``held`` keeps the memory of the addresses alive.
    """

    described: tuple[int, ...]
    most_bytes: int
    held: list[Any]


def _column(name: tuple[int, int], column: pa.Array) -> _Column:
    kind = column.type
    if pa.types.is_integer(kind):
        return _described(name, _SIGNED if pa.types.is_signed_integer(kind) else _UNSIGNED, column)
    if pa.types.is_boolean(kind):
        return _described(name, _BITS, column)
    if pa.types.is_dictionary(kind) and pa.types.is_signed_integer(kind.index_type):
        return _described(name, _TEXTS, column.indices, texts_of=column.dictionary.to_pylist())
    if pa.types.is_fixed_size_list(kind) and _all_unsigned(column):
        return _described(name, _UNSIGNED, column, elements=kind.list_size)
    return _described(name, _TEXTS, texts_of=_finite_values(column))


def _all_unsigned(column: pa.Array) -> bool:
    kind = column.type
    return kind.list_size and pa.types.is_unsigned_integer(kind.value_type) and not column.values.null_count


def _finite_values(column: pa.Array) -> list[Any]:
    """The value of each row, None for one that JSON cannot express.

    Our tables have no NaN and no infinity, but those of other servers and files may.
    """
    of_rows = values(column)
    return [v if math.isfinite(v or 0) else None for v in of_rows] if pa.types.is_floating(column.type) else of_rows


def _described(
    name: tuple[int, int], kind: int, column: pa.Array = None, elements: int = 0, texts_of: Sequence[object] = ()
) -> _Column:
    """Describe one column for ``ndjson.c``.

    :param name: address and bytes of the text before each value.
    :param column: numbers or booleans, or lists of ``elements`` unsigned numbers, or indices into ``texts_of``; None if
        each row has a text of its own.
    :param texts_of: the values to be written as texts.
    """
    first = known = offset = width = text = ends = 0
    longest, held = (_NUMBER_BYTES + 1) * (elements + 1), [column]
    if column is not None:
        numbers, bits = column.values if elements else column, column.buffers()[0]
        width, offset, known = numbers.type.bit_width // 8, column.offset, bits.address if column.null_count else 0
        # The array of a list's numbers has an offset of its own, which the lists' offset does not include.
        first = numbers.buffers()[1].address + (numbers.offset * width if elements else 0)
    if texts_of:
        texts = [_encode(value).encode() for value in texts_of]
        held += [b"".join(texts) + bytes(_SLACK_BYTES), array("Q", accumulate(map(len, texts), initial=0))]
        text, ends = pa.py_buffer(held[1]).address, held[2].buffer_info()[0]
        longest = max(longest, *map(len, texts))
    wide_fields = (name[0], first, known, text, ends, offset)
    return _Column((*wide_fields, name[1], kind, width, elements), name[1] + longest, held)


@functools.cache
def _library() -> ctypes.CDLL:
    library = load_library("ndjson", {"column_size": _COLUMN.itemsize})
    library.write_rows.restype = ctypes.c_uint64
    library.write_rows.argtypes = [ctypes.c_void_p, *(3 * [ctypes.c_uint64]), ctypes.c_void_p]
    return library


def _point_in_time(value: object) -> str:
    """A timestamp, for which JSON has no type, as RFC 3339."""
    assert isinstance(value, datetime)
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_point_in_time).encode
