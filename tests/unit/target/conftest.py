"""A target in this process: its calls, without any run."""

import threading
from contextlib import contextmanager

import pytest
from targets import TOKEN
from waiting import PATIENCE_S

from schedtel.access.tls import Tls
from schedtel.access.uri import parse_address
from schedtel.target.client import Connection
from schedtel.target.rules import Rules
from schedtel.target.server import Target


@contextmanager
def running(rules):
    with Target(rules, parse_address("grpc://127.0.0.1:0"), Tls(), TOKEN) as target:
        thread = threading.Thread(target=target.run)
        thread.start()
        try:
            yield target
        finally:
            target.stop()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def served():
    with running(Rules((0,), ("web",))) as target:
        yield target


@pytest.fixture
def connection(served):
    with Connection(served.uri, TOKEN, Tls()) as found:
        yield found
