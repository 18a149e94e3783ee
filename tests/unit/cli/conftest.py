"""The command, run in this process, and recordings to give to it."""

import sys

import pytest
from samples import LENGTH, moved

import schedtel
from schedtel.cli import main


@pytest.fixture
def run(monkeypatch, capfd):
    """Run the command in this process; returns its status, stdout and stderr."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["schedtel", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capfd.readouterr()

    return command


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
