"""The command, run in this process, for the tests of `schedtel sim`."""

import sys

import pytest

from schedtel.cli import main


@pytest.fixture
def run(monkeypatch, capfd):
    """Run the command; returns its status, stdout and stderr."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["schedtel", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capfd.readouterr()

    return command
