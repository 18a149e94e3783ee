"""What the tests of imports need: a C compiler, and a trace in a file."""

import pytest
from small_traces import require_compiler, write_trace


@pytest.fixture
def compiler():
    """Skips where the replay library cannot be compiled."""
    require_compiler()


@pytest.fixture
def trace(tmp_path):
    return write_trace(tmp_path / "trace.txt")
