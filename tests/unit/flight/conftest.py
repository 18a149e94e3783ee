"""A recording of the three windows, and a server of it."""

import pytest

import schedtel


@pytest.fixture
def recording(windows, tmp_path):
    recorder = schedtel.Recorder(tmp_path / "recording", window="100ms")
    for window in windows:
        recorder.write(window)
    return schedtel.read(tmp_path / "recording")


@pytest.fixture
def replayed(recording):
    """A server of the recording."""
    with schedtel.serve(recording, "grpc://127.0.0.1:0") as server:
        yield server
