"""Tables of one window in; one line of JSON out.

``json.dumps()`` of a row takes 20 µs, and any other way that Python has 5 µs or more: a row is some fifty numbers and
two histograms. So ``ndjson.c`` writes the rows, from Arrow's buffers. All that is not a whole number it gets as words.
"""

import ctypes
import functools
import json
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from schedtel.errors import CapabilityError
from schedtel.windows.arrow import values

#: Rows that are written at once: few enough for their text to stay in the caches until somebody takes it.
ROWS_AT_ONCE = 64
#: ``enum kind`` of ndjson.c.
_SIGNED, _UNSIGNED, _BITS, _WORDS = range(4)
#: ``struct column`` of ndjson.c.
_COLUMN = np.dtype(
    [(name, np.uint64) for name in ("name", "values", "known", "words", "ends", "offset")]
    + [(name, np.uint32) for name in ("name_bytes", "kind", "width", "elements")]
)
#: Most bytes of a number: MOST_DIGITS of ndjson.c.
_NUMBER_BYTES = 20
#: Words are copied so many bytes at a time, and read so far beyond their end: PIECE of ndjson.c.
_SLACK_BYTES = 16


def parts(tables: Mapping[str, pa.RecordBatch]) -> Iterator[bytes]:
    """One line of NDJSON, without its end, in pieces: ``summary`` is an object, the other tables are lists of them."""
    before = "{"
    for name, batch in tables.items():
        opening, closing = ("", b"") if name == "summary" else ("[", b"]")
        yield f'{before}"{name}":{opening}'.encode()
        yield from _rows(batch)
        yield closing
        before = ","
    yield b"}"


def _rows(batch: pa.RecordBatch) -> Iterator[bytes]:
    if not batch.num_rows:
        return
    names = _names(tuple(batch.schema.names))
    columns = [_column(name, column) for name, column in zip(names.places, batch.columns, strict=True)]
    described = np.array([column.described for column in columns], _COLUMN)
    most_bytes = sum(column.most_bytes for column in columns) + len("{},")
    out = np.empty(min(batch.num_rows, ROWS_AT_ONCE) * most_bytes + _SLACK_BYTES, np.uint8)
    write_rows, table, text = _library().write_rows, described.ctypes.data, out.ctypes.data
    for start in range(0, batch.num_rows, ROWS_AT_ONCE):
        end = min(start + ROWS_AT_ONCE, batch.num_rows)
        yield out[: write_rows(table, len(described), start, end, text)].tobytes()


class _Names(NamedTuple):
    """What stands before each value of a row: where, and how many bytes; ``held`` is what the addresses are of."""

    places: list[tuple[int, int]]
    held: pa.Buffer


@functools.cache
def _names(names: tuple[str, ...]) -> _Names:
    texts = [f"{',' * (place > 0)}{_encode(name)}:".encode() for place, name in enumerate(names)]
    held = pa.py_buffer(b"".join(texts) + bytes(_SLACK_BYTES))
    begins = accumulate(map(len, texts), initial=held.address)
    return _Names([(begin, len(text)) for begin, text in zip(begins, texts, strict=False)], held)


class _Column(NamedTuple):
    """A row of ``_COLUMN``, and the most bytes of a row's text; ``held`` is what the addresses are of."""

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
        return _described(name, _WORDS, column.indices, words=column.dictionary.to_pylist())
    if pa.types.is_fixed_size_list(kind) and _all_unsigned(column):
        return _described(name, _UNSIGNED, column, elements=kind.list_size)
    return _described(name, _WORDS, words=_words(column))


def _all_unsigned(column: pa.Array) -> bool:
    kind = column.type
    return kind.list_size and pa.types.is_unsigned_integer(kind.value_type) and not column.values.null_count


def _words(column: pa.Array) -> list[Any]:
    """A word for each row. Our tables have no NaN, but others' servers and files may, and JSON has no word for it."""
    found = values(column)
    return [w if math.isfinite(w or 0) else None for w in found] if pa.types.is_floating(column.type) else found


def _described(
    name: tuple[int, int], kind: int, column: pa.Array = None, elements: int = 0, words: Sequence[object] = ()
) -> _Column:
    """Numbers, or lists of so many; or words, of which each row has one of its own, or in a column the place of one."""
    first = known = offset = width = text = ends = 0
    longest, held = (_NUMBER_BYTES + 1) * (elements + 1), [column]
    if column is not None:
        numbers, bits = column.values if elements else column, column.buffers()[0]
        width, offset, known = numbers.type.bit_width // 8, column.offset, bits.address if column.null_count else 0
        # Where a list's numbers begin is not told by the lists' offset.
        first = numbers.buffers()[1].address + (numbers.offset * width if elements else 0)
    if words:
        texts = [_encode(word).encode() for word in words]
        held += [b"".join(texts) + bytes(_SLACK_BYTES), array("Q", accumulate(map(len, texts), initial=0))]
        text, ends = pa.py_buffer(held[1]).address, held[2].buffer_info()[0]
        longest = max(longest, *map(len, texts))
    places = (name[0], first, known, text, ends, offset)
    return _Column((*places, name[1], kind, width, elements), name[1] + longest, held)


@functools.cache
def _library() -> ctypes.CDLL:
    path = Path(__file__).parents[1] / "_native" / "ndjson.so"
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise CapabilityError(f"cannot write NDJSON: {error} (run `make build`, which needs clang)") from None
    library.column_size.restype = library.write_rows.restype = ctypes.c_uint64
    library.write_rows.argtypes = [ctypes.c_void_p, *(3 * [ctypes.c_uint64]), ctypes.c_void_p]
    if library.column_size() != _COLUMN.itemsize:
        raise CapabilityError(f"cannot write NDJSON: {path} is of another version (build schedtel again: make build)")
    return library


def _point_in_time(value: object) -> str:
    """What JSON has no type for, as RFC 3339."""
    assert isinstance(value, datetime)
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_point_in_time).encode
