"""Asking a recorder for a snapshot: which process is asked, what it answers, and who is left in peace."""

import os
import subprocess
import sys

import pytest
from event_words import pieces, recorded, switch
from waiting import PATIENCE_S

from schedtel.errors import RecordingError, UsageError
from schedtel.eventlog.snapshots import Snapshots, ask

#: Has a directory, and does with a request what it is told.
HOLDER = """
import os, signal, sys, time
from schedtel.eventlog.snapshots import REQUEST, Snapshots, Written
def write(*_):
    os.write(log, b"not of ours\\n{}\\n[1]\\n" + b'{"name": "../../etc"}\\n')
    for to_ns in (1, time.monotonic_ns()):
        snapshots.tell(Written("snapshot-20260131T120000.000Z", "by hand", 1, to_ns, 5, 2, 9))
actions = {"write": write, "exit": lambda *_: os._exit(3), "die": signal.SIG_DFL}
signal.signal(REQUEST, actions[sys.argv[2]])
with Snapshots(sys.argv[1]) as snapshots:
    log = os.open(sys.argv[1] + "/snapshots.ndjson", os.O_WRONLY | os.O_APPEND)
    print("ready", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Start a process that has the directory ``rec``; whatever runs at the end is killed, by its pid."""
    started = []

    def begin(action):
        command = [sys.executable, "-c", HOLDER, str(tmp_path / "rec"), action]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "ready\n"
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_the_process_that_has_the_directory_is_asked_and_its_answer_is_the_one_of_after_the_request(tmp_path, holder):
    holder("write")
    written = ask(str(tmp_path / "rec"))
    assert written.to_ns > 1
    assert (written.name, written.events, written.lost) == ("snapshot-20260131T120000.000Z", 5, 2)


def test_two_recorders_do_not_share_a_directory(tmp_path, holder):
    holder("write")
    with pytest.raises(RecordingError, match="another recorder does so"):
        Snapshots(tmp_path / "rec")


@pytest.mark.parametrize("ended_by", ["itself", "SIGKILL"])
def test_once_the_recorder_is_gone_nothing_is_asked_and_the_next_may_come(tmp_path, holder, ended_by):
    process = holder("write")
    ask(str(tmp_path / "rec"))
    process.kill() if ended_by == "SIGKILL" else process.stdin.close()
    process.wait(PATIENCE_S)
    with pytest.raises(RecordingError, match="no recorder keeps snapshots in"):
        ask(str(tmp_path / "rec"))
    with Snapshots(tmp_path / "rec"):
        pass
    assert (tmp_path / "rec" / "snapshots.ndjson").stat().st_size, "the log of the earlier ones stays"


def test_a_recorder_that_ends_before_it_has_written_is_told(tmp_path, holder):
    holder("exit")
    with pytest.raises(RecordingError, match="ended before it was written"):
        ask(str(tmp_path / "rec"))


def test_a_process_that_the_signal_would_kill_does_not_get_it(tmp_path, holder):
    process = holder("die")
    with pytest.raises(RecordingError, match=f"process {process.pid}.*about to begin or to end"):
        ask(str(tmp_path / "rec"))
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 0


def test_a_directory_that_got_nothing_is_taken_away(tmp_path):
    with Snapshots(tmp_path / "rec"):
        assert (tmp_path / "rec" / "snapshots.ndjson").stat().st_mode & 0o77 == 0
    assert not (tmp_path / "rec").exists()


def test_a_recording_is_no_place_for_snapshots(tmp_path):
    recorded(tmp_path / "rec", pieces({0: [switch(1, 7, 0)]}))
    with pytest.raises(RecordingError, match="it is a recording"):
        Snapshots(tmp_path / "rec")


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (lambda path: None, "No such file or directory"),
        (os.mkfifo, "is no regular file"),
        (os.mkdir, "is no regular file"),
        (lambda path: os.symlink("/etc/passwd", path), "Too many levels of symbolic links"),
        (lambda path: path.write_bytes(b"\0" * 10_000), "no recorder keeps snapshots"),
    ],
)
def test_what_is_no_log_is_refused_in_a_line(tmp_path, plant, words):
    plant(tmp_path / "snapshots.ndjson")
    with pytest.raises(RecordingError, match=words):
        ask(str(tmp_path))


@pytest.mark.parametrize("plant", [os.mkfifo, lambda path: os.symlink("/etc/passwd", path), os.mkdir])
def test_a_planted_log_is_not_written_to(tmp_path, plant):
    plant(tmp_path / "snapshots.ndjson")
    with pytest.raises(RecordingError, match=r"no regular file|cannot keep snapshots"), Snapshots(tmp_path):
        pass


def test_of_a_uri_nobody_can_be_asked(tmp_path):
    with pytest.raises((RecordingError, UsageError)):
        ask("none://bucket/rec")


def test_a_snapshot_of_a_uri_is_below_it_and_keeps_its_query(tmp_path):
    with Snapshots(f"file://{tmp_path}/rec/") as snapshots:
        name, place = snapshots.next()
        assert place == f"file://{tmp_path}/rec/{name}"
        snapshots._where = "s3://bucket/rec?region=x"
        name, place = snapshots.next()
        assert place == f"s3://bucket/rec/{name}?region=x"
