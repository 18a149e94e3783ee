"""However a workload ends, nothing that it started is left: by its end, by signals, and by the death of any part."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runs_of_workloads import tasks_named, unique
from waiting import eventually

from schedtel.workloads.external import installed

#: Every kind of task that a run has: pool, threads, lives with trees, partners, and closed workers that think.
KINDS = """
duration = "60s"
[classes.{0}a]
arrival = {{ kind = "periodic", period = "50ms" }}
service = "1ms"
workers = 2
[classes.{0}b]
arrival = {{ kind = "periodic", period = "50ms" }}
service = "1ms"
tasks = "threads"
workers = 2
behaviour = {{ kind = "pipe", rounds = 2 }}
[classes.{0}c]
arrival = {{ kind = "periodic", period = "100ms" }}
service = "90ms"
life = true
behaviour = {{ kind = "fork", depth = 2, fan = 2 }}
[classes.{0}d]
arrival = {{ kind = "closed", think = "20s" }}
service = "1ms"
workers = 2
behaviour = {{ kind = "pipe", rounds = 2 }}
"""
EXTERNAL = '[external.load]\ntool = "stress-ng"\narguments = "--cpu 2"\n'


@pytest.fixture
def begun(tmp_path):
    """Start the command with a workload; ends it at the end of the test. Yields a function that returns the process."""
    processes = []

    def begin(text, *options):
        path = tmp_path / "w.toml"
        path.write_text(text)
        command = [
            sys.executable,
            "-m",
            "schedtel.cli",
            "workload",
            "run",
            str(path),
            "--loops-per-us",
            "500",
            *options,
        ]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def of_session(session):
    """Processes of a session that are no zombies; children keep the session of the command that started them."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, rest = stat.read_text(errors="replace").partition("(")[2].rsplit(")", 1)
            if int(rest.split()[3]) == session and rest.split()[0] not in "ZX":
                found[int(stat.parent.name)] = name
    return found


def started(process, name):
    """Wait until tasks of every class are there, and lives have trees."""
    eventually(lambda: process.poll() is not None or all(tasks_named(name + kind) for kind in "abcd"))
    eventually(lambda: process.poll() is not None or len(tasks_named(f"{name}c")) > 4)
    assert process.poll() is None, process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left_when_the_command_is_ended(begun, number):
    name = unique("e")
    process = begun(KINDS.format(name), "--format", "json")
    started(process, name)
    eventually(lambda: len(of_session(process.pid)) > 10)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    eventually(lambda: of_session(process.pid) == {})
    if number == signal.SIGKILL:
        assert process.returncode == -number
        return
    assert (process.returncode, err) == (0, "interrupted before the end of the plan\n")
    summary = json.loads(out)
    assert summary["interrupted"] is True
    assert summary["classes"][f"{name}a"]["completed"] > 0


def test_nothing_is_left_when_the_generator_is_killed(begun):
    name = unique("g")
    process = begun(KINDS.format(name))
    started(process, name)
    generators = [pid for pid, comm in of_session(process.pid).items() if comm == "workload"]
    assert len(generators) == 1
    os.kill(generators[0], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == (
        "schedtel: cannot run the workload: the generator was ended before its answer (see the limits in "
        "docs/workloads.md)\n"
    )
    eventually(lambda: of_session(process.pid) == {})


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_of_a_program_of_others(begun, number):
    if installed()["stress-ng"] is None:
        pytest.skip("needs stress-ng (apt install stress-ng)")
    name = unique("x")
    process = begun(KINDS.format(name) + EXTERNAL)
    eventually(lambda: sum(comm.startswith("stress-ng") for comm in of_session(process.pid).values()) >= 3)
    process.send_signal(number)
    process.communicate(timeout=60)
    eventually(lambda: of_session(process.pid) == {})


def test_nothing_is_left_of_a_program_that_puts_itself_into_the_background(begun, tmp_path, monkeypatch):
    """A daemon in a session of its own, behind the name of a tool. What the tool says does not act on a terminal."""
    sleeper = unique("d")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / sleeper).symlink_to("/bin/sleep")
    tool = tmp_path / "bin" / "hackbench"
    daemon = f"setsid {tmp_path}/bin/{sleeper} 600 &\n"
    tool.write_text(f"#!/bin/sh\n{daemon}{daemon}printf '\\033[31mred\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    process = begun('duration = "60s"\n[external.load]\ntool = "hackbench"\n')
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert "\\x1b[31mred" in out
    assert "\x1b" not in out
    assert tasks_named(sleeper) == []


def test_a_run_that_ends_by_itself_leaves_nothing(begun):
    name = unique("z")
    process = begun(
        KINDS.format(name).replace('"60s"', '"300ms"\ndrain = "30s"').replace('"90ms"', '"5ms"'), "--format", "json"
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert of_session(process.pid) == {}
    counts = {kind: json.loads(out)["classes"][name + kind]["completed"] for kind in "abcd"}
    assert counts == {"a": 6, "b": 6, "c": 3, "d": 0}


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--strict",), 1)])
def test_a_generator_that_is_late_says_so(begun, options, status):
    """No dispatcher is within a nanosecond."""
    name = unique("y")
    process = begun(KINDS.format(name).replace('"60s"', '"200ms"\nlate = "1ns"'), *options)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err.startswith("schedtel: late: one release in a hundred came ")
    assert err.count("\n") == 1


def test_a_plan_that_cannot_be_kept_is_refused_and_starts_nothing(begun):
    name = unique("n")
    process = begun(KINDS.format(name).replace('service = "1ms"\nworkers', 'service = "50s"\nworkers', 1))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("schedtel: cannot keep the plan: ")
    assert err.count("\n") == 1
    assert tasks_named(f"{name}a") == []


def schedtel(*words):
    command = [sys.executable, "-m", "schedtel.cli", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_schedtel_records_a_workload_as_any_command_and_replays_its_arrivals(tmp_path):
    """Each life of the plan is a completed task in the recording. The replay also has the task that forked them."""
    name = unique("r")
    (tmp_path / "w.toml").write_text(
        f'duration = "400ms"\ndrain = "30s"\n[classes.{name}]\narrival = {{ kind = "periodic", period = "20ms" }}\n'
        'service = "1ms"\nlife = true\n'
    )
    run = [sys.executable, "-m", "schedtel.cli", "workload", "run", tmp_path / "w.toml"]
    schedtel("record", "-w", "200ms", "-o", tmp_path / "r", "--", *run)
    shown = schedtel("show", tmp_path / "r", "--format", "ndjson").splitlines()
    rows = [row for line in shown for row in json.loads(line)["tasks"] if row["comm"] == name]
    completed = [row for row in rows if row["completion_ns"] is not None and row["exit_code"] == 0]
    assert len(completed) == 20
    assert all(row["tat_ns"] >= row["cpu_ns"] > 0 for row in completed)

    (tmp_path / "again.toml").write_text(
        f'duration = "60s"\n[classes.again]\n'
        f'arrival = {{ kind = "recorded", recording = "{tmp_path}/r", comm = "{name}" }}\n'
    )
    lines = schedtel("workload", "plan", tmp_path / "again.toml", "--format", "ndjson").splitlines()
    jobs = [(job["at_ns"], job["work_ns"]) for job in map(json.loads, lines)]
    assert len(jobs) == 21
    start_ns = json.loads(shown[0])["summary"]["window_start_ns"]
    expected = sorted((row["arrival_ns"] - start_ns, row["total_cpu_ns"]) for row in completed)
    assert jobs[-20:] == expected
