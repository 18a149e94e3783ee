"""The engine, compiled once, and the command, run in this process."""

import fcntl
import sys
from pathlib import Path

import pytest

from schedtel.cli import main

BUILD = Path(__file__).parents[3] / "build"


@pytest.fixture(scope="session", autouse=True)
def _compiled():
    """One of the processes that tests run in compiles the engine, for half a minute; the others load what it kept."""
    pytest.importorskip("numba", reason="numba is not installed (pip install 'schedtel[sim]')")
    from simulated import one_job, simulate  # noqa: PLC0415  (it needs numba)

    BUILD.mkdir(exist_ok=True)
    with (BUILD / "simulator.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        simulate(one_job("a", "1ms"))


@pytest.fixture
def run(monkeypatch, capfd):
    """Run the command; returns its status, stdout and stderr."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["schedtel", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capfd.readouterr()

    return command
