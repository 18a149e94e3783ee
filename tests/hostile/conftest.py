"""What hostile input is given to: the command, run in this process, and windows to record and to serve."""

import sys

import machine
import pytest
import samples
from host_builds import compiled

from schedtel.cli import main


@pytest.fixture(scope="session")
def windows(tmp_path_factory):
    """Three windows of a small simulated machine, as in the unit tests."""
    return samples.windows(machine.load(compiled(tmp_path_factory.mktemp("host"), "host_machine")))


@pytest.fixture
def run(monkeypatch, capfd):
    """Run the command in this process; returns its status, stdout and stderr."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["schedtel", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capfd.readouterr()

    return command
