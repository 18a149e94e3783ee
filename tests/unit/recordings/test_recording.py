"""Recordings: reading gives the same numbers again, and notices every damage."""

import os
import resource
import shutil
import signal
import stat
import time

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from samples import MS, moved

import schedtel
from schedtel import Recorder, RecordingError, UsageError, read
from schedtel.recordings.parts import ROWS
from schedtel.recordings.storage import Directory
from schedtel.windows import tables
from schedtel.windows.schema import ARROW, DEFINITIONS_VERSION

TABLES = tuple(ARROW)


@pytest.fixture
def recording(windows, tmp_path):
    """A recording of the three windows."""
    recorder = Recorder(tmp_path / "recording", window="100ms", filter_text="uid=0")
    for window in windows:
        recorder.write(window)
    return recorder.directory


def parts(directory, table: str = "summary") -> list[str]:
    return sorted(path.name for path in (directory / table).iterdir())


def assert_same(found, expected) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        for table in TABLES:
            assert getattr(a, table).to_pylist() == getattr(b, table).to_pylist()
            assert getattr(a, table).schema.equals(ARROW[table], check_metadata=True)
        assert a.metrics == b.metrics
        assert a.to_ndjson() == b.to_ndjson()
        assert a.groups("comm").to_pylist() == b.groups("comm").to_pylist()


def refused(directory) -> str:
    """The one line that refuses a damaged recording, at opening or while reading."""
    with pytest.raises(RecordingError) as caught:
        list(read(directory))
    message = str(caught.value)
    assert message.startswith("cannot read ")
    assert "\n" not in message
    return message


def test_what_is_read_is_what_was_written(recording, windows):
    assert_same(list(read(recording)), windows)


def test_a_recording_can_be_read_again_and_again(recording, windows):
    source = read(recording)
    assert_same(list(source), windows)
    assert_same(list(source), windows)


def test_every_window_is_complete_as_soon_as_it_is_written(windows, tmp_path):
    recorder = Recorder(tmp_path)
    for count, window in enumerate(windows, 1):
        recorder.write(window)
        assert_same(list(read(tmp_path)), windows[:count])
        assert recorder.windows_written == count


def test_only_the_owner_can_read_it(recording):
    files = [path for path in recording.rglob("*") if path.is_file()]
    assert len(files) == len(TABLES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_the_bytes_written_are_those_on_the_disk(windows, tmp_path):
    recorder = Recorder(tmp_path, rotate_bytes=1)
    for window in windows:
        recorder.write(window)
    assert recorder.bytes_written == sum(path.stat().st_size for path in tmp_path.rglob("*.parquet"))


def test_the_footer_says_what_a_reader_must_know(recording):
    found = read(recording).metadata
    assert found.items() >= {"window": "100ms", "filter": "uid=0", "kernel": "6.18.0", "ring_dropped": "0"}.items()
    assert found["definitions_version"] == str(DEFINITIONS_VERSION)
    assert found["clock"] == "CLOCK_MONOTONIC"


@pytest.mark.parametrize("rotation", [{"rotate_bytes": 1}, {"rotate_every": "1ms"}])
def test_rotation_closes_parts_and_changes_no_number(windows, tmp_path, rotation):
    recorder = Recorder(tmp_path, **rotation)
    for window in windows:
        recorder.write(window)
    assert parts(tmp_path) == [f"part-{n:06d}.parquet" for n in (1, 2, 3)]
    assert_same(list(read(tmp_path)), windows)


def test_a_closed_part_is_never_written_again(windows, tmp_path):
    recorder = Recorder(tmp_path, rotate_bytes=1)
    recorder.write(windows[0])
    before = [(path, path.stat().st_ino) for path in sorted(tmp_path.rglob("*.parquet"))]
    recorder.write(windows[1])
    assert [(path, path.stat().st_ino) for path, _ in before] == before


# ---- written by a killed process, or damaged ----


def test_unfinished_files_are_ignored(recording, windows):
    for table in TABLES:
        (recording / table / ".part-000002.parquet.unfinished").write_bytes(b"half a fi")
    assert_same(list(read(recording)), windows)
    assert pd.read_parquet(recording / "tasks").shape[0] == sum(w.tasks.num_rows for w in windows)


def test_who_is_killed_while_writing_leaves_tables_that_polars_reads(recording, windows, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", killed)
    for table in TABLES:
        with pytest.raises(KeyboardInterrupt):
            Directory(recording).write(f"{table}/part-000002.parquet", getattr(windows[0], table))
    assert len(list(recording.rglob("*unfinished*"))) == len(TABLES)
    for table in TABLES:
        assert pl.read_parquet(recording / table).height == sum(getattr(w, table).num_rows for w in windows)
    assert_same(list(read(recording)), windows)


def test_a_window_without_its_summary_does_not_count(windows, tmp_path):
    """The recorder is killed after it has written tasks and cpus, and before the summary."""
    recorder = Recorder(tmp_path / "whole")
    recorder.write(windows[0])
    shutil.copytree(tmp_path / "whole" / "summary", tmp_path / "summary-of-one")
    recorder.write(windows[1])
    shutil.rmtree(tmp_path / "whole" / "summary")
    shutil.move(tmp_path / "summary-of-one", tmp_path / "whole" / "summary")
    assert_same(list(read(tmp_path / "whole")), windows[:1])


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "missing footer", "bit rot"])
def test_a_damaged_file_is_refused_in_one_line(recording, table, damage):
    path = recording / table / "part-000001.parquet"
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "empty": b"",
            "truncated": content[:middle],
            "garbage": b"PAR1" + b"\xa5" * 500 + b"PAR1",
            "missing footer": content[:-8],
            "bit rot": content[:4] + bytes(200) + content[204:],
        }[damage]
    )
    assert str(path) in refused(recording)


@pytest.mark.parametrize("table", ["tasks", "cpus"])
def test_a_missing_part_is_refused_in_one_line(recording, table):
    (recording / table / "part-000001.parquet").unlink()
    assert table in refused(recording)


def test_a_recording_from_before_a_table_was_there_reads_without_it(recording, windows):
    def without_rows(summary):
        metadata = summary.schema.metadata.items()
        return summary.replace_schema_metadata({k: v for k, v in metadata if not k.startswith(ROWS.encode())})

    shutil.rmtree(recording / "preemptions")
    rewrite(recording, "summary", without_rows)
    for window, told in zip(read(recording), windows, strict=True):
        assert window.preemptions.equals(tables.empty("preemptions"))
        assert window.throttled.to_pylist() == told.throttled.to_pylist()
        assert window.summary.equals(told.summary)


def test_a_table_without_rows_has_no_file(windows, tmp_path):
    """No task was preempted or throttled in this part; a later part may have rows of both again."""
    recorder = Recorder(tmp_path, rotate_every="1ns")
    recorder.write(schedtel.Window(windows[0].summary, windows[0].tasks, windows[0].cpus))
    recorder.write(windows[1])
    assert sorted(path.name for path in (tmp_path / "preemptions").iterdir()) == ["part-000002.parquet"]
    quiet, busy = read(tmp_path)
    assert (quiet.preemptions.num_rows, quiet.throttled.num_rows) == (0, 0)
    assert busy.preemptions.to_pylist() == windows[1].preemptions.to_pylist()
    assert busy.preemptions.num_rows > 0


def test_no_recording_is_refused_in_one_line(tmp_path):
    assert "no such directory" in refused(tmp_path / "nowhere")
    assert "no window in it" in refused(tmp_path)
    (tmp_path / "file").write_text("x")
    assert "no such directory" in refused(tmp_path / "file")


def rewrite(recording, table: str, change) -> None:
    path = recording / table / "part-000001.parquet"
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)


@pytest.mark.parametrize("version", ["0", "2", "", "one"])
def test_definitions_of_another_version_are_refused(recording, version):
    metadata = {"schedtel.definitions_version": version} if version else {}
    rewrite(recording, "summary", lambda table: table.replace_schema_metadata(metadata))
    assert "version" in refused(recording)


@pytest.mark.parametrize("table", TABLES)
def test_other_columns_are_refused(recording, table):
    def renamed(read_table):
        names = ["another", *read_table.schema.names[1:]]
        return read_table.rename_columns(names).replace_schema_metadata(read_table.schema.metadata)

    rewrite(recording, table, renamed)
    assert "columns" in refused(recording)


def test_a_column_of_another_type_is_refused(recording):
    def as_text(read_table):
        texts = pa.array(["many"] * read_table.num_rows)
        index = read_table.schema.get_field_index("cpu_ns")
        return read_table.set_column(index, "cpu_ns", texts)

    rewrite(recording, "tasks", as_text)
    refused(recording)


# ---- writing where it cannot be written ----


def test_a_directory_that_holds_something_is_refused(recording, tmp_path):
    with pytest.raises(RecordingError, match="not empty"):
        Recorder(recording)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecordingError, match=r"^cannot write .*choose another directory"):
        Recorder(tmp_path / "file")


@pytest.mark.parametrize("wrong", [{"rotate_bytes": 0}, {"rotate_every": "often"}])
def test_wrong_rotation_is_refused_before_anything_is_made(tmp_path, wrong):
    with pytest.raises(UsageError):
        Recorder(tmp_path / "recording", **wrong)
    assert not (tmp_path / "recording").exists()


@pytest.fixture
def no_room():
    """Limits files to some kilobytes, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_one_line_and_spares_what_was_written(windows, tmp_path, no_room):
    recorder = Recorder(tmp_path)
    recorder.write(windows[0])
    no_room(2_000)
    with pytest.raises(RecordingError, match=r"^cannot write .*: File too large") as caught:
        recorder.write(windows[1])
    no_room(resource.RLIM_INFINITY)
    assert "\n" not in str(caught.value)
    assert_same(list(read(tmp_path)), windows[:1])
    assert not list(tmp_path.rglob("*unfinished*"))


def test_writing_goes_on_when_there_is_room_again(windows, tmp_path, no_room):
    recorder = Recorder(tmp_path)
    recorder.write(windows[0])
    no_room(2_000)
    with pytest.raises(RecordingError):
        recorder.write(windows[1])
    no_room(resource.RLIM_INFINITY)
    recorder.write(windows[2])
    found = list(read(tmp_path))
    assert [w.window_id for w in found] in ([1, 2, 3], [1, 3])
    assert_same(found[-1:], windows[2:])


# ---- other readers, as it stands ----


def test_pandas_polars_and_duckdb_read_a_table_as_it_stands(recording, windows):
    expected = sum(window.tasks.column("cpu_ns").to_numpy().sum() for window in windows)
    directory = recording / "tasks"
    assert pd.read_parquet(directory)["cpu_ns"].sum() == expected
    assert pl.read_parquet(directory)["cpu_ns"].sum() == expected
    [(found,)] = duckdb.sql(f"select sum(cpu_ns) from '{directory}/*.parquet'").fetchall()
    assert found == expected


def test_a_recording_is_a_source(recording, windows):
    frame = pl.DataFrame(schedtel.read(recording).table("summary"))
    assert frame["window_id"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(("window_ns", "expected"), [(100 * MS, 3), (3600_000 * MS, 1)])
def test_windows_are_not_held_up_by_the_writing_of_those_before(tmp_path, windows, monkeypatch, window_ns, expected):
    """Where each file takes 5 ms, the recorder closes a part of 100 ms windows once it has 50 of them."""
    written = Directory.write

    def slowly(*arguments):
        time.sleep(0.005)
        return written(*arguments)

    monkeypatch.setattr(Directory, "write", slowly)
    recorder = Recorder(tmp_path / "r", rotate_every="10000h")
    for number in range(1, 102):
        recorder.write(moved(windows[0], number, number * window_ns, window_ns=window_ns))
    assert parts(tmp_path / "r") == [f"part-{number:06d}.parquet" for number in range(1, expected + 1)]
    assert [window.window_id for window in read(tmp_path / "r")] == list(range(1, 102))


def test_windows_written_at_once_are_those_written_one_by_one(tmp_path, windows):
    at_once, one_by_one = Recorder(tmp_path / "at-once"), Recorder(tmp_path / "one-by-one")
    for window in windows:
        at_once.add(window)
        one_by_one.write(window)
    assert not (tmp_path / "at-once" / "summary").exists()
    at_once.flush()
    assert at_once.windows_written == one_by_one.windows_written == len(windows)
    assert at_once.bytes_written == one_by_one.bytes_written
    for name in ("summary", "tasks", "cpus"):
        tables = [
            schedtel.read(tmp_path / where).table(name).reader().read_all() for where in ("at-once", "one-by-one")
        ]
        assert tables[0].equals(tables[1])
