"""Many hosts, one dataset: partitions that others read as one table, object stores, gaps that are noted."""

import itertools
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from serving import PATIENCE_S, TABLES, TOKEN, Fed, assert_bit_identical, eventually, served, unused_port

import schedtel
from schedtel.access.tls import Tls
from schedtel.access.uri import parse_address
from schedtel.cli.sources import describe, open_source
from schedtel.flight import collect, feeds
from schedtel.flight.client import Subscription
from schedtel.flight.collect import Collection, Delivery, Outage
from schedtel.recordings.dataset import Dataset, host_of
from schedtel.recordings.storage import place_of
from schedtel.windows.arrow import from_list
from schedtel.windows.gaps import wall_start

DAY_US = 86_400_000_000


def changed(window, **columns):
    """A window with other values in its summary."""
    summary = window.summary
    arrays = [
        from_list([columns[field.name]], field.type) if field.name in columns else summary.column(field.name)
        for field in summary.schema
    ]
    return replace(window, summary=pa.RecordBatch.from_arrays(arrays, schema=summary.schema))


def hosts(windows, *names):
    """The windows once for each host, in turn."""
    return [changed(window, host=name) for window in windows for name in names]


def rows(windows, table):
    return sum(getattr(window, table).num_rows for window in windows)


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
    expected = {"web1": rows(windows, table), "web2": rows(windows, table)}
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
    """A page says how long each window is; of one run, the head says what the run was asked for."""
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
    """Also those of the day before, and of the run before."""
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
    assert read.metadata["window"] == "1s", "that of the newest part"


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
    """Their runs take turns."""
    dataset = Dataset(tmp_path)
    for window in windows:
        for run in ("one", "two"):
            dataset.write(window, run=run)
    assert dataset.windows_written == 2 * len(windows)
    read = pl.read_parquet(tmp_path / "summary", hive_partitioning=True).sort("run", "window_id")
    assert read.select("run", "window_id").rows() == [(run, n) for run in ("one", "two") for n in (1, 2, 3)]
    # The second begins a part of the first: from then on both grow, and there is no file for each window.
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


@pytest.mark.parametrize("uri", ["moon://bucket/path", "s3://", "ftp://x/y"])
def test_a_store_that_does_not_exist_is_one_line(uri):
    with pytest.raises((schedtel.UsageError, schedtel.RecordingError)) as caught:
        Dataset(uri)
    assert "\n" not in str(caught.value)


def test_keys_in_a_uri_are_not_shown():
    place = place_of("s3://AKIAKEY:secret@bucket/path?region=eu-west-1")
    assert str(place) == "s3://bucket/path?region=eu-west-1"
    assert place.path("file") == "s3://bucket/path/file"


# ---- an object store ----


@pytest.fixture(scope="module")
def bucket():
    """The URI of an empty bucket on an S3 server of this machine."""
    pytest.importorskip("moto", reason="needs moto as an S3 server (pip install 'moto[s3]' flask flask-cors)")
    before = {name: os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    os.environ.update(dict.fromkeys(before, "testing"))
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p"]
    with (
        unused_port() as port,
        subprocess.Popen([*command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server,
    ):
        try:
            eventually(lambda: answers(f"http://127.0.0.1:{port}/moto-api/"))
            make = urllib.request.Request(f"http://127.0.0.1:{port}/fleet", method="PUT")
            urllib.request.urlopen(make, timeout=PATIENCE_S).close()
            yield "s3://fleet/", f"?region=us-east-1&scheme=http&endpoint_override=127.0.0.1:{port}"
        finally:
            server.kill()
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def answers(url):
    try:
        urllib.request.urlopen(url, timeout=PATIENCE_S).close()
    except (OSError, urllib.error.URLError):
        return False
    return True


def test_an_object_store_keeps_the_same_numbers(bucket, windows):
    uri = "same".join(bucket)
    dataset = Dataset(uri, rotate_bytes=1)
    for count, window in enumerate(windows, 1):
        dataset.write(window)
        assert_same_numbers(schedtel.read(uri), windows[:count])
    assert dataset.windows_written == 3
    assert dataset.bytes_written > 0


def assert_same_numbers(found, windows):
    assert [w.to_ndjson() for w in found] == [w.to_ndjson() for w in windows]


def test_other_readers_read_the_object_store_as_one_table(bucket, windows):
    from pyarrow.fs import FileSystem  # noqa: PLC0415

    dataset = Dataset("readers".join(bucket))
    for window in hosts(windows, "web1", "web2"):
        dataset.write(window)
    files, path = FileSystem.from_uri("readers".join(bucket))
    read = ds.dataset(f"{path}/tasks", filesystem=files, partitioning="hive").to_table(columns=["host", "cpu_ns"])
    assert set(read["host"].to_pylist()) == {"web1", "web2"}
    assert sum(read["cpu_ns"].to_pylist()) == 2 * sum(sum(w.tasks["cpu_ns"].to_pylist()) for w in windows)


def test_a_bucket_that_is_not_there_is_one_line_before_there_is_a_window(bucket):
    uri = "s3://nowhere/path" + bucket[1]
    with pytest.raises(schedtel.RecordingError, match="check bucket, credentials and network") as caught:
        Dataset(uri)
    assert "\n" not in str(caught.value)
    with pytest.raises(schedtel.RecordingError):
        schedtel.read(uri)


def test_finding_out_whether_a_store_can_be_written_leaves_no_file(bucket, windows):
    uri = "probed".join(bucket)
    recorder = schedtel.Recorder(uri)
    with pytest.raises(schedtel.RecordingError, match="no such directory"):
        schedtel.read(uri)
    recorder.write(windows[0])
    assert_same_numbers(schedtel.read(uri), windows[:1])


def test_a_command_is_not_run_where_it_cannot_be_recorded(bucket, tmp_path):
    touch = ["touch", str(tmp_path / "ran")]
    record = [sys.executable, "-m", "schedtel.cli", "record", "-o", "s3://nowhere/path" + bucket[1], "--", *touch]
    done = subprocess.run(record, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("schedtel: cannot write s3://nowhere/path/")
    assert list(tmp_path.iterdir()) == []


# ---- collecting ----


def subscribe(uri, request):
    return Subscription(uri, TOKEN, Tls(), request)


class Collected:
    """A collection that is read in a thread."""

    def __init__(self, *uris, connect=subscribe):
        self.collection = Collection(uris, connect)
        self.arrivals, self.troubles = [], []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for what in self.collection:
            (self.arrivals if isinstance(what, Delivery) else self.troubles).append(what)

    def close(self):
        self.collection.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Try again at once."""
    monkeypatch.setattr(collect, "_FIRST_DELAY_S", 0.05)
    monkeypatch.setattr(collect, "_LONGEST_DELAY_S", 0.2)


def test_many_servers_are_one_dataset_and_the_end_of_all_is_the_end(windows, tmp_path):
    dataset = Dataset(tmp_path)
    with served(token=TOKEN) as one, served(token=TOKEN) as two:
        for server, name in ((one, "web1"), (two, "web2")):
            server.source.feed(*hosts(windows, name))
            server.source.end()
        for arrival in Collection([one.uri, two.uri, one.uri], subscribe):
            assert arrival.gap is None
            dataset.write(arrival.window, arrival.run, arrival.facts)
    found = list(schedtel.read(tmp_path))
    assert [(host_of(w), w.window_id) for w in found] == [(h, n) for h in ("web1", "web2") for n in (1, 2, 3)]
    known = schedtel.read(tmp_path).metadata
    assert all(known[name] == Fed.metadata[name] for name in ("window", "filter", "preemptions"))


def test_a_lost_connection_takes_up_where_it_was_and_nothing_is_missing(windows):
    from schedtel.flight import sockets  # noqa: PLC0415

    with served(token=TOKEN) as server:
        collected = Collected(server.uri)
        port = int(server.uri.rpartition(":")[2])
        for count, window in enumerate(windows, 1):
            server.source.feed(window)
            eventually(lambda n=count: len(collected.arrivals) == n)
            assert sockets.hang_up(parse_address(server.uri), port) == 1
        eventually(lambda: len(collected.troubles) == 3)
        collected.close()
    assert_bit_identical([arrival.window for arrival in collected.arrivals], windows)
    assert [arrival.gap for arrival in collected.arrivals] == [None] * 3
    assert not any(trouble.final for trouble in collected.troubles)


def test_windows_that_were_forgotten_meanwhile_are_a_gap(windows):
    from schedtel.flight import sockets  # noqa: PLC0415

    may_connect = threading.Event()
    may_connect.set()

    def connect(uri, request):
        assert may_connect.wait(PATIENCE_S)
        return subscribe(uri, request)

    with served(token=TOKEN, history=1) as server:
        collected = Collected(server.uri, connect=connect)
        server.source.feed(windows[0])
        eventually(lambda: collected.arrivals)
        may_connect.clear()
        sockets.hang_up(parse_address(server.uri), int(server.uri.rpartition(":")[2]))
        eventually(lambda: collected.troubles)
        server.source.feed(windows[1], windows[2])
        eventually(lambda: server.feed.oldest == 3)
        may_connect.set()
        eventually(lambda: len(collected.arrivals) == 2)
        collected.close()
    gap = collected.arrivals[1].gap
    assert (gap.cause, gap.after_window_id, gap.before_window_id, gap.windows_missed) == ("disconnected", 1, 3, 1)
    assert (gap.gap_end - gap.gap_start).total_seconds() == pytest.approx(0.1)


def test_a_server_that_starts_again_is_another_run_and_a_gap_of_unknown_size(windows, tmp_path):
    with unused_port() as port:
        uri = f"grpc://127.0.0.1:{port}"
        collected = Collected(uri)
        for count in (1, 2):
            with served(uri, token=TOKEN) as server:
                server.source.feed(changed(windows[0], wall_start=1_700_000_000_000_000 + count * 60_000_000))
                eventually(lambda n=count: len(collected.arrivals) == n)
                server.stop()
        eventually(lambda: len(collected.troubles) >= 2)
        collected.close()
    first, second = collected.arrivals
    assert first.gap is None
    assert first.run < second.run
    assert (second.gap.cause, second.gap.windows_missed) == ("restarted", None)
    dataset = Dataset(tmp_path)
    for arrival in collected.arrivals:
        dataset.write(arrival.window, arrival.run)
    dataset.write_gap(second.gap, second.window)
    [row] = duckdb.sql(
        f"select cause, windows_missed, gap_end - gap_start as lost, host "
        f"from read_parquet('{tmp_path}/gaps/**/*.parquet', hive_partitioning=true)"
    ).fetchall()
    assert (row[0], row[1], row[3]) == ("restarted", None, "testhost")
    assert row[2].total_seconds() == pytest.approx(60, abs=1)
    assert second.gap.gap_end == wall_start(second.window)


def test_a_server_that_refuses_us_is_given_up_and_the_others_go_on(windows):
    with served(token=TOKEN[::-1]) as closed, served(token=TOKEN) as open_one:
        open_one.source.feed(*windows)
        open_one.source.end()
        came = list(Collection([closed.uri, open_one.uri], subscribe))
    troubles = [what for what in came if isinstance(what, Outage)]
    assert [(trouble.uri, trouble.final) for trouble in troubles] == [(closed.uri, True)]
    assert "token is missing or wrong" in str(troubles[0].error)
    assert len(came) == 1 + len(windows)


def test_tries_become_rarer_and_are_not_all_at_once(monkeypatch):
    monkeypatch.setattr(collect, "_FIRST_DELAY_S", 1.0)
    monkeypatch.setattr(collect, "_LONGEST_DELAY_S", 8.0)
    waits = []

    def refuse(_uri, _request):
        raise schedtel.StreamError("cannot subscribe to it: nobody serves there (start it)")

    collection = Collection(["grpc://127.0.0.1:1"], refuse)

    class Stopped:
        def wait(self, seconds):
            waits.append(seconds)

        def is_set(self):
            return len(waits) >= 7

        def set(self):
            pass

    collection._stopped = Stopped()
    troubles = list(collection)
    assert len(troubles) <= 1, "an outage is reported once"
    for wait, nominal in zip(waits, (1, 2, 4, 8, 8, 8, 8), strict=True):
        assert nominal / 2 <= wait <= nominal * 1.5
    assert len({wait / nominal for wait, nominal in zip(waits, (1, 2, 4, 8, 8, 8, 8), strict=True)}) > 1


def test_leaving_does_not_wait_for_servers_that_are_silent(windows, monkeypatch):
    monkeypatch.setattr(feeds, "HEARTBEAT_S", 3600)
    with served(token=TOKEN) as server:
        collected = Collected(server.uri)
        server.source.feed(windows[0])
        eventually(lambda: collected.arrivals)
        begin = time.monotonic()
        collected.close()
        assert time.monotonic() - begin < PATIENCE_S / 2


def test_collected_windows_tile_but_for_the_gaps(windows):
    with served(token=TOKEN) as server:
        server.source.feed(*windows)
        server.source.end()
        arrivals = list(Collection([server.uri], subscribe))
    for before, after in itertools.pairwise(arrivals):
        assert after.gap or before.window.end_ns == after.window.start_ns
