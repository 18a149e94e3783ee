"""Many hosts, one dataset: partitions that other readers read as one table."""

import os
import subprocess
import sys

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from fleets import assert_same_numbers, hosts, rows_in
from samples import changed
from serving import TABLES

import schedtel
from schedtel.cli.sources import describe, open_source
from schedtel.recordings.dataset import Dataset, host_of

DAY_US = 86_400_000_000


# ---- partitions ----


@pytest.fixture
def fleet(windows, tmp_path):
    """A dataset of two hosts, in a directory."""
    dataset = Dataset(tmp_path / "fleet", window="100ms")
    for window in hosts(windows, "web1", "web2"):
        dataset.write(window, run=f"run-of-{host_of(window)}")
    return tmp_path / "fleet"


@pytest.mark.parametrize("table", TABLES)
def test_other_readers_see_one_table_with_a_host_column(fleet, windows, table):
    expected = {"web1": rows_in(windows, table), "web2": rows_in(windows, table)}
    found = duckdb.sql(
        f"select host, count(*) from read_parquet('{fleet}/{table}/**/*.parquet', hive_partitioning=true) "
        "group by host order by host"
    ).fetchall()
    assert dict(found) == expected
    read = ds.dataset(fleet / table, partitioning="hive").to_table()
    assert {name: read["host"].to_pylist().count(name) for name in expected} == expected
    assert set(read["day"].to_pylist()) == {"2023-11-14"}
    frame = pl.read_parquet(fleet / table, hive_partitioning=True)
    assert dict(frame.group_by("host").len().iter_rows()) == expected
    panda = pd.read_parquet(fleet / table, partitioning=ds.partitioning(flavor="hive"))
    assert panda["host"].value_counts().to_dict() == expected


def test_host_run_and_window_join_the_tables(fleet, windows):
    [(found,)] = duckdb.sql(
        f"select sum(t.cpu_ns) from read_parquet('{fleet}/tasks/**/*.parquet', hive_partitioning=true) t "
        f"join read_parquet('{fleet}/summary/**/*.parquet', hive_partitioning=true) s using (host, run, window_id)"
    ).fetchall()
    assert found == 2 * sum(sum(w.tasks["cpu_ns"].to_pylist()) for w in windows)


def test_a_dataset_is_a_recording_too(fleet, windows):
    found = list(schedtel.read(fleet))
    assert [host_of(w) for w in found] == ["web1"] * 3 + ["web2"] * 3
    assert [w.to_ndjson() for w in found] == [
        changed(w, host=name).to_ndjson() for name in ("web1", "web2") for w in windows
    ]
    assert schedtel.read(fleet).metadata["window"] == "100ms"


def test_the_window_of_one_run_is_not_said_of_all(windows, tmp_path):
    """The head of a page tells the window that the user asked for only where the dataset has one run."""
    heads = []
    for length, host in (("1s", "web1"), ("100ms", "web1"), ("5s", "web2")):
        Dataset(tmp_path, window=length).write(changed(windows[0], host=host))
        with open_source(str(tmp_path), {}) as source:
            heads.append(describe(source))
    assert heads == [
        "recording · window 1s · all tasks",
        "recording · 2 runs of 1 host",
        "recording · 3 runs of 2 hosts",
    ]


def test_a_day_ends_at_midnight_utc_and_so_does_its_part(windows, tmp_path):
    dataset = Dataset(tmp_path)
    start = 1_700_000_000_000_000
    for window, day in zip(windows, (0, 0, 1), strict=True):
        dataset.write(changed(window, wall_start=start + day * DAY_US))
    days = [path.parent.parent.name for path in sorted(tmp_path.glob("summary/**/*.parquet"))]
    assert days == ["day=2023-11-14", "day=2023-11-15"]
    assert [w.window_id for w in schedtel.read(tmp_path)] == [1, 2, 3]


def test_windows_that_wait_to_be_written_are_written_with_what_is_known_of_their_run(windows, tmp_path):
    """Windows of an earlier day and of an earlier run are written as well."""
    dataset = Dataset(tmp_path, window="100ms", filter_text="uid=0")
    dataset.facts = {"imported_from": "perf"}
    start = windows[0].summary["wall_start"].view(pa.int64())[0].as_py()
    for day, run in enumerate(("one", "one", "two")):
        dataset.add(changed(windows[0], wall_start=start + day * DAY_US), run=run)
    assert dataset.windows_written == 2
    dataset.flush()
    assert dataset.windows_written == 3
    written = sorted(tmp_path.glob("summary/**/*.parquet"))
    assert len(written) == 3
    for path in written:
        metadata = pq.read_schema(path).metadata
        assert metadata[b"schedtel.window"] == b"100ms"
        assert metadata[b"schedtel.filter"] == b"uid=0"
        assert metadata[b"schedtel.imported_from"] == b"perf"


@pytest.mark.parametrize("days", [(1, 0, 0), (1, 0, 1), (0, 2, 1)])
def test_windows_keep_their_order_when_the_clock_is_set_back_over_midnight(windows, tmp_path, days):
    dataset = Dataset(tmp_path, window="100ms")
    start = 1_700_000_000_000_000
    for window, day in zip(windows, days, strict=True):
        dataset.write(changed(window, wall_start=start + day * DAY_US))
    Dataset(tmp_path, window="1s").write(changed(windows[0], wall_start=start - DAY_US))
    read = schedtel.read(tmp_path)
    assert [w.window_id for w in read] == [1, 2, 3, 1]
    assert read.metadata["window"] == "1s", "the metadata of the newest part"


WITHOUT_TIME_ZONES = """
import sys
sys.modules["tzdata"] = None
import schedtel
from schedtel.recordings.dataset import Dataset
dataset = Dataset(sys.argv[2])
for window in schedtel.read(sys.argv[1]):
    dataset.write(window)
"""


def test_a_machine_without_a_database_of_time_zones_writes_a_dataset(windows, tmp_path):
    recorder = schedtel.Recorder(tmp_path / "recording")
    for window in windows:
        recorder.write(window)
    words = [sys.executable, "-c", WITHOUT_TIME_ZONES, tmp_path / "recording", tmp_path / "fleet"]
    subprocess.run(words, check=True, env={**os.environ, "PYTHONTZPATH": ""})
    assert {path.parent.parent.name for path in tmp_path.glob("fleet/*/*/*/*/*")} == {"day=2023-11-14"}
    assert_same_numbers(list(schedtel.read(tmp_path / "fleet")), windows)


def test_who_starts_again_adds_to_a_dataset(windows, tmp_path):
    for _ in range(2):
        dataset = Dataset(tmp_path)
        for window in windows:
            dataset.write(window)
    assert [w.window_id for w in schedtel.read(tmp_path)] == [1, 2, 3] * 2


def test_hosts_of_the_same_name_keep_the_windows_of_each(windows, tmp_path):
    """The windows of their two runs come in turn."""
    dataset = Dataset(tmp_path)
    for window in windows:
        for run in ("one", "two"):
            dataset.write(window, run=run)
    assert dataset.windows_written == 2 * len(windows)
    read = pl.read_parquet(tmp_path / "summary", hive_partitioning=True).sort("run", "window_id")
    assert read.select("run", "window_id").rows() == [(run, n) for run in ("one", "two") for n in (1, 2, 3)]
    # The second run begins a new part of the first; from then on both parts grow, and no window has a file of its own.
    assert sorted(path.stem[-1] for path in tmp_path.glob("summary/**/run=one/*")) == ["1", "2"]
    assert sorted(path.stem[-1] for path in tmp_path.glob("summary/**/run=two/*")) == ["1"]


@pytest.mark.parametrize("name", ["../../outside", "/etc", "a b=c", "..", "x" * 60])
def test_a_host_that_lies_about_its_name_stays_in_the_dataset(windows, tmp_path, name):
    dataset = Dataset(tmp_path / "fleet")
    dataset.write(changed(windows[0], host=name), run="../../../run")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == len(TABLES)
    assert all((tmp_path / "fleet") in path.parents for path in files)
    assert [host_of(w) for w in schedtel.read(tmp_path / "fleet")] == [name]
    folder = tmp_path / "fleet" / "tasks"
    [(found,)] = duckdb.sql(
        f"select distinct host from read_parquet('{folder}/**/*.parquet', hive_partitioning=true)"
    ).fetchall()
    assert found == name
