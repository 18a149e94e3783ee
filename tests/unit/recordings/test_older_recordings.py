"""Recordings of an earlier schedtel, which lack a column that was added since."""

import pyarrow.parquet as pq
import pytest

from schedtel import Recorder, RecordingError, read
from schedtel.windows.invariants import check
from schedtel.windows.schema import ADDED_LATER, ARROW


def without(directory, table, column):
    """Take a column out of all files of a table, as if they had been written before it was added."""
    for path in (directory / table).iterdir():
        stored = pq.read_table(path)
        pq.write_table(stored.drop_columns([column]).replace_schema_metadata(stored.schema.metadata), path)


@pytest.fixture
def recording(windows, tmp_path):
    recorder = Recorder(tmp_path / "recording", window="100ms")
    for window in windows:
        recorder.write(window)
    return recorder.directory


@pytest.mark.parametrize(("table", "column"), [(table, name) for table, names in ADDED_LATER.items() for name in names])
def test_a_column_that_was_added_later_is_null(recording, windows, table, column):
    without(recording, table, column)
    found = list(read(recording))
    assert len(found) == len(windows)
    for old, new in zip(found, windows, strict=True):
        batch = getattr(old, table)
        assert batch.schema.equals(ARROW[table], check_metadata=True)
        assert batch[column].null_count == batch.num_rows
        rest = [name for name in ARROW[table].names if name != column]
        assert batch.select(rest).to_pylist() == getattr(new, table).select(rest).to_pylist()
        assert [finding for finding in check(old, None) if not finding.holds] == []
        if column == "open_wait_ns":
            assert old.groups("comm")["open_wait_ns"].null_count == len(old.groups("comm"))


def test_any_other_missing_column_is_refused(recording):
    without(recording, "tasks", "wait_ns")
    with pytest.raises(RecordingError, match="its columns are not those of tasks"):
        list(read(recording))
