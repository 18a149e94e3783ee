"""The command, run in this process, and recordings to give to it."""

import sys

import pyarrow as pa
import pytest

import schedtel
from schedtel.cli import main
from schedtel.windows.schema import ARROW


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
        tables = {name: renumbered(getattr(window, name), number) for name in ARROW}
        recorder.write(schedtel.Window(**tables))
    return tmp_path / "long"


def renumbered(batch, number):
    return batch.set_column(0, batch.schema.field(0), pa.array([number] * batch.num_rows, pa.int64()))
