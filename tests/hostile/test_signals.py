"""Signals at any moment from the first line of the command to its end: one way out, and nothing left behind.

SIGNALS sets how many each command gets, 12 unless set; the moments are the same on every run.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import eventually

import schedtel
from schedtel.errors import RecordingError
from schedtel.kernel.privileges import missing_capabilities

ROUNDS = int(os.environ.get("SIGNALS", "12"))
#: The interpreter itself needs 20 ms to start, in which nothing of ours runs: signals wait until our first line has.
PROGRAM = "import schedtel_start, _signal; _signal.pthread_sigmask(_signal.SIG_SETMASK, []); schedtel_start.main()"
LIVE = ["-w", "50ms", "-n", "4"]
COMMANDS = {
    "live": ["live", *LIVE, "--format", "ndjson"],
    "record": ["record", *LIVE, "-o", "new"],
    "export": ["export", "prometheus", *LIVE, "--listen", "127.0.0.1:0"],
    "show": ["show", "recording"],
    "import": ["import", "trace", "-o", "new", "-w", "50ms"],
    "workload": ["workload", "run", "fork-storm", "-d", "200ms"],
}
SWITCH = (
    "{0}-{1} [000] d... {2:.6f}: sched_switch: prev_comm={0} prev_pid={1} prev_prio=120 prev_state=S ==> "
    "next_comm={3} next_pid={4} next_prio=120\n"
)


@pytest.fixture
def places(tmp_path, windows):
    """A folder with a recording and a trace of 3,000 events."""
    with schedtel.Recorder(tmp_path / "recording", window="1s") as recorder:
        for window in windows:
            recorder.write(window)
    names = [("a", 7), ("b", 8)]
    events = (SWITCH.format(*names[i % 2], 100 + i / 1000, *names[(i + 1) % 2]) for i in range(3_000))
    (tmp_path / "trace").write_text("".join(events))
    return tmp_path


def begin(words, folder):
    command = [sys.executable, "-c", PROGRAM, *words]
    blocked = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        return subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def left_of(session):
    """Processes of a session that still run."""
    left = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
            left += [stat.parent.name] if int(its_session) == session and state != "Z" else []
    return left


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_at_any_moment_ends_it_in_silence(places, name):
    words = COMMANDS[name]
    if set(LIVE) <= set(words) and missing_capabilities():
        pytest.skip("needs the right to load BPF programs")
    began = time.monotonic()
    begin(words, places).communicate(timeout=60)
    lasts, moments = time.monotonic() - began, random.Random(name)
    for _ in range(ROUNDS):
        subprocess.run(["rm", "-rf", "new"], check=True, cwd=places)
        number = moments.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        process = begin(words, places)
        time.sleep(moments.uniform(0, lasts))
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
        assert process.returncode in (0, -number), said
        assert "Traceback" not in said
        assert said.count("\n") <= 4, "the lines of a run that ended in order"
        assert left_of(process.pid) == []
        readable(places / "new")


def readable(folder):
    """What had been written when the signal came can be read, if a window had."""
    with contextlib.suppress(RecordingError):
        assert all(window.summary.num_rows == 1 for window in schedtel.read(folder))


@pytest.mark.slow
@pytest.mark.skipif(bool(missing_capabilities()), reason="needs the right to load BPF programs")
def test_the_load_of_doctor_ends_with_it(places):
    process = begin(["doctor", "--verify", "--seconds", "60"], places)
    eventually(lambda: len(left_of(process.pid)) > 1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    eventually(lambda: left_of(process.pid) == [])


@pytest.mark.slow
@pytest.mark.skipif(bool(missing_capabilities()), reason="needs the right to load BPF programs")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_ftrace_instance_of_doctor_ends_with_it(places, number):
    """In a mount namespace of the test's own, where tracefs is mounted. What is left would be seen by all."""
    doctor = [sys.executable, "-m", "schedtel.cli", "doctor", "--verify", "--seconds", "60"]
    mount = "mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing"
    script = f"{mount}; echo mounted; read line"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout.readline() == "mounted\n"
        instances = Path(f"/proc/{shell.pid}/root/sys/kernel/tracing/instances")
        inside = ["nsenter", "--mount", f"--target={shell.pid}", "--wd=.", *doctor]
        with subprocess.Popen(inside, cwd=places, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            mine = instances / f"schedtel-doctor-{process.pid}"
            eventually(mine.exists)
            process.send_signal(number)
        eventually(lambda: not mine.exists())
        shell.stdin.close()


def test_a_hangup_that_the_caller_ignores_is_ignored(places):
    """As under nohup(1)."""
    server = ["serve", "--from", "recording", "-l", "grpc://127.0.0.1:0"]
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", sys.executable, "-m", "schedtel.cli", *server]
    with subprocess.Popen(command, cwd=places, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline().startswith("serving on ")
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        assert process.poll() is None
        process.terminate()
        assert process.wait(20) == 0
