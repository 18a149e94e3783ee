"""Windows in; one of their tables as an Arrow stream out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa

from schedtel.errors import UsageError
from schedtel.windows.schema import ARROW

if TYPE_CHECKING:
    from schedtel.windows.window import Window


class TableStream:
    """One table of a source as an Arrow stream, with one record batch for each window.

    Raises :class:`UsageError` for a name that is no table.
    """

    def __init__(self, windows: Iterable[Window], name: str) -> None:
        if name not in ARROW:
            raise UsageError(f"cannot stream table {name!r}: there are {', '.join(ARROW)}")
        self._windows, self._name = windows, name

    @property
    def schema(self) -> pa.Schema:
        return ARROW[self._name]

    def reader(self) -> pa.RecordBatchReader:
        """The stream as a pyarrow reader."""
        return pa.RecordBatchReader.from_batches(self.schema, (getattr(w, self._name) for w in self._windows))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.reader().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()
