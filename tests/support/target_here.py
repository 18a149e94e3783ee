"""A target in this process."""

import threading
from contextlib import contextmanager

from targets import TOKEN
from waiting import PATIENCE_S

from schedtel.access.tls import Tls
from schedtel.access.uri import parse_address
from schedtel.target.server import Target


@contextmanager
def running(rules):
    """A target with these rules, whose thread ends with the context."""
    with Target(rules, parse_address("grpc://127.0.0.1:0"), Tls(), TOKEN) as target:
        thread = threading.Thread(target=target.run)
        thread.start()
        try:
            yield target
        finally:
            target.stop()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
