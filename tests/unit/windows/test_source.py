"""Sources as Arrow streams: polars and duckdb read the numbers of the windows."""

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from schedtel.errors import UsageError
from schedtel.windows import tables
from schedtel.windows.schema import ARROW
from schedtel.windows.source import Source


class Listed(Source):
    """Windows from a list."""

    def __init__(self, windows):
        self._windows, self.closed = windows, False

    def __iter__(self):
        return iter(self._windows)

    def close(self):
        self.closed = True


def total(windows, table: str, name: str) -> int:
    return sum(int(tables.column(getattr(window, table), name).sum()) for window in windows)


def test_a_source_closes_itself():
    with Listed([]) as source:
        assert not source.closed
    assert source.closed


@pytest.mark.parametrize(("table", "column"), [("tasks", "cpu_ns"), ("cpus", "switches"), ("summary", "wakeups")])
def test_polars_reads_every_table(windows, table, column):
    frame = pl.DataFrame(Listed(windows).table(table))
    assert frame.columns == ARROW[table].names
    assert frame[column].sum() == total(windows, table, column)


@pytest.mark.parametrize(("table", "column"), [("tasks", "cpu_ns"), ("cpus", "switches"), ("summary", "wakeups")])
def test_duckdb_reads_every_table(windows, table, column):
    relation = duckdb.from_arrow(Listed(windows).table(table).reader())
    [(found,)] = relation.aggregate(f"sum({column})").fetchall()
    assert found == total(windows, table, column)


def test_a_source_itself_is_the_stream_of_its_tasks(windows):
    assert pl.DataFrame(Listed(windows)).height == sum(w.tasks.num_rows for w in windows)


def test_a_stream_has_a_batch_a_window_with_all_metadata(windows):
    reader = pa.RecordBatchReader.from_stream(Listed(windows).table("tasks"))
    assert reader.schema.equals(ARROW["tasks"], check_metadata=True)
    assert [batch.to_pylist() for batch in reader] == [w.tasks.to_pylist() for w in windows]


def test_a_stream_of_no_window_has_its_columns():
    assert pl.DataFrame(Listed([]).table("summary")).columns == ARROW["summary"].names


def test_a_stream_is_lazy(windows):
    def endless():
        while True:
            yield windows[0]

    source = Listed(windows)
    source._windows = endless()
    assert source.table("tasks").reader().read_next_batch().num_rows == windows[0].tasks.num_rows


def test_an_unknown_table_is_refused_in_one_line(windows):
    with pytest.raises(UsageError, match="cannot stream table 'rows': there are summary, tasks, cpus"):
        Listed(windows).table("rows")
