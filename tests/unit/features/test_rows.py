"""Rows of features of a whole recording: as batches, as a data frame, and as the documentation lists them."""

import dataclasses
import math

import pandas as pd
import pyarrow as pa
import pytest

import schedtel
from schedtel import features
from schedtel.windows import tables

IDENTITY = ["window_id", "window_start_ns", "wall_start", "host", "scheduler"]


@pytest.fixture
def recording(tmp_path, windows):
    with schedtel.Recorder(tmp_path / "recording", window="100ms") as recorder:
        for window in windows:
            recorder.write(window)
    return schedtel.read(tmp_path / "recording")


@pytest.mark.parametrize("view", features.VIEWS)
def test_a_recording_as_a_frame_has_the_vectors_of_its_windows(recording, windows, view):
    frame = features.frame(recording, view)
    assert list(frame.columns) == [*IDENTITY, *windows[0].features(view).names]
    assert list(frame["window_id"]) == [1, 2, 3]
    for row, window in zip(frame.to_dict("records"), windows, strict=True):
        assert row["wall_start"] == pd.Timestamp(window.summary["wall_start"][0].as_py())
        for name, value in window.features(view).as_dict().items():
            assert math.isnan(row[name]) if value is None else row[name] == value


def test_a_recording_without_readings_of_the_machine_has_them_missing(tmp_path, windows):
    with schedtel.Recorder(tmp_path / "bare", window="100ms") as recorder:
        for window in windows:
            recorder.write(dataclasses.replace(window, machine=tables.empty("machine")))
    assert not (tmp_path / "bare" / "machine").exists()
    frame = features.frame(schedtel.read(tmp_path / "bare"))
    assert frame["memory_used_avg_bytes"].isna().all()
    assert frame["running_avg"].notna().all()


def test_a_batch_tells_unit_meaning_part_and_source_of_each_feature(windows):
    schema = features.batch_of(windows[0]).schema
    assert schema.metadata == {b"schedtel.features_version": b"2"}
    told = schema.field("tat_mean_ns").metadata
    assert (told[b"unit"], told[b"part"], told[b"source"]) == (b"ns", b"kernel", b"summary.tat_mean_ns")
    assert all(field.metadata[b"meaning"] for field in schema)


def test_batches_come_as_windows_come(windows):
    """A live source never ends: no row may wait for the next window."""
    taken = []

    def source():
        for window in windows:
            taken.append(window.window_id)
            yield window

    rows = features.batches(source())
    assert next(rows)["window_id"].to_pylist() == [1]
    assert taken == [1]


def test_no_windows_are_a_frame_without_rows():
    frame = features.frame([], "study")
    assert frame.shape == (0, len(IDENTITY) + 19)


def test_a_view_that_is_none_is_refused():
    with pytest.raises(schedtel.UsageError, match="there are all, study"):
        features.frame([], "some")


def test_a_schema_is_of_numbers_that_may_be_null():
    for field in list(features.schema())[len(IDENTITY) :]:
        assert field.type == pa.float64()
        assert field.nullable
