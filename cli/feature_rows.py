"""Windows in; a row of features for each, as NDJSON, Arrow IPC or CSV on a stream, out."""

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

    from schedtel.windows.window import Window


def write_rows(windows: Iterable[Window], stream: Output, kind: str, view: str) -> None:
    """Write the row of every window when it arrives, and flush, so that the reader of a pipe sees it at once.

    :param kind: ``ndjson``, ``arrow`` or ``csv``. A feature that is missing is null, and nothing in CSV.
    :param view: which features.
    """
    from schedtel.features import batches, schema  # noqa: PLC0415  (tracing begins without pyarrow)

    rows = batches(windows, view)
    if kind == "arrow":
        write_batches(rows, stream, schema(view))
        return
    if kind == "csv":
        stream.write(_csv_line(schema(view).names))
        stream.flush()
    for row in rows:
        stream.write(_csv_row(row) if kind == "csv" else _ndjson_row(row))
        stream.flush()


def _ndjson_row(row: pa.RecordBatch) -> bytes:
    from schedtel.windows import ndjson  # noqa: PLC0415  (see above)

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
