"""The command `sim`: what it prints, what other commands make of its recordings, and what it refuses."""

import filecmp
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import schedtel
from schedtel.schedulers import attributes
from schedtel.simulator.machine import DESCRIPTIONS
from schedtel.simulator.machine_file import read_machine
from schedtel.workloads.presets import preset_names
from schedtel.workloads.spec import load_workload

SHORT = ("--duration", "500ms", "-q")
EXTERNAL = {name for name in preset_names() if load_workload(name).externals}


@pytest.mark.parametrize("name", sorted(set(preset_names()) - EXTERNAL))
def test_every_preset_of_our_own_can_be_simulated(run, name):
    status, out, err = run("sim", "run", name, *SHORT)
    assert (status, err) == (0, "")
    assert all(found.name in out for found in load_workload(name).classes)


def test_the_plan_is_that_of_the_workload(run):
    summary = json.loads(run("sim", "run", "web", "--format", "json", *SHORT)[1])
    planned = json.loads(run("workload", "plan", "web", "--format", "json", *SHORT[:2])[1])
    assert summary["sha256"] == planned["sha256"]
    assert summary["classes"]["request"]["planned"] == planned["classes"]["request"]["jobs"]
    jobs = [json.loads(line) for line in run("sim", "run", "web", "--format", "ndjson", *SHORT)[1].splitlines()]
    assert len([job for job in jobs if job["class"] == "request"]) == summary["classes"]["request"]["released"]
    assert all(job["due_ns"] <= job["started_ns"] for job in jobs if job["started_ns"] is not None)


@pytest.mark.parametrize("scheduler", DESCRIPTIONS)
def test_the_same_arguments_give_the_same_files(run, tmp_path, scheduler):
    for name in "ab":
        words = ("sim", "run", "hogs-jobs", "--scheduler", scheduler, "-w", "100ms", "-o", tmp_path / name, *SHORT)
        assert run(*words)[0] == 0
    files = [path.relative_to(tmp_path / "a") for path in sorted((tmp_path / "a").rglob("*.parquet"))]
    assert files
    match, mismatch, errors = filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", map(str, files), shallow=False)
    assert (len(match), mismatch, errors) == (len(files), [], [])


def test_every_command_reads_the_recording(run, tmp_path):
    for name in ("eevdf", "fifo"):
        words = ("--scheduler", name, "-w", "100ms", "-o", tmp_path / name, "-d", "2s", "-q")
        assert run("sim", "run", "hogs-jobs", *words)[0] == 0
    status, out, err = run("show", tmp_path / "eevdf")
    assert (status, err) == (0, "")
    assert "hog" in out
    assert run("show", tmp_path / "eevdf", "--lifetimes")[0] == 0
    assert run("report", tmp_path / "eevdf", "-o", tmp_path / "page.html")[0] == 0
    assert run("compare", tmp_path / "eevdf", tmp_path / "fifo")[0] in (0, 1)
    assert run("features", tmp_path / "fifo", "--format", "csv")[0] == 0
    recording = schedtel.read(tmp_path / "fifo")
    assert {window.summary["scheduler"][0].as_py() for window in recording} == {"fifo"}
    assert json.loads(recording.metadata["machine"])["cpus"] == 2


REFUSED = {
    ("stress",): "cannot simulate external.stress: only planned jobs can be",
    ("no-such",): "no preset has this name",
    ("web", "--cpus", "0"): "--cpus",
    ("web", "--scheduler", "eevdff"): "--scheduler",
    ("web", "--tick", "soon"): "cannot read duration",
    ("web", "--tick", "0"): "tick 0 ns: it must be from 1 ns",
    ("web", "--slice", "11s"): "slice 11.0 s: it must be from 0 ns to 10.0 s",
    ("web", "-w", "1ms"): "cannot use a window of 1ms",
    ("equal", "--cpus", "1"): "CPUs of work arrive, for 1 CPUs",
    ("FILE",): "cannot simulate classes.x: policy fifo (give other, batch or idle)",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_simulated_is_one_line_and_status_2(run, tmp_path, words):
    path = tmp_path / "x.toml"
    path.write_text('duration = "1s"\n[classes.x]\narrival = "closed"\nservice = "1ms"\npolicy = "fifo"\n')
    status, out, err = run("sim", "run", *(str(path) if word == "FILE" else word for word in words))
    assert (status, out) == (2, "")
    assert REFUSED[words] in err
    assert err.count("\n") == 1


def test_without_numba_it_says_what_to_install(tmp_path):
    program = "import sys; sys.modules['numba'] = None; from schedtel.cli import main; main()"
    for words in (("sim", "run", "web"), ("sim", "run", "web", "-o", str(tmp_path / "new"))):
        done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert "pip install 'schedtel[sim]'" in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()
    done = subprocess.run([sys.executable, "-c", program, "sim", "list"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_list_names_the_schedulers(run):
    status, out, err = run("sim", "list")
    assert (status, err) == (0, "")
    assert all(name in out for name in DESCRIPTIONS)
    assert json.loads(run("sim", "list", "--format", "json")[1]) == {"schedulers": DESCRIPTIONS}


def test_ctrl_c_ends_it_in_order(tmp_path):
    """A long run is ended once it has written its first window; what was done by then is printed and recorded."""
    words = ["sim", "run", "pipe", "-d", "24s", "-w", "10ms", "-o", str(tmp_path / "rec"), "-q"]
    program = "from schedtel.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", program, *words], stdout=-1, stderr=-1, text=True) as process:
        while process.poll() is None and not list((tmp_path / "rec").glob("summary/*.parquet")):
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "interrupted before the end of the plan" in err
    assert "pair" in out
    assert len(list(schedtel.read(tmp_path / "rec"))) >= 1


def test_calibrate_writes_a_machine_and_changes_nothing(run, tmp_path):
    """The tick is the step of the coarse clock, which goes on at each tick; the slice is what the kernel tells."""
    before, path = os.sched_getaffinity(0), tmp_path / "machine.toml"
    assert run("sim", "calibrate", "-o", path) == (0, "", "")
    assert os.sched_getaffinity(0) == before
    given = read_machine(path)
    assert given["tick_ns"] == round(time.clock_getres(6) * 1e9)
    assert given.get("slice_ns", 0) == attributes.get(0).slice_ns
    assert given["dispatch_ns"] > 0
    assert given["fork_ns"] > 0
    sizes = [size for size, _ in given.get("cold", ())]
    assert sizes == sorted(sizes)
    status, out, _ = run("sim", "run", "web", "--machine", path, "--tick", "1ms", *SHORT)
    assert (status, "tick 1.00 ms" in out) == (0, True)
    assert run("sim", "calibrate", "--runs", tmp_path)[0] == 2


def test_compare_says_of_a_directory_without_runs_that_there_are_none(run, tmp_path):
    status, out, err = run("sim", "compare", tmp_path)
    assert (status, out) == (2, "")
    assert "no experiment in it" in err
