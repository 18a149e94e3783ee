"""The live source on a stream: another user's process gets the numbers of the live run."""

import concurrent.futures
import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pyarrow.flight as fl
import pytest
from observe import wait_stopped
from waiting import PATIENCE_S, eventually
from witness import HISTORY, Witness, assert_tiling, held

import schedtel
from schedtel.analysis.health_log import HealthLog
from schedtel.flight.wire import Request
from schedtel.windows import invariants as laws

COMMAND = [sys.executable, "-m", "schedtel.cli"]
LOOPBACK = "grpc://127.0.0.1:0"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]


def numbers(window):
    return json.loads(window.to_ndjson())


def test_another_users_process_gets_the_windows_of_the_live_run(tmp_path, start):
    """This process collects with privileges, and a process of the user nobody reads; both write down their windows."""
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to be two users (apt install util-linux)")
    program = (
        "assert os.getuid() == 65534\n"
        "with subscribe(sys.argv[1], history=True, token=os.environ['SCHEDTEL_TOKEN']) as source:\n"
        "    for window in source: print(window.to_ndjson(), flush=True)\n"
        "    assert source.windows_missed == 0\n"
    )
    token = os.urandom(16).hex()
    with (
        schedtel.live("100ms") as source,
        schedtel.serve(source, LOOPBACK, token=token, history=10 * PATIENCE_S) as server,
    ):
        # The user nobody may not enter this environment: the program imports what it needs before it changes its user.
        command = [sys.executable, "-c", _as_nobody(program), server.uri]
        environment = {**os.environ, "SCHEDTEL_TOKEN": token}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as reader:
            storm, published = start("storm", 200), []

            def publish(window):
                """Stop once all has happened; the window that the stop ends is published too."""
                published.append(window)
                seen = len(published) >= 12 and storm.poll() is not None and server.subscribers.present()
                if seen or reader.poll() is not None:
                    source.stop()

            server.run(publish)
            out, _ = reader.communicate(timeout=PATIENCE_S)
    assert reader.returncode == 0
    assert [json.loads(line) for line in out.splitlines()] == [numbers(window) for window in published]
    assert storm.returncode == 0
    assert sum(window.metrics.tat.count for window in published) >= 200


def _as_nobody(program):
    """The program, which first imports everything and then drops all privileges."""
    drop = "os.setgroups([]), os.setresgid(*[65534] * 3), os.setresuid(*[65534] * 3)"
    return f"import os, sys, pyarrow.flight\nfrom schedtel import subscribe\n{drop}\n{program}"


def test_the_command_of_another_user_may_read_and_may_not_load(serving, tmp_path):
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to be two users (apt install util-linux)")
    probe = subprocess.run([*NOBODY, *COMMAND, "--version"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("needs an environment that other users may enter (nobody cannot run this Python)")
    _, uri = serving()
    command = [*NOBODY, *COMMAND, "subscribe", uri, "-n", "3", "--format", "ndjson"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 3
    denied = subprocess.run([*NOBODY, *COMMAND, "live", "-n", "1"], capture_output=True, text=True, check=False)
    assert denied.returncode == 2


def test_a_suspended_collector_is_one_long_window_and_no_gap(serving):
    """The collector is stopped for over ten windows, as when a machine sleeps: subscribers wait, and windows tile."""
    process, uri = serving()
    with schedtel.subscribe(uri) as source:
        stream = iter(source)
        windows = [next(stream) for _ in range(3)]
        process.send_signal(signal.SIGSTOP)
        wait_stopped(process)
        time.sleep(1.3)
        process.send_signal(signal.SIGCONT)
        windows += [next(stream) for _ in range(12)]
        assert source.windows_missed == 0
    assert max(window.summary["windows_spanned"][0].as_py() for window in windows) >= 5
    assert_tiling(windows)


def test_a_step_of_the_wall_clock_moves_no_window(monkeypatch, caplog):
    """The clock steps by an hour and back, for this process only: a test must not set the clock of the machine."""
    caplog.set_level(logging.WARNING, logger="schedtel")
    steps_ns = itertools.chain([0] * 3, [3_600_000_000_000] * 3, itertools.repeat(0))
    stepping = SimpleNamespace(monotonic_ns=time.monotonic_ns, time_ns=lambda: time.time_ns() + next(steps_ns))
    monkeypatch.setattr(sys.modules["schedtel.live"], "time", stepping)
    with schedtel.live("50ms", count=9) as source, schedtel.serve(source, "grpc://127.0.0.1:0") as server:
        server.run(HealthLog().add)
        with schedtel.subscribe(server.uri, history=True) as subscription:
            windows = list(subscription)
    assert len(windows) == 9
    told = [record.getMessage() for record in caplog.records if "wall clock" in record.getMessage()]
    assert [line.partition(" (")[0] for line in told] == [
        "the wall clock moved by +3600 s at window 4",
        "the wall clock moved by -3600 s at window 7",
    ]
    for one, other in itertools.pairwise(windows):
        assert one.end_ns == other.start_ns
        assert [finding for finding in laws.check(other, one) if not finding.holds] == []
    walls = [window.summary["wall_start"][0].as_py() for window in windows]
    assert (walls[3] - walls[2]).total_seconds() > 3500, "the wall clock shows the steps"
    assert walls[6] < walls[5]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_publishes_the_open_window_and_leaves_although_somebody_does_not_read(serving, number):
    process, uri = serving("--all-tasks", window="20ms")
    idle = schedtel.subscribe(uri)
    frozen = iter(idle)
    next(frozen)
    with schedtel.subscribe(uri) as source:
        stream = iter(source)
        next(stream)
        told_ns = time.monotonic_ns()
        process.send_signal(number)
        last = list(stream)
        assert last[-1].end_ns >= told_ns
        assert source.ended == "stop"
    assert process.wait(PATIENCE_S) == 0
    idle.close()


def test_a_thousand_subscribers_that_come_and_go_interrupt_nobody_and_leave_nothing(serving):
    process, uri = serving("--history", HISTORY)

    def visit(number):
        """In turn: leave after two windows, in the middle of a batch, or before the first window."""
        client = fl.connect(uri)
        reader = client.do_get(fl.Ticket(Request("windows", start="history").ticket()))
        for _ in range(2 - number % 3):
            reader.read_chunk()
        if number % 2:
            reader.cancel()
        client.close()

    witness = Witness(uri)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(50)))  # gRPC makes its threads and descriptors now, once
        eventually(lambda: len(witness.windows) > int(HISTORY))
        before = held(process)
        list(pool.map(visit, range(1000)))
    eventually(lambda: held(process)[0] <= before[0] + 4)
    eventually(lambda: held(process)[1] <= before[1] + 4)
    assert held(process)[2] <= before[2] + 30_000
    witness.verdict()


# ---- again ----


def test_a_server_that_starts_again_takes_a_dead_ones_socket_and_never_a_live_ones(serving, tmp_path):
    socket_uri = f"grpc+unix://{tmp_path}/run/socket"
    first, uri = serving(listen=socket_uri)
    assert uri == socket_uri
    command = [*COMMAND, "serve", "-w", "100ms", "--listen", socket_uri]
    second = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert second.returncode == 2
    assert "a server is there already" in second.stderr
    assert len(second.stderr.splitlines()) == 1

    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        collect = subprocess.Popen([*COMMAND, "collect", "-v", uri, "-o", str(tmp_path / "fleet")], stderr=log)
    try:
        eventually(lambda: list((tmp_path / "fleet").glob("summary/**/*.parquet")))
        first.kill()
        first.wait()
        assert (tmp_path / "run" / "socket").exists(), "a killed server cannot remove its socket"
        serving(listen=socket_uri)
        eventually(lambda: len(list((tmp_path / "fleet").glob("summary/*/*/run=*"))) == 2)
        collect.send_signal(signal.SIGTERM)
        assert collect.wait(PATIENCE_S) == 0
    finally:
        collect.kill()
        collect.wait()
    said = (tmp_path / "log").read_text().splitlines()
    assert [line.split(",")[0] for line in said if line.startswith("connected")] == [f"connected to {uri}"] * 2
    assert any(line.startswith(f"schedtel: gap in {uri} before window") and "restarted" in line for line in said)
    assert "stopping: SIGTERM" in said


def test_serve_passes_the_exit_status_of_its_command_on():
    command = [*COMMAND, "serve", "-q", "-w", "100ms", "--listen", "grpc://127.0.0.1:0", "--", "sh", "-c", "exit 7"]
    assert subprocess.run(command, timeout=PATIENCE_S, check=False).returncode == 7
