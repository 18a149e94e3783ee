"""The engine, compiled once."""

import fcntl
from pathlib import Path

import pytest

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
