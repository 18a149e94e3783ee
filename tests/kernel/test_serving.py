"""The live source on a stream: another user's process gets the numbers of the live run, whatever happens meanwhile."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import schedtel
from schedtel import laws

COMMAND = [sys.executable, "-m", "schedtel.cli"]
LOOPBACK = "grpc://127.0.0.1:0"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]


@pytest.fixture
def serving():
    """Start `schedtel serve`; returns its process and URI. Whatever still runs at the end is killed, by its pid."""
    processes = []

    def begin(*arguments, window="100ms", **options):
        command = [*COMMAND, "serve", "-w", window, "--listen", "grpc://127.0.0.1:0", *arguments]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options))
        line = processes[-1].stderr.readline()
        assert line.startswith("serving on "), line
        return processes[-1], line.split()[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


def numbers(window):
    return json.loads(window.to_ndjson())


def test_another_users_process_gets_the_windows_of_the_live_run(tmp_path, start):
    """The collector here is privileged, its reader is nobody, and both write down what they saw."""
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to be two users (apt install util-linux)")
    program = (
        "import os, sys, schedtel\n"
        "assert os.getuid() == 65534\n"
        "with schedtel.subscribe(sys.argv[1], history=True, token=os.environ['SCHEDTEL_TOKEN']) as source:\n"
        "    for window in source: print(window.to_ndjson(), flush=True)\n"
        "    assert source.windows_missed == 0\n"
    )
    token = os.urandom(16).hex()
    with schedtel.live("100ms", count=12) as source, schedtel.serve(source, LOOPBACK, token=token) as server:
        # Nobody may not enter the directories of this environment: the interpreter gets its paths before it changes.
        command = [sys.executable, "-c", _as_nobody(program), server.uri]
        environment = {**os.environ, "SCHEDTEL_TOKEN": token}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as reader:
            start("storm", 200)
            published = []
            server.run(published.append)
            out, _ = reader.communicate(timeout=30)
    assert reader.returncode == 0
    assert [json.loads(line) for line in out.splitlines()] == [numbers(window) for window in published]
    assert len(published) == 12
    assert sum(window.metrics.tat.count for window in published) >= 200


def _as_nobody(program):
    """The program, with everything imported first and all privileges dropped then."""
    drop = "os.setgroups([]), os.setresgid(*[65534] * 3), os.setresuid(*[65534] * 3)"
    return f"import os, schedtel, pyarrow.flight\n{drop}\n{program}"


def test_the_command_of_another_user_may_read_and_may_not_load(serving, tmp_path):
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to be two users (apt install util-linux)")
    probe = subprocess.run([*NOBODY, *COMMAND, "--version"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("needs an environment that other users may enter (nobody cannot run this Python)")
    _, uri = serving()
    command = [*NOBODY, *COMMAND, "subscribe", uri, "-n", "3", "--format", "ndjson"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 3
    denied = subprocess.run([*NOBODY, *COMMAND, "live", "-n", "1"], capture_output=True, text=True, check=False)
    assert denied.returncode == 2


def test_a_suspended_collector_is_one_long_window_and_no_gap(serving):
    """SIGSTOP for more than ten windows, as when a machine sleeps: subscribers wait, and windows tile."""
    process, uri = serving()
    with schedtel.subscribe(uri) as source:
        stream = iter(source)
        windows = [next(stream) for _ in range(3)]
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.3)
        process.send_signal(signal.SIGCONT)
        windows += [next(stream) for _ in range(12)]
        assert source.windows_missed == 0
    assert max(window.summary["windows_spanned"][0].as_py() for window in windows) >= 5
    for before, after in itertools.pairwise(windows):
        assert before.end_ns == after.start_ns
        assert [finding for finding in laws.check(after, before) if not finding.holds] == []


def test_a_step_of_the_wall_clock_moves_no_window(monkeypatch):
    """By an hour and back. Only for this process: the machine's own clock is not a test's to set."""
    steps_ns = itertools.chain([0] * 3, [3_600_000_000_000] * 3, itertools.repeat(0))
    stepping = SimpleNamespace(monotonic_ns=time.monotonic_ns, time_ns=lambda: time.time_ns() + next(steps_ns))
    monkeypatch.setattr(sys.modules["schedtel.live"], "time", stepping)
    with schedtel.live("50ms", count=9) as source, schedtel.serve(source, "grpc://127.0.0.1:0") as server:
        server.run()
        with schedtel.subscribe(server.uri, history=True) as subscription:
            windows = list(subscription)
    assert len(windows) == 9
    for one, other in itertools.pairwise(windows):
        assert one.end_ns == other.start_ns
        assert [finding for finding in laws.check(other, one) if not finding.holds] == []
    walls = [window.summary["wall_start"][0].as_py() for window in windows]
    assert (walls[3] - walls[2]).total_seconds() > 3500, "the wall clock tells"
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
        begin = time.monotonic()
        process.send_signal(number)
        last = [window.window_id for window in stream]
        assert last
        assert source.ended == "stop"
    assert process.wait(20) == 0
    assert time.monotonic() - begin < 10
    idle.close()


def test_what_serving_costs_is_flat_however_many_come_and_go(serving):
    process, uri = serving("--history", "5")  # a longer one would still be filling up

    def held():
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
        status = dict(line.split(":", 1) for line in lines)
        return len(os.listdir(f"/proc/{process.pid}/fd")), int(status["Threads"]), int(status["VmRSS"].split()[0])

    def visit(count):
        for _ in range(count):
            with schedtel.subscribe(uri) as source:
                next(iter(source))

    visit(5)
    time.sleep(1)
    before = held()
    visit(40)
    time.sleep(1)
    after = held()
    assert after[0] <= before[0] + 12, "one a visit would be 40; some are still on their way out"
    assert after[1] <= before[1] + 2
    assert after[2] <= before[2] + 30_000


def test_serve_passes_the_exit_status_of_its_command_on():
    command = [*COMMAND, "serve", "-q", "-w", "100ms", "--listen", "grpc://127.0.0.1:0", "--", "sh", "-c", "exit 7"]
    assert subprocess.run(command, timeout=60, check=False).returncode == 7
