"""Scrapers that mean harm: they are silent, slow, too many, or send what is no request."""

import contextlib
import os
import socket
import subprocess
import sys
import time

import pytest
from exporting import get, totals_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import TOKEN, descriptors, no_descriptor_left, threads
from waiting import PATIENCE_S, eventually

from schedtel.export import http
from schedtel.export.http import Endpoint


@pytest.fixture(scope="module")
def application(windows):
    prometheus = pytest.importorskip("schedtel.export.prometheus", reason="needs prometheus-client (pip install)")
    return prometheus.application(totals_of(windows))


def connect(endpoint):
    return socket.create_connection(("127.0.0.1", int(endpoint.url.split(":")[2].split("/")[0])), PATIENCE_S)


def gone(connection):
    """Whether the server has ended a connection."""
    connection.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        try:
            return connection.recv(1) == b""
        except OSError:
            return True
    return False


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_client_that_drips_its_request_has_a_total_time(application, monkeypatch, token):
    """It is never silent for long, and never has a whole request."""
    monkeypatch.setattr(http, "_REQUEST_S", 0.5)
    with Endpoint(application, "127.0.0.1:0", token=token) as endpoint, connect(endpoint) as slow:
        begin = time.monotonic()
        while not gone(slow):
            assert time.monotonic() - begin < PATIENCE_S
            with contextlib.suppress(OSError):
                slow.sendall(b"x")
            time.sleep(0.05)
        assert get(endpoint.url, **({"Authorization": f"Bearer {token}"} if token else {}))[0] == 200


def test_a_client_that_does_not_take_its_answer_has_a_total_time(monkeypatch):
    monkeypatch.setattr(http, "_TOTAL_S", 0.5)

    def endless(_environ, start_response):
        start_response("200 OK", [])
        return (b"x" * 65536 for _ in range(1 << 20))

    with Endpoint(endless, "127.0.0.1:0") as endpoint, connect(endpoint) as slow:
        slow.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        eventually(lambda: endpoint._server._open)
        eventually(lambda: not endpoint._server._open)


def test_a_flood_does_not_keep_a_scrape_out_and_leaves_nothing(application, capfd):
    with Endpoint(application, "127.0.0.1:0") as endpoint:
        assert get(endpoint.url)[0] == 200
        before = descriptors(), threads()
        flood = [connect(endpoint) for _ in range(300)]
        assert get(endpoint.url)[0] == 200
        eventually(lambda: sum(map(gone, flood)) >= 300 - http._MOST)
        for connection in flood:
            connection.close()
        eventually(lambda: descriptors() <= before[0])
        eventually(lambda: threads() <= before[1])
    assert capfd.readouterr().err == ""


def test_another_user_cannot_take_all_places(application):
    """The user nobody holds as many connections as he gets: half of the places are not for him."""
    if os.geteuid():
        pytest.skip("needs root to be two users")
    program = (
        "import os, socket, sys, time\n"
        "os.setgroups([]), os.setresgid(*[65534] * 3), os.setresuid(*[65534] * 3)\n"
        "held = [socket.socket() for _ in range(60)]\n"
        "[s.connect(('127.0.0.1', int(sys.argv[1]))) for s in held]\n"
        "print('held', flush=True)\n"
        "time.sleep(600)\n"
    )
    with Endpoint(application, "127.0.0.1:0") as endpoint:
        command = [sys.executable, "-c", program, endpoint.url.split(":")[2].split("/")[0]]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
            try:
                assert other.stdout.readline() == "held\n"
                eventually(lambda: len(endpoint._server._open) == http._SHARE)
                eventually(lambda: {c.holder for c in endpoint._server._open.values()} == {"uid 65534"})
                assert get(endpoint.url)[0] == 200
            finally:
                other.kill()


def test_without_a_free_descriptor_it_waits_and_goes_on(application):
    with Endpoint(application, "127.0.0.1:0") as endpoint:
        clients = [socket.socket() for _ in range(3)]
        with no_descriptor_left():
            for client in clients:
                client.connect(("127.0.0.1", int(endpoint.url.split(":")[2].split("/")[0])))
            begin = time.process_time()
            time.sleep(1)
            assert time.process_time() - begin < 0.5, "it does not spin"
        for client in clients:
            client.close()
        assert get(endpoint.url)[0] == 200


_LINES = st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda method, path, version: b" ".join((method, path, version)) + b"\r\n",
        st.sampled_from([b"GET", b"POST", b"", b"\xff"]),
        st.sampled_from([b"/metrics", b"/metrics?name[]=%ff&a=%", b"//", b"http://[", b"/%00", b"*", b"/" * 70000]),
        st.sampled_from([b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"HTTP/9999999.1", b"HTTP/x", b""]),
    ),
)
_HEADERS = st.lists(
    st.sampled_from(
        [
            b"Accept: application/openmetrics-text; version=\xff\r\n",
            b"Accept-Encoding: gzip;q=x\r\n",
            b"Accept: " + b"a," * 4000 + b"\r\n",
            b"Authorization: Bearer \xe4\x00\r\n",
            b"Content-Length: -1\r\n",
            b"Content-Length: 99999999999999999999\r\n",
            b"Expect: 100-continue\r\n",
            b": empty\r\n",
            b" folded\r\n",
            b"X: " + b"y" * 60000 + b"\r\n",
            b"X: y\r\n" * 200,
        ]
    ),
    max_size=4,
).map(b"".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=_LINES, headers=_HEADERS, cut=st.booleans())
def test_whatever_is_sent_there_is_no_traceback_and_the_next_scrape_is_answered(fuzzed, capfd, line, headers, cut):
    with connect(fuzzed) as client, contextlib.suppress(OSError):
        client.sendall(line + headers + (b"" if cut else b"\r\n"))
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    assert get(fuzzed.url)[0] == 200
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def fuzzed(application):
    with Endpoint(application, "127.0.0.1:0") as endpoint:
        yield endpoint
