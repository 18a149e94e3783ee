"""Any value in any column, and any byte changed: the right windows are read, or the recording is refused in a line."""

import random
import shutil
import warnings

import pytest
from hostile import COLUMNS, values_for, with_other_bytes, with_value

import schedtel
from schedtel.analysis.compare import compare
from schedtel.export.totals import HostTotals
from schedtel.report import document_of, render, tell
from schedtel.windows import validation
from schedtel.windows.schema import ARROW, TABLES

BYTES_CHANGED = 120


@pytest.fixture
def recording(windows, tmp_path):
    recorder = schedtel.Recorder(tmp_path / "recording", window="100ms")
    for window in windows:
        recorder.write(window)
    return tmp_path / "recording"


def read_all(directory):
    """The windows of a recording, or None where it is refused; with the lines that tell of the rest."""
    try:
        source = schedtel.read(directory)
        return list(source), [str(damage) for damage in source.damaged]
    except schedtel.RecordingError as error:
        return None, [str(error)]


def use(windows):
    """Compute all that the commands print of windows; Python's and numpy's warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for window in windows:
            assert window.metrics
            assert window.to_ndjson()
            for by in ("cgroup", "comm", "process", "task"):
                window.groups(by)
        summary = tell(iter(windows), "a", {})
        assert render(document_of([summary]))
        assert compare(summary.timeline, summary.timeline, resamples=100)
        totals = HostTotals()
        for window in windows:
            if not any(window.summary[name].null_count for name in validation.IDENTITY):
                totals.add(window)
        totals.read()


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_any_value_is_used_or_left_out_with_a_reason(recording, tmp_path, windows, table, column):
    for number, value in enumerate(values_for(ARROW[table].field(column).type)):
        changed = tmp_path / str(number)
        shutil.copytree(recording, changed)
        with_value(changed, table, column, value, 1)
        found, told = read_all(changed)
        assert all(line.isprintable() for line in told)
        if found is None or len(found) < len(windows):
            assert len(told) == 1, (value, told)
        if found:
            use(found)


@pytest.mark.parametrize("part", range(8))
def test_a_changed_byte_changes_no_window(recording, tmp_path, windows, part):
    expected = {window.to_ndjson() for window in windows}
    for seed in range(part, BYTES_CHANGED, 8):
        changed = tmp_path / str(seed)
        shutil.copytree(recording, changed)
        with_other_bytes(changed, seed)
        found, told = read_all(changed)
        assert all(line.isprintable() for line in told), seed
        if found is None:
            continue
        assert {window.to_ndjson() for window in found} <= expected, seed
        assert told or len(found) == len(windows), seed


def test_what_may_be_null_is_read_as_null(recording, tmp_path, windows):
    """All of it at once."""
    for table, names in validation.NULLABLE.items():
        for column in sorted(names - {f"{p}_{s}_ns" for p in ("tat", "rt") for s in ("mean", "max")}):
            if (
                column.rpartition("_")[0].rpartition("_")[0] in ("tat", "rt", "burst_tat", "burst_rt")
                or "wait_" in column
            ):
                continue  # null only where there are no samples
            with_value(recording, table, column, None, random.Random(column).randrange(3))
    found, told = read_all(recording)
    assert (len(found), told) == (3, [])
    use(found)


def test_every_column_that_may_be_null_is_one(windows):
    for table, names in validation.NULLABLE.items():
        assert names <= {column.name for column in TABLES[table]}
