"""What the tests of streams share: sources fed by hand, readers, certificates, counts of descriptors and threads."""

import contextlib
import datetime as dt
import ipaddress
import os
import queue
import resource
import socket
import threading
from contextlib import contextmanager

from waiting import PATIENCE_S

import schedtel
from schedtel.windows.schema import ARROW

TOKEN = "0123456789abcdef-of-the-tests"
TABLES = tuple(ARROW)


class Fed(schedtel.Source):
    """A live source without a kernel: the test feeds its windows, and ends it."""

    metadata = {"host": "testhost", "window": "100ms", "filter": "uid=0", "preemptions": "comm"}  # noqa: RUF012

    def __init__(self):
        self._windows = queue.Queue()

    def __iter__(self):
        return iter(self._windows.get, None)

    def feed(self, *windows):
        for window in windows:
            self._windows.put(window)

    def end(self):
        self._windows.put(None)


class Reader:
    """A thread that reads a subscription as fast as windows come."""

    def __init__(self, subscription):
        self.subscription, self.windows, self.gaps, self.error = subscription, [], [], None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            for window in self.subscription:
                self.windows.append(window)
                self.gaps.append(self.subscription.gap_before)
        except schedtel.SchedtelError as error:
            self.error = error

    def join(self):
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        return self


@contextmanager
def served(uri="grpc://127.0.0.1:0", **terms):
    """A server whose source the test feeds."""
    source = Fed()
    with schedtel.serve(source, uri, **terms) as server:
        pump = threading.Thread(target=server.run, daemon=True)
        pump.start()
        server.source = source
        yield server
        source.end()
        pump.join(PATIENCE_S)
        assert not pump.is_alive()


@contextmanager
def unused_port():
    """A port of 127.0.0.1 on which no process listens, and which the kernel gives to no other program.

    A socket is bound to it and does not listen: the kernel refuses connections, and a server of the test may bind it
    with SO_REUSEADDR.
    """
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def subscribers(server):
    return len(server.subscribers.present())


def assert_bit_identical(found, expected):
    """Both have the same numbers, nulls, dictionaries and metadata."""
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        for table in TABLES:
            assert getattr(a, table).equals(getattr(b, table), check_metadata=True)
            assert getattr(a, table).schema.equals(ARROW[table], check_metadata=True)
        assert a.to_ndjson() == b.to_ndjson()
        assert a.metrics == b.metrics
        assert a.groups("comm").equals(b.groups("comm"))


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def threads():
    return len(os.listdir("/proc/self/task"))


@contextmanager
def no_descriptor_left():
    """This process can open nothing more, until the end of the context."""
    held, (soft, hard) = [], resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 4096), hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        yield
    finally:
        for number in held:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def certificate(folder, name, authority=None, days=1, host="127.0.0.1"):
    """Write NAME.pem and NAME.key, signed by the authority's key or its own. Returns certificate and key."""
    from cryptography import x509  # noqa: PLC0415  (a skip where it is missing, and not an error)
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer, signer = (authority[0].subject, authority[1]) if authority else (subject, key)
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=2))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / f"{name}.key").write_bytes(encoded)
    return made, key


def take(feed, subscriber, request, count):
    """The next events of a feed for a subscriber, and the iterator of those after them."""
    events = feed.events(request, subscriber, lambda: False)
    return [next(events) for _ in range(count)], events
