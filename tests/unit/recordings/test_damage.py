"""Recordings of which a part is damaged or missing: the rest is read, and what is missing is told."""

import os
import shutil

import pytest
from fleets import hosts
from samples import changed, moved

from schedtel import Recorder, RecordingError, read
from schedtel.recordings.dataset import Dataset
from schedtel.windows.schema import ARROW


@pytest.fixture
def three_parts(windows, tmp_path):
    """A window in each of three parts."""
    recorder = Recorder(tmp_path / "parts", rotate_bytes=1, window="100ms")
    for window in windows:
        recorder.write(window)
    return recorder.directory


def ids_and_damage(directory):
    source = read(directory)
    ids = [window.window_id for window in source]
    assert all("\n" not in str(damage) for damage in source.damaged)
    return ids, [str(damage) for damage in source.damaged]


#: The third window has no preemption and no wait, so its part has no files of them.
_FILES = [(table, 1) for table in ARROW] + [(table, 3) for table in ARROW if table not in ("preemptions", "waits")]


@pytest.mark.parametrize(("table", "number"), _FILES)
@pytest.mark.parametrize("damage", [b"", "half", "gone"])
def test_one_damaged_part_does_not_hide_the_others(three_parts, table, number, damage):
    path = three_parts / table / f"part-{number:06d}.parquet"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if damage == "half" else damage)
    ids, told = ids_and_damage(three_parts)
    assert ids == [n for n in (1, 2, 3) if n != number]
    if (table, number, damage) == ("summary", 3, "gone"):
        assert told == [], "as if the recorder had been killed before it wrote the summary"
    else:
        (line,) = told
        assert line.startswith(f"cannot read {path}: ")
        assert line.endswith(" missing")


def test_the_metadata_is_that_of_the_newest_part_that_can_be_read(three_parts):
    (three_parts / "summary" / "part-000003.parquet").write_bytes(b"")
    assert read(three_parts).metadata["window"] == "100ms"


def test_parts_between_others_that_have_no_file_at_all_are_missed(three_parts, windows):
    for path in three_parts.rglob("part-000002.parquet"):
        path.unlink()
    ids, told = ids_and_damage(three_parts)
    assert ids == [1, 3]
    assert told == [
        f"cannot read {three_parts}/summary/part-000002.parquet: No such file; its windows are missing",
    ]


def test_a_long_gap_is_one_line(three_parts):
    for path in three_parts.rglob("part-000003.parquet"):
        path.rename(path.with_name("part-999999999.parquet"))
    ids, (line,) = ids_and_damage(three_parts)
    assert ids == [1, 2, 3]
    assert "nor the next 999999995" in line


def test_old_parts_that_were_removed_on_purpose_are_not_missed(three_parts):
    for path in three_parts.rglob("part-000001.parquet"):
        path.unlink()
    assert ids_and_damage(three_parts) == ([2, 3], [])


def test_a_part_of_a_dataset_is_missed_on_any_day(windows, tmp_path):
    dataset, day_us = Dataset(tmp_path), 86_400_000_000
    for number, window in enumerate(windows):
        dataset.write(changed(window, wall_start=1_700_000_000_000_000 + number * day_us), run="r")
    assert ids_and_damage(tmp_path) == ([1, 2, 3], [])
    (summary,) = tmp_path.glob("summary/*/day=2023-11-15/*/part-*-000002.parquet")
    summary.unlink()
    ids, (line,) = ids_and_damage(tmp_path)
    assert ids == [1, 3]
    assert line.startswith(f"cannot read {summary}: No such file")


def test_a_part_of_another_recording_is_told(three_parts, windows, tmp_path):
    """Its rows are not as many as the summary says."""
    shutil.copy(three_parts / "tasks" / "part-000002.parquet", three_parts / "tasks" / "part-000001.parquet")
    ids, (line,) = ids_and_damage(three_parts)
    assert ids == [2, 3]
    assert "tasks/part-000001.parquet: 0 rows of the windows in the summary, which had " in line


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(three_parts):
    path = three_parts / "tasks" / "part-000001.parquet"
    path.unlink()
    os.mkfifo(path)
    ids, (line,) = ids_and_damage(three_parts)
    assert ids == [2, 3]
    assert "it is no regular file" in line


def test_each_iteration_tells_anew(three_parts):
    path = three_parts / "cpus" / "part-000001.parquet"
    content = path.read_bytes()
    path.write_bytes(b"")
    source = read(three_parts)
    assert len(list(source)) == 2
    assert len(source.damaged) == 1
    path.write_bytes(content)
    assert len(list(source)) == 3
    assert source.damaged == []


def test_a_window_that_was_collected_twice_is_read_once_and_is_no_damage(windows, tmp_path):
    """A collector that is started again gets the server's history again."""
    for taken in (windows[:2], windows):
        with Dataset(tmp_path) as dataset:
            for window in taken:
                dataset.write(window, "run")
    source = read(tmp_path)
    assert [window.window_id for window in source] == [1, 2, 3]
    assert source.damaged == []


def test_where_nothing_is_whole_the_recording_is_refused(three_parts):
    for path in three_parts.rglob("tasks/*.parquet"):
        path.write_bytes(b"")
    source = read(three_parts)
    with pytest.raises(RecordingError, match="the file is damaged or not a recording's"):
        list(source)


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ({"number": 1}, "window 1 comes after window 1"),
        ({"start_ns": 0}, "window 2 starts before window 1 has ended"),
        ({"window_ns": 0}, "summary.window_ns is out of range"),
        ({"window_ns": (1 << 62) - 1}, "its end is out of range"),
        ({"wall_start": (1 << 63) - 1}, "summary.wall_start is out of range"),
    ],
)
def test_a_window_out_of_order_is_left_out(windows, tmp_path, wrong, cause):
    recorder = Recorder(tmp_path, rotate_bytes=1)
    recorder.write(windows[0])
    recorder.write(moved(windows[1], **{"number": 2, **wrong}))
    recorder.write(windows[2])
    ids, (line,) = ids_and_damage(tmp_path)
    assert ids == [1, 3]
    assert line == (f"cannot read {tmp_path}/summary/part-000002.parquet: {cause}; 1 of its windows are missing")


def test_runs_of_a_dataset_have_each_their_own_order(windows, tmp_path):
    dataset = Dataset(tmp_path)
    for window in hosts(windows, "web1", "web2"):
        for run in ("one", "two"):
            dataset.write(window, run=run)
    assert ids_and_damage(tmp_path) == ([1, 2, 3] * 4, [])


def test_windows_that_lack_a_host_are_left_out_only_where_one_is_needed(windows, tmp_path):
    recorder = Recorder(tmp_path)
    recorder.write(windows[0])
    recorder.write(changed(windows[1], host=None))
    source = read(tmp_path)
    assert len(list(source)) == 2
    source.need_identity("serve")
    assert [w.window_id for w in source] == [1]
    assert source.damaged[0].cause == "summary.host is null"


def test_a_file_that_claims_to_be_huge_is_not_read(windows, tmp_path):
    """A column of one value takes some bytes for any number of rows."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    recorder = Recorder(tmp_path, rotate_bytes=1)
    for window in windows[:2]:
        recorder.write(window)
    path = tmp_path / "cpus" / "part-000001.parquet"
    schema = pq.read_schema(path)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        some = pa.RecordBatch.from_arrays(
            [pa.nulls(100_000, f.type) for f in schema], schema=pa.schema([f.with_nullable(True) for f in schema])
        )
        for _ in range(30):
            writer.write_batch(some.cast(schema))
    assert path.stat().st_size < 1 << 20
    ids, (line,) = ids_and_damage(tmp_path)
    assert ids == [2]
    assert "claims to have 3000000 rows" in line
