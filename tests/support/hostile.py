"""Recordings that no recorder writes: any value in any column of any table, and any byte changed."""

import random
import struct

import pyarrow as pa
import pyarrow.parquet as pq

from schedtel.windows.schema import ARROW

LONG = "x" * 20_000
#: Acts on a terminal, ends a line, ends a text of C.
ACTIVE = "\x1b[31m\r\n\0<b>[red]&"
_MOMENTS_US = (-(1 << 63), -1, 0, 253_402_300_800_000_000, (1 << 63) - 1)


def values_for(kind):
    """Values to write in a column of this type: null, the ends of its range, and what figures cannot be."""
    if pa.types.is_fixed_size_list(kind):
        n = kind.list_size
        return [None, [None, *[0] * (n - 1)], [(1 << 32) - 1] * n]
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return [None, "", LONG, ACTIVE]
    if pa.types.is_floating(kind):
        return [None, float("nan"), float("inf"), float("-inf"), -1.0, 1e308]
    if pa.types.is_boolean(kind):
        return [None, True, False]
    if pa.types.is_timestamp(kind):
        return [None, *_MOMENTS_US]
    bits = kind.bit_width - 1
    return [None, -(1 << bits), -1, 0, (1 << (bits - 1)) - 1, (1 << bits) - 1]


#: (table, column) of all.
COLUMNS = [(table, field.name) for table, schema in ARROW.items() for field in schema]


def with_value(recording, table, column, value, row):
    """Write another value in a row of a column. Row numbers wrap around."""
    path = recording / table / "part-000001.parquet"
    stored = pq.ParquetFile(path).read()
    index, field = stored.schema.get_field_index(column), stored.schema.field(column)
    kind = field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    values = stored[column].cast(pa.int64()).to_pylist() if pa.types.is_timestamp(kind) else stored[column].to_pylist()
    values[row % len(values)] = value
    plain = pa.array(values, pa.int64()).cast(kind) if pa.types.is_timestamp(kind) else pa.array(values, kind)
    changed = plain.dictionary_encode() if pa.types.is_dictionary(field.type) else plain
    pq.write_table(stored.set_column(index, field, changed.cast(field.type)), path)


def with_other_bytes(recording, seed):
    """Change a few bytes of a file: bits in its pages or in its footer, a run of bytes, or its length."""
    chance = random.Random(seed)
    path = chance.choice(sorted(recording.rglob("*.parquet")))
    content = bytearray(path.read_bytes())
    (footer,) = struct.unpack("<I", content[-8:-4])
    begin = len(content) - footer - 8
    way = seed % 4
    if way == 3:
        content = content[: chance.randrange(len(content))] + bytes(chance.randrange(3))
    for _ in range(chance.choice((1, 1, 1, 4)) if way < 3 else 0):
        at = chance.randrange(begin) if way == 0 else chance.randrange(begin, len(content))
        content[at] ^= 1 << chance.randrange(8) if way < 2 else chance.randrange(1, 256)
    path.write_bytes(content)
    return path
