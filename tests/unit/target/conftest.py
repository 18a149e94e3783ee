"""A target in this process: its calls, without any run."""

import pytest
from target_here import running
from targets import TOKEN

from schedtel.access.tls import Tls
from schedtel.target.client import Connection
from schedtel.target.rules import Rules


@pytest.fixture(scope="module")
def served():
    with running(Rules((0,), ("web",))) as target:
        yield target


@pytest.fixture
def connection(served):
    with Connection(served.uri, TOKEN, Tls()) as found:
        yield found
