"""Recordings to give to the command."""

import pytest
from samples import LENGTH, moved

import schedtel


@pytest.fixture
def recording(tmp_path, windows):
    recorder = schedtel.Recorder(tmp_path / "recording", window="1s")
    for window in windows:
        recorder.write(window)
    return tmp_path / "recording"


@pytest.fixture
def long_recording(tmp_path, windows):
    """A recording of the three windows, five times."""
    recorder = schedtel.Recorder(tmp_path / "long", window="100ms")
    for number, window in enumerate(windows * 5, 1):
        recorder.write(moved(window, number, windows[0].start_ns + number * LENGTH))
    return tmp_path / "long"
