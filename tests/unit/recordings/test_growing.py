"""Recordings that are read while they are written: every window that is read is whole."""

import os
import random
import subprocess
import sys

import pytest
from samples import LENGTH, moved

import schedtel
from schedtel import Recorder, read
from schedtel.recordings.dataset import Dataset
from schedtel.recordings.parts import TABLES
from schedtel.recordings.storage import Directory
from schedtel.windows.invariants import check


def many(windows, count):
    for number in range(1, count + 1):
        yield moved(windows[number % 3], number, windows[0].start_ns + number * LENGTH)


def assert_whole(found, least):
    assert [w.window_id for w in found] == list(range(1, len(found) + 1))
    assert len(found) >= least
    for window in found:
        assert window.tasks.num_rows
        assert window.cpus.num_rows
        assert all(finding.holds for finding in check(window)), check(window)


@pytest.mark.parametrize("kind", [Recorder, Dataset])
@pytest.mark.parametrize("between", range(len(TABLES)))
def test_a_reader_between_two_files_of_the_writer_sees_whole_windows(windows, tmp_path, monkeypatch, kind, between):
    """The reader reads one table, then the writer writes all or some of its tables, then the reader goes on."""
    recorder, coming = kind(tmp_path), many(windows, 40)
    opened, chance = Directory.open, random.Random(between)
    steps = iter(())

    def writes():
        for window in coming:
            yield from step_by_step(recorder, window, monkeypatch)

    recorder.write(next(coming))
    steps = writes()

    def interrupted(place, name):
        file = opened(place, name)
        with monkeypatch.context() as patched:
            patched.setattr(Directory, "open", opened)
            for _ in range(chance.choice((1, between + 1, len(TABLES)))):
                next(steps, None)
        return file

    least = 1
    while next(steps, None) is not None or least < 40:
        monkeypatch.setattr(Directory, "open", interrupted)
        source = read(tmp_path)
        found = list(source)
        monkeypatch.setattr(Directory, "open", opened)
        assert_whole(found, least)
        assert source.damaged == []
        least = max(least, len(list(read(tmp_path))))


def step_by_step(recorder, window, monkeypatch):
    """Write a window in a thread of its own that stops after every file; yields at each of these stops."""
    import threading  # noqa: PLC0415

    written, go, stopped, ended = Directory.write, threading.Semaphore(0), threading.Semaphore(0), []

    def stopping(*arguments):
        size = written(*arguments)
        stopped.release()
        go.acquire()
        return size

    def run():
        recorder._place.write = lambda *arguments: stopping(recorder._place, *arguments)
        recorder.write(window)
        del recorder._place.write
        ended.append(True)
        stopped.release()

    thread = threading.Thread(target=run)
    thread.start()
    while True:
        stopped.acquire()
        if ended:
            break
        yield True
        go.release()
    thread.join()


WRITE = """
import sys
sys.path[:0] = sys.argv[3:]
import schedtel
from samples import LENGTH, moved
source = list(schedtel.read(sys.argv[1]))
recorder = schedtel.Recorder(sys.argv[2], rotate_every="2s")
for number in range(1, 161):
    recorder.write(moved(source[number % 3], number, number * LENGTH))
"""


def test_a_recording_that_another_process_writes_is_whole_on_every_read(windows, tmp_path):
    recorder = Recorder(tmp_path / "source")
    for window in windows:
        recorder.write(window)
    words = [sys.executable, "-c", WRITE, tmp_path / "source", tmp_path / "growing"]
    reads, least = 0, 1
    with subprocess.Popen([*words, *filter(os.path.isdir, sys.path[1:])]) as writer:
        while writer.poll() is None:
            try:
                source = read(tmp_path / "growing")
            except schedtel.RecordingError:
                assert not reads, "it was there before"
                continue
            found = list(source)
            assert source.damaged == []
            assert_whole(found, least)
            reads, least = reads + 1, len(found)
    assert writer.returncode == 0
    assert reads > 2
    assert len(list(read(tmp_path / "growing"))) == 160


def test_a_table_that_gets_its_first_rows_while_it_is_read_is_complete(windows, tmp_path, monkeypatch):
    """There was no file of the pairs when the reader listed the files."""
    recorder = Recorder(tmp_path)
    recorder.write(schedtel.Window(windows[0].summary, windows[0].tasks, windows[0].cpus))
    source = read(tmp_path)
    recorder.write(windows[1])
    quiet, busy = source
    assert quiet.preemptions.num_rows == 0
    assert busy.preemptions.to_pylist() == windows[1].preemptions.to_pylist()
    assert busy.preemptions.num_rows
