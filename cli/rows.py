"""Rows of a table in; NDJSON, Arrow IPC, CSV or Parquet on a stream out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from schedtel.cli.output import Output, write_batches
from schedtel.foreign_text import Printable

if TYPE_CHECKING:
    import pyarrow as pa


def write_rows(batches: Iterable[pa.RecordBatch], schema: pa.Schema, stream: Output, kind: str) -> None:
    """Write each row when it arrives, and flush, so that the reader of a pipe sees it at once.

    :param kind: ``ndjson``, ``arrow``, ``csv`` or ``parquet``, which is written at the end. What is missing is null,
        and nothing in CSV.
    """
    if kind == "arrow":
        write_batches(batches, stream, schema)
        return
    if kind == "parquet":
        stream.write(_parquet(batches, schema))
        return
    if kind == "csv":
        stream.write(_csv_line(schema.names))
        stream.flush()
    for row in (batch.slice(number, 1) for batch in batches for number in range(batch.num_rows)):
        stream.write(_csv_row(row) if kind == "csv" else _ndjson_row(row))
        stream.flush()


def _parquet(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> bytes:
    import pyarrow as pa  # noqa: PLC0415  (tracing begins without pyarrow)
    import pyarrow.parquet as pq  # noqa: PLC0415  (see above)

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_batches(list(batches), schema), sink)
    return sink.getvalue().to_pybytes()


def _ndjson_row(row: pa.RecordBatch) -> bytes:
    from schedtel.windows import ndjson  # noqa: PLC0415  (tracing begins without pyarrow)

    return b"".join(ndjson.rows(row)) + b"\n"


def _csv_row(row: pa.RecordBatch) -> bytes:
    from schedtel.windows.arrow import values  # noqa: PLC0415  (see above)

    return _csv_line([_text(values(column)[0]) for column in row.columns])


def _text(value: object) -> str:
    """A value as text: times as NDJSON has them, numbers to the last bit, names so that a terminal may show them."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return "" if value is None else Printable(str(value))


def _csv_line(cells: Iterable[str]) -> bytes:
    """One record, quoted as in RFC 4180; it ends as lines do here, by a newline alone."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()
