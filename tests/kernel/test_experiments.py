"""A small experiment on the running kernel: what the arms did is seen in the recordings, and a killed one goes on."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.doctor.verify import KernelAccounting
from schedtel.errors import UsageError
from schedtel.experiments.design import cells
from schedtel.experiments.running import Experiment
from schedtel.experiments.spec import read_spec, spec_of
from schedtel.experiments.store import read_store
from schedtel.workloads.plan import make_plan
from schedtel.workloads.spec import load_workload

COMMAND = [sys.executable, "-m", "schedtel.cli", "experiment"]
#: Jobs that are lives of a millisecond: over before any look at the process table could change them.
WORKLOAD = """
duration = "400ms"
drain = "100ms"
[classes.xp-hog]
arrival = "closed"
service = "2ms"
[classes.xp-life]
arrival = { kind = "poisson", rate = 50 }
service = "1ms"
life = true
"""
SPEC = """
title = "small"
workloads = ["{workload}"]
schedulers = ["eevdf", "policy:xp-life:rr=5", "policy:all:nice=7", "placebo"]
repeats = {repeats}
settle = "100ms"
[classes]
all = ["xp-hog", "xp-life"]
"""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "load.toml").write_text(WORKLOAD)

    def write(repeats):
        path = tmp_path / "spec.toml"
        path.write_text(SPEC.format(workload=tmp_path / "load.toml", repeats=repeats))
        return path

    return write


def left():
    """Command names of the workload's tasks that are still there."""
    names = [path.read_text().strip() for path in _comms()]
    return [name for name in names if name.startswith("xp-")]


def _comms():
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            path.read_text()
        except OSError:  # it has ended
            continue
        yield path


def test_each_arm_is_in_effect_from_the_first_instruction_of_a_task(spec, tmp_path):
    experiment = Experiment(read_spec(spec(2)), tmp_path / "runs")
    assert experiment.run() == 8
    assert experiment.remaining() == []
    assert left() == []
    _, runs = read_store(tmp_path / "runs")
    ways = {"eevdf": {(0, 0)}, "placebo": {(0, 0)}, "policy:all:nice=7": {(0, 7)}, "policy:xp-life:rr=5": {(2, 0)}}
    for run in runs:
        windows = list(schedtel.read(tmp_path / "runs" / "runs" / run.cell.key / "windows"))
        rows = [row for window in windows for row in window.tasks.to_pylist() if row["comm"] == "xp-life"]
        lives = [row for row in rows if row["completion_ns"] and row["tat_ns"] < 10**8]
        assert {(row["policy"], row["nice"]) for row in lives} == ways[run.cell.scheduler]
        assert run.figures["jobs_counted"] > 0
        assert run.figures["tat_mean_ns"] >= run.figures["rt_mean_ns"] > 0
        assert 0 < run.figures["share_jain"] <= 1
    plans = {(run.cell.repeat, run.provenance["plan_sha256"]) for run in runs}
    assert len(plans) == 2, "a repeat has one plan under all arms"


def test_a_plan_that_is_not_to_run_may_be_an_overload(tmp_path, monkeypatch):
    """By chance, jobs of 0.2 s are more than the CPUs can do with seed 1, and not with that of the run."""
    monkeypatch.chdir(tmp_path)  # a seed is drawn from the workload's name as well
    path, cpus = Path("rare.toml"), len(os.sched_getaffinity(0))

    def jobs(seed):
        return len(make_plan(load_workload(str(path)).with_options(seed=seed)).jobs)

    def fits(made):
        return 0.2 * jobs(cells(made)[0].seed) <= cpus

    for rate in itertools.count(4 * cpus):
        arrival = f'arrival = {{ kind = "poisson", rate = {rate} }}'
        path.write_text(f'duration = "1s"\n[classes.xp]\nworkers = 9\n{arrival}\nservice = "200ms"\n')
        if 0.2 * jobs(1) > cpus:
            break
    table = {"workloads": [str(path)], "schedulers": ["eevdf"], "repeats": 1}
    specs = [spec_of(table | {"seed": seed}, "the experiment") for seed in range(2, 200)]
    assert Experiment(next(filter(fits, specs)), tmp_path / "fits").remaining()
    too_much = Experiment(next(made for made in specs if not fits(made)), tmp_path / "too much")
    with pytest.raises(UsageError, match=r"^cannot keep the plan of rare\.toml, repeat 1: "):
        too_much.run()


def test_a_killed_experiment_goes_on_where_it_was_and_leaves_no_task_behind(spec, tmp_path):
    path, runs = spec(1), tmp_path / "runs"
    begin = [*COMMAND, "run", str(path), "-o", str(runs)]
    with subprocess.Popen(begin, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: len(list(runs.glob("runs/*/run.json"))) >= 2)
        process.kill()
    eventually(lambda: left() == [])
    done = {file: file.stat().st_mtime_ns for file in runs.glob("runs/*/run.json")}
    result = subprocess.run(begin, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("\n") == 4 - len(done)
    assert {file: file.stat().st_mtime_ns for file in done} == done
    assert result.stdout.startswith("small: 4 runs of 1 workloads under 4 schedulers; baseline eevdf\n")
    again = subprocess.run([*COMMAND, "report", str(runs)], capture_output=True, text=True, check=True)
    assert again.stdout == result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_the_run_in_progress_up_and_says_how_to_go_on(spec, tmp_path, number):
    runs = tmp_path / "runs"
    begin = [*COMMAND, "run", str(spec(50)), "-o", str(runs)]
    with subprocess.Popen(begin, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: len(list(runs.glob("runs/*/run.json"))) >= 1)
        process.send_signal(number)
        said = process.communicate(timeout=PATIENCE_S)[1].splitlines()
    assert process.returncode == 1
    missing = 200 - len(list(runs.glob("runs/*/run.json")))
    assert said[-1] == f"stopped: {missing} runs are missing (run it again to go on)"
    assert left() == []


def test_what_cannot_be_run_is_refused_before_anything_runs(spec, tmp_path):
    path = spec(1)
    for old, new, said in (
        ("rr=5", "rr=500", "from 1 to 90"),
        ("policy:all:nice=7", "policy:others:nice=7", "others"),
        ("policy:all:nice=7", "scx:simple", "sched_ext"),
        ("load.toml", "lode.toml", "lode.toml"),
        ('"xp-hog", ', '"xp-hogs", ', "xp-hogs"),
    ):
        path.write_text(SPEC.format(workload=tmp_path / "load.toml", repeats=1).replace(old, new))
        command = [*COMMAND, "run", str(path), "-o", str(tmp_path / "runs")]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 2, result.stderr
        assert result.stderr.count("\n") == 1
        assert said in result.stderr
        assert not (tmp_path / "runs").exists()


def test_the_provenance_of_a_run_tells_what_was_and_what_others_did(spec, tmp_path):
    """Beside the run, a task of another burns a CPU, and the kernel's own accounting of it is the witness."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as hog:
        try:
            before = KernelAccounting.of(hog.pid)
            Experiment(replace(read_spec(spec(1)), schedulers=("eevdf",)), tmp_path / "runs").run()
            used_ns = KernelAccounting.of(hog.pid).cpu_ns - before.cpu_ns
        finally:
            hog.kill()
    [run] = read_store(tmp_path / "runs")[1]
    facts, cpus = run.provenance, len(os.sched_getaffinity(0))
    sched_ext = Path("/sys/kernel/sched_ext/root/ops")
    assert facts["scheduler_seen"] == (sched_ext.read_text().strip() if sched_ext.exists() else "eevdf")
    assert (facts["kernel"], facts["cpus"]) == (os.uname().release, cpus)
    windows = list(schedtel.read(tmp_path / "runs" / "runs" / run.cell.key / "windows"))
    length_ns = windows[-1].end_ns - windows[0].start_ns
    hogs_ns = sum(row["cpu_ns"] for window in windows for row in window.tasks.to_pylist() if row["tid"] == hog.pid)
    assert 0 < hogs_ns <= used_ns
    assert hogs_ns / (length_ns * cpus) * 0.99 <= facts["foreign_cpu_share"] <= 1
    assert 0 <= facts["steal_share"] <= 1


def test_the_lives_of_a_program_of_others_are_its_jobs(tmp_path):
    """stress-ng forks four workers, and says itself how many there were."""
    if shutil.which("stress-ng") is None:
        pytest.skip("needs stress-ng (apt install stress-ng)")
    load = tmp_path / "load.toml"
    arguments = "--cpu 4 --cpu-ops 40 --cpu-method loop"
    load.write_text(f'duration = "20s"\n[external.stress]\ntool = "stress-ng"\narguments = "{arguments}"\n')
    spec = tmp_path / "spec.toml"
    spec.write_text(f'workloads = ["{load}"]\nschedulers = ["eevdf"]\nrepeats = 1\n')
    Experiment(read_spec(spec), tmp_path / "runs").run()
    [run] = read_store(tmp_path / "runs")[1]
    assert (run.figures["jobs_counted"], run.figures["jobs_completed"]) == (4, 4)
    assert 0 < run.figures["rt_mean_ns"] < run.figures["tat_mean_ns"] < 20e9
    assert 0 < run.figures["cpu_ns"] <= 4 * run.figures["tat_p99_ns"]
