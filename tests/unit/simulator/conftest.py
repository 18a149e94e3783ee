"""The engine, compiled once."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _compiled():
    """It takes half a minute."""
    pytest.importorskip("numba", reason="numba is not installed (pip install 'schedtel[sim]')")
    from simulated import compile_once, one_job, simulate  # noqa: PLC0415  (it needs numba)

    compile_once(lambda: simulate(one_job("a", "1ms")))
