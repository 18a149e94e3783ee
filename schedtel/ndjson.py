"""Tables of one window in; text of one line of JSON out, a column at a time.

``json.dumps()`` of a row takes 20 µs: half of it for two histograms, half for the objects that a row is before it is
text. Here a column becomes what ``%`` can print, a histogram text from its buffer, and a row one ``%``: 3 µs.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from datetime import datetime

import numpy as np
import pyarrow as pa

from schedtel.arrow import from_numpy, lists_to_numpy, to_numpy, valid, values

#: Rows that become text at once. Fewer cost more each; of more, the columns no longer fit into the caches.
ROWS_AT_ONCE = 512
_NULL, _BOOLEANS = "null", np.array(["false", "true"], object)


def parts(tables: Mapping[str, pa.RecordBatch]) -> Iterator[str]:
    """One line of NDJSON, without its end, in pieces: ``summary`` is an object, the other tables are lists of them."""
    before = "{"
    for name, batch in tables.items():
        opening, closing = ("", "") if name == "summary" else ("[", "]")
        yield f'{before}"{name}":{opening}'
        yield from _rows(batch)
        yield closing
        before = ","
    yield "}"


def _rows(batch: pa.RecordBatch) -> Iterator[str]:
    template = _template(tuple(batch.schema.names))
    for start in range(0, batch.num_rows, ROWS_AT_ONCE):
        columns = [_texts(column) for column in batch.slice(start, ROWS_AT_ONCE).columns]
        yield "," * (start > 0) + ",".join(map(template.__mod__, zip(*columns, strict=True)))


@functools.cache
def _template(names: tuple[str, ...]) -> str:
    return "{" + ",".join(f'"{name}":%s' for name in names) + "}"


def _point_in_time(value: object) -> str:
    """What JSON has no type for, as RFC 3339."""
    assert isinstance(value, datetime)
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_point_in_time).encode


def _texts(column: pa.Array) -> list[object]:
    """What ``%s`` prints as JSON, for each element of a column."""
    kind, nulls = column.type, column.null_count
    if nulls == len(column):
        return [_NULL] * nulls
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return _with_nulls(column, to_numpy(column))
    if pa.types.is_dictionary(kind):
        words = np.array([_encode(word) for word in column.dictionary.to_pylist()], object)
        return _with_nulls(column, words[to_numpy(column.indices)])
    if pa.types.is_fixed_size_list(kind) and _all_unsigned(column):
        return lists(lists_to_numpy(column))
    if pa.types.is_floating(kind):
        # schedtel's own tables have no NaN, but others' servers and files may; JSON has no word for it.
        column = from_numpy(to_numpy(column), np.isfinite(to_numpy(column)) & valid(column))
    return [_encode(value) for value in values(column)]


def _all_unsigned(column: pa.Array) -> bool:
    return pa.types.is_unsigned_integer(column.type.value_type) and not column.null_count + column.values.null_count


def _with_nulls(column: pa.Array, found: np.ndarray) -> list[object]:
    if found.dtype == bool:
        found = _BOOLEANS[found.view(np.uint8)]
    return (np.where(valid(column), found.astype(object), _NULL) if column.null_count else found).tolist()


def lists(counts: np.ndarray) -> list[object]:
    """Unsigned integers of shape (n, buckets) as n JSON arrays: ``[0,12,0]``."""
    numbers, buckets = counts.reshape(-1), counts.shape[1]
    # A number takes its digits and a comma: where its last digit stands follows from all digits before.
    last = np.cumsum(_digits(numbers) + 1, dtype=np.int64) - 2
    text = np.full(last[-1] + 2, ord(","), np.uint8)
    ends = last[buckets - 1 :: buckets] + 1
    while len(numbers):
        tenths = numbers // 10
        text[last] = numbers - tenths * 10 + ord("0")
        longer = np.flatnonzero(tenths)
        numbers, last = tenths[longer], last[longer] - 1
    joined, begins = text.tobytes().decode("ascii"), [0, *(ends + 1).tolist()]
    return [f"[{joined[begin:end]}]" for begin, end in zip(begins, ends.tolist(), strict=False)]


def _digits(numbers: np.ndarray) -> np.ndarray:
    """Decimal digits of unsigned integers of shape (n,); 0 has one."""
    digits, most, power = np.ones(len(numbers), np.uint8), int(numbers.max()), 10
    while power <= most:
        digits += numbers >= power
        power *= 10
    return digits
