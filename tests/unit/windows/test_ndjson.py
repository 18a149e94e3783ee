"""Tables in, text out: the text that the standard library makes of the same rows, for any values."""

import json
import math
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedtel.windows import ndjson
from schedtel.windows.schema import ARROW


def by_the_row(batch: pa.RecordBatch) -> list[str]:
    """Each row as the standard library writes it."""
    rows = [{name: without_nan(value) for name, value in row.items()} for row in batch.to_pylist()]
    return [json.dumps(row, separators=(",", ":"), default=rfc3339) for row in rows]


def without_nan(value: object) -> object:
    """A value with null where JSON has no such number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def by_the_column(batch: pa.RecordBatch) -> str:
    return b"".join(ndjson.parts({"tasks": batch})).decode().removeprefix('{"tasks":[').removesuffix("]}")


def numbers(bits: int, signed: bool) -> st.SearchStrategy[int]:
    least = -(1 << (bits - 1)) if signed else 0
    return st.integers(least, least + (1 << bits) - 1)


# Arrow takes no surrogates for text, and strftime() does not pad years before 1000.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MOMENTS = st.datetimes(timezones=st.just(UTC)).filter(lambda moment: moment.year >= 1000)


def elements(kind: pa.DataType) -> st.SearchStrategy[object]:
    """Values that a column of this type may hold, without null."""
    if pa.types.is_fixed_size_list(kind):
        few = st.one_of(st.just(0), st.integers(0, 12), numbers(kind.value_type.bit_width, signed=False))
        return st.sampled_from([few, st.none() | few]).flatmap(
            lambda element: st.lists(element, min_size=kind.list_size, max_size=kind.list_size)
        )
    if pa.types.is_integer(kind):
        return numbers(kind.bit_width, pa.types.is_signed_integer(kind))
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_floating(kind):
        return st.floats()
    return MOMENTS if pa.types.is_timestamp(kind) else TEXT


KINDS = [
    *(pa.int32(), pa.uint32(), pa.int64(), pa.uint64(), pa.bool_(), pa.float64(), pa.string()),
    *(pa.dictionary(pa.int32(), pa.string()), pa.timestamp("us", "UTC")),
    *(pa.list_(pa.uint32(), 3), pa.list_(pa.uint64(), 1)),
]
SCHEMA = pa.schema([(str(kind), kind) for kind in KINDS])


def array(values: list[object], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_dictionary(kind):
        return pa.array(values, kind)
    return pa.array(values, kind.value_type).dictionary_encode()


@st.composite
def batches(draw, schema: pa.Schema, most_rows: int) -> pa.RecordBatch:
    """Any rows of a schema, as a slice of more rows: its buffers do not begin at their first byte."""
    count, before = draw(st.integers(0, most_rows)), draw(st.integers(0, 9))
    columns = []
    for field in schema:
        held = elements(field.type)
        shape = draw(st.sampled_from([held, st.none() | held, st.none()]))
        columns.append(array(draw(st.lists(shape, min_size=before + count, max_size=before + count)), field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema).slice(before)


@settings(max_examples=50)
@given(batches(SCHEMA, 12))
def test_any_column_is_the_text_of_the_standard_library(batch):
    assert by_the_column(batch) == ",".join(by_the_row(batch))


@settings(max_examples=50)
@given(batches(ARROW["tasks"], 2))
def test_any_task_is_the_text_of_the_standard_library(batch):
    assert by_the_column(batch) == ",".join(by_the_row(batch))


def test_a_table_of_many_parts_is_the_text_of_the_standard_library():
    count = 3 * ndjson.ROWS_AT_ONCE + 1
    squares = pa.array([None if n % 7 == 0 else n * n for n in range(count)], pa.int64())
    names = pa.array([f'a"\\{n % 11}\n\x00é' for n in range(count)]).dictionary_encode()
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(2 * count, dtype=np.uint32)), 2)
    batch = pa.RecordBatch.from_pydict({"n": squares, "name": names, "l": lists})
    assert by_the_column(batch) == ",".join(by_the_row(batch))


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), *KINDS[:4]], ids=str)
def test_every_length_of_a_number_is_written_in_full(kind):
    limits = np.iinfo(kind.to_pandas_dtype())
    edges = [n for power in range(20) for n in (10**power - 1, 10**power, 10**power + 1)] + [limits.min, limits.max]
    fit = [n for edge in edges for n in (edge, -edge) if limits.min <= n <= limits.max]
    columns = {"n": pa.array([*fit, None], kind)}
    if not limits.min:
        lists = pa.array([*fit, *fit[::-1]], kind)
        columns = {"l": pa.FixedSizeListArray.from_arrays(lists, len(fit))}
    batch = pa.RecordBatch.from_pydict(columns)
    assert by_the_column(batch) == ",".join(by_the_row(batch))


def test_there_is_room_for_the_longest_word_and_for_none():
    words, nothing = pa.array(["", "x" * 100_000]), pa.nulls(2, pa.dictionary(pa.int32(), pa.string()))
    batch = pa.RecordBatch.from_pydict({"word": words, "place": words.dictionary_encode(), "none": nothing})
    assert by_the_column(batch) == ",".join(by_the_row(batch))


def test_what_is_no_number_in_json_is_null():
    """The server or file of another program may have such values; the window is shown all the same."""
    batch = pa.RecordBatch.from_pydict({"jain": pa.array([0.5, math.nan, math.inf, None])})
    assert json.loads(f"[{by_the_column(batch)}]") == [{"jain": jain} for jain in (0.5, None, None, None)]


def test_the_summary_is_an_object_and_every_other_table_a_list():
    row = pa.RecordBatch.from_pydict({"a": pa.array([1])})
    line = b"".join(ndjson.parts({"summary": row, "tasks": row.slice(1), "others": row}))
    assert line == b'{"summary":{"a":1},"tasks":[],"others":[{"a":1}]}'
