"""The environments, compiled once."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _compiled():
    """With the engine, it takes half a minute."""
    pytest.importorskip("numba", reason="numba is not installed (pip install 'schedtel[learn]')")
    from migrating import compile_all  # noqa: PLC0415  (it needs numba)

    compile_all()
