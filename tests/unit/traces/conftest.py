"""What the tests of imports share: a trace in a file."""

import pytest
from small_traces import write_trace


@pytest.fixture
def trace(tmp_path):
    return write_trace(tmp_path / "trace.txt")
