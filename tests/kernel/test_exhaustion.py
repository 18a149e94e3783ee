"""Floods and a lack of descriptors, on a real collector: it goes on, and new subscribers are served afterwards."""

import os
import subprocess
import sys

import pyarrow.flight as fl
import pytest
from bcc_here import mounted_tracefs
from serving import no_descriptor_left
from surroundings import announced
from waiting import PATIENCE_S, eventually

import schedtel

COMMAND = [sys.executable, "-m", "schedtel.cli", "serve", "-w", "100ms", "--listen", "grpc://127.0.0.1:0"]
#: Another user's process holds idle connections, and says so; it connects again to what ends it.
FLOOD = (
    "import os, resource, socket, sys, time\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n"
    "os.setgroups([]), os.setresgid(*[65534] * 3), os.setresuid(*[65534] * 3)\n"
    "held = []\n"
    "for _ in range(1100):\n"
    "    held.append(socket.socket())\n"
    "    held[-1].settimeout(5)\n"
    "    held[-1].connect(('127.0.0.1', int(sys.argv[1])))\n"
    "print('held', flush=True)\n"
    "time.sleep(600)\n"
)


@pytest.mark.parametrize("limit", [1024, 20_000])
def test_idle_connections_of_another_user_end_neither_the_collector_nor_its_streams(limit):
    """With the usual limit of 1,024 descriptors as soft and hard limit, they take all that are left for a moment."""
    if os.geteuid():
        pytest.skip("needs root to be two users")
    limited = f"import os, resource, sys\nresource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))\n"
    program = f"{limited}os.execv(sys.argv[1], sys.argv[1:])"
    with announced("serving on ") as started:
        server, uri = started([sys.executable, "-c", program, *COMMAND])
        with schedtel.subscribe(uri) as witness:
            stream = iter(witness)
            before = next(stream)
            command = [sys.executable, "-c", FLOOD, uri.rpartition(":")[2]]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flood:
                try:
                    assert flood.stdout.readline() == "held\n"
                    during = [next(stream) for _ in range(10)]
                    eventually(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) < 700)
                    with schedtel.subscribe(uri, history=True) as another:
                        assert next(iter(another)).window_id >= 1
                finally:
                    flood.kill()
            eventually(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) < 100)
            windows = [before, *during, next(stream)]
            assert [w.window_id for w in windows] == list(range(before.window_id, before.window_id + len(windows)))
            assert witness.windows_missed == 0
        server.terminate()
        assert server.wait(PATIENCE_S) == 0
        assert "Traceback" not in server.stderr.read()


@pytest.fixture(params=["core", "core without the walk", "bcc"])
def backend(request):
    """The name of a backend, and what it needs made ready."""
    if request.param == "core without the walk":
        request.getfixturevalue("no_walk")
    if request.param == "bcc":
        with mounted_tracefs():
            yield "bcc"
    else:
        yield "core"


def test_a_collector_without_a_descriptor_makes_its_windows_and_loses_no_count(backend):
    with schedtel.live("100ms", backend=backend) as source:
        windows = iter(source)
        first = next(windows)
        with no_descriptor_left():
            without = [next(windows) for _ in range(5)]
        after = next(windows)
        source.stop()
    for window in (first, *without, after):
        row = window.summary.to_pylist()[0]
        assert row["host"] == first.summary["host"][0].as_py()
        assert row["scheduler"] == first.summary["scheduler"][0].as_py()
        assert row["collector_rss_bytes"] > 0
    spent = [window.summary["collector_cpu_ns"][0].as_py() for window in (*without, after)]
    assert spent[-1] > 0, "the window after has what could not be read before"


def test_a_flood_of_calls_on_one_connection_is_refused_and_the_others_go_on():
    """Each call that waits for a place holds a thread, so only as many wait as are served."""
    with announced("serving on ") as started:
        server, uri = started([*COMMAND, "--max-subscribers", "4"])
        client = fl.connect(uri)
        with schedtel.subscribe(uri) as witness:
            stream = iter(witness)
            next(stream)
            options = fl.FlightCallOptions(timeout=PATIENCE_S)
            readers = [client.do_get(fl.Ticket(b"{}"), options) for _ in range(200)]
            eventually(lambda: len(os.listdir(f"/proc/{server.pid}/task")) < 60)
            assert [next(stream) for _ in range(3)]
        for reader in readers:
            reader.cancel()
        client.close()
