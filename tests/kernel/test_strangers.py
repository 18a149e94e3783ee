"""Connections of programs that are no subscribers, and peers that vanish: the windows of the live run go on."""

import contextlib
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys

import pytest
from waiting import PATIENCE_S, eventually
from witness import HISTORY, Witness, held

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload):
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def call(path, message, length=None, compressed=0):
    """A gRPC call; ``length`` is the one that its message declares."""

    def literal(text):
        return bytes([len(text)]) + text

    head = b"\x83\x86" + b"\x04" + literal(path) + b"\x01" + literal(b"localhost")  # RFC 7541, appendix A
    head += (
        b"\x00"
        + literal(b"content-type")
        + literal(b"application/grpc")
        + b"\x00"
        + literal(b"te")
        + literal(b"trailers")
    )
    body = struct.pack(">BI", compressed, len(message) if length is None else length) + message
    return PREFACE + frame(4, 0, 0, b"") + frame(1, 4, 1, head) + frame(0, 0, 1, body)


DO_GET = b"/arrow.flight.protocol.FlightService/DoGet"
STRANGE = {
    "nothing": b"",
    "HTTP/1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "noise": random.Random(7).randbytes(4096),
    "noise after the preface": PREFACE + random.Random(8).randbytes(4096),
    "a frame of 16 MB": PREFACE + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(1000),
    "headers cut off": call(DO_GET, b"")[:-20],
    "a message cut off": call(DO_GET, b"\n\x02{}", length=1000),
    "a message of 4 GB": call(DO_GET, b"\n\x02{}", length=0xFFFFFFFF),
    "no protobuf": call(DO_GET, random.Random(9).randbytes(200)) + frame(0, 1, 1, b""),
    "compressed by nothing": call(DO_GET, b"\n\x02{}", compressed=1) + frame(0, 1, 1, b""),
    "another method": call(b"/no.such.Service/Method", b"") + frame(0, 1, 1, b""),
}


def assert_answered(port, said, part):
    """Assert that a correct call, made in the same way, gets an answer with ``part`` in it."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as stranger:
        stranger.sendall(said)
        got = b""
        while part not in got:
            got += stranger.recv(4096)
            assert len(got) < 65536, "HTTP/2 lets a server send no more without being asked"


def storm(port):
    """Make a hundred connections of each kind: half of them hang up. Returns the others, which send nothing more."""
    silent = []
    for said in STRANGE.values():
        for number in range(100):
            stranger = socket.create_connection(("127.0.0.1", port))
            with contextlib.suppress(OSError):  # the server may have hung up already
                stranger.sendall(said)
            if number % 2:
                stranger.close()
            else:
                silent.append(stranger)
    return silent


def test_whatever_strangers_send_the_windows_go_on(serving, tmp_path):
    """gRPC keeps the memory of the most connections there ever were, so only a second storm would show a leak."""
    process, uri = serving("-v", "--history", HISTORY)
    witness, port = Witness(uri), int(uri.rpartition(":")[2])
    eventually(lambda: len(witness.windows) > int(HISTORY))
    assert_answered(port, call(DO_GET, b"\n\x02{}"), b"windows_missed")
    before, resident_kb = held(process), []
    for _ in range(4):
        silent, begin = storm(port), len(witness.windows)
        eventually(lambda begin=begin: len(witness.windows) > begin + 5)
        for stranger in silent:
            stranger.close()
        eventually(lambda: held(process)[0] <= before[0] + 4)
        eventually(lambda: held(process)[1] <= before[1] + 8)
        resident_kb.append(held(process)[2])
    assert resident_kb[0] <= before[2] + 600 * 200, "600 connections at a time, and 200 kB for each"
    assert min(resident_kb[1:]) <= resident_kb[0] + 1800 * 8, "1,800 more connections leave less than 8 kB each"
    witness.verdict()
    process.send_signal(signal.SIGTERM)
    said = process.stderr.read()
    assert process.wait(PATIENCE_S) == 0
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("served ")


def test_a_peer_whose_network_is_gone_is_given_up(tmp_path):
    """Server and client share a network, which is switched off: no FIN or RST arrives. The minute becomes seconds."""
    program = (
        "import subprocess, sys, threading, time, schedtel\n"
        "from schedtel.flight import sockets\n"
        "sockets._GONE_AFTER_S, sockets._PROBE_EVERY_S = 4, 1\n"
        "def wait(condition):\n"
        "    end = time.monotonic() + 60\n"
        "    while not condition():\n"
        "        assert time.monotonic() < end, 'it did not happen'\n"
        "        time.sleep(0.05)\n"
        "lo = lambda state: subprocess.run(['ip', 'link', 'set', 'lo', state], check=True)\n"
        "client = 'import schedtel, sys\\nfor w in schedtel.subscribe(sys.argv[1]): print(w.window_id, flush=True)'\n"
        "lo('up')\n"
        "with schedtel.live('100ms') as source, schedtel.serve(source, 'grpc://127.0.0.1:0') as server:\n"
        "    published = []\n"
        "    collector = threading.Thread(target=server.run, args=(published.append,))\n"
        "    collector.start()\n"
        "    peer = subprocess.Popen([sys.executable, '-c', client, server.uri], stdout=subprocess.PIPE, text=True)\n"
        "    peer.stdout.readline()\n"
        "    lo('down')\n"
        "    begin, count = time.monotonic(), len(published)\n"
        "    assert server.subscribers.present()\n"
        "    wait(lambda: not server.subscribers.present())\n"
        "    print(time.monotonic() - begin, len(published) - count)\n"
        "    peer.kill(); peer.wait(); peer.stdout.close()\n"
        "    lo('up')\n"
        "    with schedtel.subscribe(server.uri) as again: next(iter(again))\n"
        "    source.stop()\n"
        "    collector.join()\n"
        "for a, b in zip(published, published[1:]): assert a.end_ns == b.start_ns\n"
    )
    if os.geteuid() or not all(map(shutil.which, ("unshare", "ip"))):
        pytest.skip("needs root, unshare and ip to switch a network off (apt install iproute2)")
    command = ["unshare", "--net", sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE_S, check=False)
    assert result.returncode == 0, result.stderr
    seconds, windows = map(float, result.stdout.split())
    assert 2 < seconds < 50, "0 s would mean a FIN, and 60 s that the setting was not taken"
    assert windows > seconds, "windows must go on meanwhile: ten a second, or fewer where the collector is held up"
