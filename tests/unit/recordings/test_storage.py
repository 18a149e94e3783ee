"""Where recordings lie: directories, and object stores at a URI."""

import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pyarrow.dataset as ds
import pytest
from fleets import assert_same_numbers, hosts
from samples import LENGTH, moved
from serving import unused_port
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.recordings.dataset import Dataset
from schedtel.recordings.storage import place_of


@pytest.mark.parametrize("uri", ["moon://bucket/path", "s3://", "ftp://x/y"])
def test_a_store_that_does_not_exist_is_one_line(uri):
    with pytest.raises((schedtel.UsageError, schedtel.RecordingError)) as caught:
        Dataset(uri)
    assert "\n" not in str(caught.value)


def test_keys_in_a_uri_are_not_shown():
    place = place_of("s3://AKIAKEY:secret@bucket/path?region=eu-west-1")
    assert str(place) == "s3://bucket/path?region=eu-west-1"
    assert place.path("file") == "s3://bucket/path/file"


@pytest.fixture(scope="module")
def bucket():
    """The two ends of a URI of an empty bucket, on an S3 server of this machine; a path goes between them."""
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


def test_a_store_is_whole_whenever_it_is_read(bucket, windows):
    """The writer puts the open part again and again, in another thread, while the reader reads it."""
    uri = "growing".join(bucket)

    def write():
        dataset = Dataset(uri)
        for number in range(1, 25):
            dataset.write(moved(windows[0], number, number * LENGTH))

    writer = threading.Thread(target=write)
    writer.start()
    reads = last = 0
    while writer.is_alive():
        try:
            source = schedtel.read(uri)
        except schedtel.RecordingError:
            assert not reads, "it was there before"
            continue
        found = list(source)
        assert source.damaged == []
        assert [window.window_id for window in found] == list(range(1, len(found) + 1))
        assert all(window.tasks.num_rows == windows[0].tasks.num_rows for window in found)
        assert len(found) >= last
        reads, last = reads + 1, len(found)
    assert reads > 3
    assert len(list(schedtel.read(uri))) == 24


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
