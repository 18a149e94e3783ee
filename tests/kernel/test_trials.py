"""A small trial on the running kernel: a method is in effect from phase to phase, and nothing is left of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import PATIENCE_S, eventually

from schedtel.agent.log import read_log
from schedtel.experiments.store import read_store
from schedtel.schedulers.journal import default_directory
from schedtel.trials.running import Trial
from schedtel.trials.spec import read_spec

COMMAND = [sys.executable, "-m", "schedtel.cli", "trial"]
LOAD = """
duration = "700ms"
drain = "100ms"
[classes.tr-{name}-hog]
arrival = "closed"
service = "2ms"
[classes.tr-{name}-job]
arrival = {{ kind = "poisson", rate = 50 }}
service = "1ms"
"""
SPEC = """
title = "small"
workloads = ["{one}", "{other}"]
schedulers = ["eevdf", "policy:all:nice=7", "placebo", "agent:turns"]
rounds = 2
repeats = {repeats}
duration = "700ms"
settle = "100ms"
[classes]
all = ["tr-a-hog", "tr-a-job", "tr-b-hog", "tr-b-job"]
[agents.turns]
policy = "round-robin"
arms = ["policy:batch", "policy:nice=5"]
window = "100ms"
dwell = 2
settle = 1
no-trial = true
"""


@pytest.fixture
def spec(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.toml").write_text(LOAD.format(name=name))

    def write(repeats):
        path = tmp_path / "spec.toml"
        path.write_text(SPEC.format(one=tmp_path / "a.toml", other=tmp_path / "b.toml", repeats=repeats))
        return path

    return write


def left():
    """Command names of the workloads' tasks that are still there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/task/*/comm"):
        try:
            found.append(path.read_text().strip())
        except OSError:  # it has ended
            continue
    return [name for name in found if name.startswith("tr-")]


def test_methods_run_through_all_phases_and_an_agent_decides_in_each_of_them(spec, tmp_path):
    trial = Trial(read_spec(spec(1)), tmp_path / "runs")
    policies = {tid: os.sched_getscheduler(int(tid)) for tid in os.listdir("/proc/self/task")}
    assert trial.run() == 4
    assert trial.remaining() == []
    runs = read_store(tmp_path / "runs")[1]
    assert len(runs) == 4 * 2 * 2
    assert len({run.provenance["plan_sha256"] for run in runs}) == 4  # one for each phase, under all methods
    for run in runs:
        assert run.figures["jobs_counted"] > 10
        assert run.figures["share_cv"] >= 0
        assert run.provenance["windows"] >= 1
    agents = [run for run in runs if run.cell.scheduler == "agent:turns"]
    assert min(run.provenance["decisions"] for run in agents) >= 8  # 2.8 s of turns of 2 windows or 1
    assert min(run.provenance["swaps"] for run in agents) >= 4
    entries = list(read_log(tmp_path / "runs" / "decisions" / "turns-1"))
    assert {entry.arm for entry in entries} == {"eevdf", "policy:batch", "policy:nice=5"}
    assert left() == []
    assert not list(default_directory().glob("*"))
    now = {tid: os.sched_getscheduler(int(tid)) for tid in os.listdir("/proc/self/task") if tid in policies}
    assert now.items() <= policies.items()  # threads of libraries may have ended


def test_a_trial_that_was_killed_leaves_nothing_and_goes_on(spec, tmp_path):
    command = [*COMMAND, "run", str(spec(1)), "-o", str(tmp_path / "runs")]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in first.stderr:
        if line.startswith("2 of 4"):
            break
    eventually(left)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=PATIENCE_S)
    eventually(lambda: not left())
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 of 4" in done.stderr
    assert "1 of 4" not in done.stderr
    assert "1 repeats of 2 rounds of 2 workloads under 4 methods" in done.stdout
    assert not list(default_directory().glob("*"))


def test_an_agent_that_cannot_begin_is_an_error_before_anything_has_run(spec, tmp_path):
    path = spec(1)
    path.write_text(path.read_text().replace('policy = "round-robin"', 'policy = "no-such"'))
    command = [*COMMAND, "run", str(path), "-o", str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert "no-such" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()
