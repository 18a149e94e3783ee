"""Tables of one window in; text of one line of JSON out, a column at a time.

``json.dumps()`` of a row takes 20 µs: half of it for two histograms, half for the objects that a row is before it is
text. Here a column becomes what ``%`` can print, a histogram text from its buffer, and a row one ``%``: 3 µs.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from schedtel.arrow import from_numpy, lists_to_numpy, to_numpy, valid, values

#: Rows whose columns are made ready at once. Fewer cost more each; of more, the columns no longer fit into the caches.
ROWS_AT_ONCE = 512
#: Rows that become one text. Of more, glibc gives each text's memory back, and every page of the next one is a fault.
_ROWS_A_TEXT = 64
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
    for start in range(0, batch.num_rows, ROWS_AT_ONCE):
        block = batch.slice(start, ROWS_AT_ONCE)
        columns = [_texts(column) for column in block.columns]
        template = _template(block.schema.names, columns)
        different = [texts for texts in columns if isinstance(texts, list)]
        rows = zip(*different, strict=True) if different else itertools.repeat((), block.num_rows)
        texts, before = map(template.__mod__, rows), "," * (start > 0)
        while text := ",".join(itertools.islice(texts, _ROWS_A_TEXT)):
            yield before + text
            before = ","


def _template(names: list[str], columns: list[list[Any] | str]) -> str:
    """A row for ``%``, with a place for each column that is not the same text in all rows."""
    fields = zip(names, columns, strict=True)
    words = (f'"{name}":{texts.replace("%", "%%") if isinstance(texts, str) else "%s"}' for name, texts in fields)
    return "{" + ",".join(words) + "}"


def _point_in_time(value: object) -> str:
    """What JSON has no type for, as RFC 3339."""
    assert isinstance(value, datetime)
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_point_in_time).encode


def _texts(column: pa.Array) -> list[Any] | str:
    """What ``%s`` prints as JSON, for each element of a column; or the one text that it is for all of them."""
    kind, nulls = column.type, column.null_count
    if nulls == len(column):
        return _NULL
    if pa.types.is_integer(kind):
        return _numbered(column, to_numpy(column))
    if pa.types.is_boolean(kind):
        return _numbered(column, to_numpy(column).view(np.uint8), _BOOLEANS)
    if pa.types.is_dictionary(kind):
        words = np.array([_encode(word) for word in column.dictionary.to_pylist()], object)
        return _numbered(column, to_numpy(column.indices), words)
    if pa.types.is_fixed_size_list(kind) and _all_unsigned(column):
        return lists(lists_to_numpy(column))
    if pa.types.is_floating(kind):
        # schedtel's own tables have no NaN, but others' servers and files may; JSON has no word for it.
        column = from_numpy(to_numpy(column), np.isfinite(to_numpy(column)) & valid(column))
    return [_encode(value) for value in values(column)]


def _all_unsigned(column: pa.Array) -> bool:
    return pa.types.is_unsigned_integer(column.type.value_type) and not column.null_count + column.values.null_count


def _numbered(column: pa.Array, numbers: np.ndarray, words: np.ndarray | None = None) -> list[Any] | str:
    """A column of numbers, or of the words that they are the places of."""
    if not column.null_count and (numbers == numbers[0]).all():
        return str(numbers[0] if words is None else words[numbers[0]])
    found = numbers if words is None else words[numbers]
    return (np.where(valid(column), found.astype(object), _NULL) if column.null_count else found).tolist()


def lists(counts: np.ndarray) -> list[str]:
    """Unsigned integers of shape (n, buckets) as n JSON arrays: ``[0,12,0]``."""
    short = counts.max(axis=1) < 10
    if short.all():
        return _short_lists(counts)
    texts = np.empty(len(counts), object)
    texts[short] = np.array(_short_lists(counts[short]), object)
    texts[~short] = np.array(_long_lists(counts[~short]), object)
    return texts.tolist()


def _short_lists(counts: np.ndarray) -> list[str]:
    """Those whose numbers have one digit each, as in most histograms of a task."""
    rows, buckets = counts.shape
    # Words of 16 bits: a digit with the sign before it, and the end.
    words = np.full((rows, buckets + 1), ord("]"), "<u2")
    words[:, :-1] = (counts + ord("0") << 8) + ord(",")
    words[:, 0] += ord("[") - ord(",")
    joined, width = words.tobytes().decode("ascii"), 2 * buckets + 2
    return [joined[begin : begin + width - 1] for begin in range(0, len(joined), width)]


def _long_lists(counts: np.ndarray) -> list[str]:
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
