"""Experiments of a controller on a target: another process, across two networks, and the death of each part."""

import contextlib
import os
import signal
from pathlib import Path

import pytest
from runs_of_workloads import tasks_named
from scheduled import children_of
from scheduled import is_running as is_there
from serving import certificate
from surroundings import made_cgroup
from targets import TARGET, controller, files_below, network, outcome, target
from waiting import eventually

import schedtel
from schedtel.experiments.running import Experiment
from schedtel.experiments.spec import read_spec
from schedtel.experiments.store import read_store
from schedtel.host.cgroups import cpu_hierarchy

__all__ = ["network"]
#: When all must be as it was after a controller has gone.
UNDONE_S = 5.0
WORKLOAD = """
duration = "{length}"
drain = "100ms"
[classes.tgt-hog]
arrival = {{ kind = "closed", think = "1ms" }}
service = "2ms"
workers = 2
[classes.tgt-job]
arrival = {{ kind = "poisson", rate = 50 }}
service = "1ms"
"""
SPEC = """
title = "two"
workloads = ["{workload}"]
schedulers = {arms}
repeats = {repeats}
settle = "100ms"
"""


@pytest.fixture
def spec(tmp_path):
    """Writes an experiment on a workload of so many seconds; returns its path."""

    def write(length="400ms", repeats=1, arms=("eevdf", "policy:tgt-job:nice=-5")):
        load, path = tmp_path / f"load-{length}.toml", tmp_path / f"spec-{length}-{repeats}.toml"
        load.write_text(WORKLOAD.format(length=length))
        path.write_text(SPEC.format(workload=load, arms=list(arms), repeats=repeats))
        return path

    return write


def runs_in(folder):
    return len(list(folder.glob("runs/*/run.json")))


def is_running():
    return bool(tasks_named("tgt-hog"))


def below(pid):
    """The processes that descend from one: a target's worker, its generator with its tasks, and its guard."""
    found = [int(child) for child in children_of(pid)]
    return [*found, *(one for child in found for one in below(child))]


@contextlib.contextmanager
def undone_in_time(served):
    """What the target has started is gone within five seconds after the end of the context."""
    eventually(is_running)
    started = below(served.pid)
    assert len(started) >= 4, "a worker, a generator, and its tasks"
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    # Whoever else uses this machine must not keep the test from seeing the end in time.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
        eventually(lambda: not any(map(is_there, started)) and not is_running(), UNDONE_S, every_s=0.1)
    finally:
        os.sched_setscheduler(0, *before)


def test_a_run_on_a_target_has_the_form_of_a_local_one(spec, tmp_path):
    path, there, here = spec(), tmp_path / "there", tmp_path / "here"
    with target("--uploads") as served:
        status, out, said = outcome(controller(path, there, served.uri))
        assert (status, len(said)) == (0, 2), said
        assert out.startswith("two: 2 runs of 1 workloads under 2 schedulers; baseline eevdf\n")
        again = outcome(controller(path, there, served.uri))
        assert again == (0, out, []), "all is there"
        assert Experiment(read_spec(path), here).run() == 2
        status, _, said = outcome(controller(path, here, served.uri))
        assert status == 2
        assert "another machine's runs" in said[0], "they do not mix"
    assert files_below(there) == files_below(here)
    for far, near in zip(*(read_store(folder)[1] for folder in (there, here)), strict=True):
        assert far.cell == near.cell
        assert far.figures.keys() == near.figures.keys()
        assert {cpu: figures.keys() for cpu, figures in far.cpus.items()} == {
            cpu: figures.keys() for cpu, figures in near.cpus.items()
        }
        assert far.classes.keys() == near.classes.keys()
        assert set(far.provenance) == {*near.provenance, "target"}
        assert far.provenance["plan_sha256"] == near.provenance["plan_sha256"]
        windows = list(schedtel.read(there / "runs" / far.cell.key / "windows"))
        assert len(windows) == far.provenance["windows"]
        rows = [row for window in windows for row in window.tasks.to_pylist() if row["comm"] == "tgt-job"]
        assert {row["nice"] for row in rows} == ({-5} if "nice" in far.cell.scheduler else {0})


def test_a_network_cut_in_mid_run_ends_the_workload_and_the_experiment_goes_on_later(spec, tmp_path, network):
    pytest.importorskip("cryptography")
    certificate(tmp_path, "target", host=TARGET)
    pem, key, runs = tmp_path / "target.pem", tmp_path / "target.key", tmp_path / "runs"
    listen = ["--tls-cert", str(pem), "--tls-key", str(key), "--uploads"]
    with target(*listen, within=network.target, listen=f"grpc+tls://{TARGET}:0") as served:

        def go():
            return controller(spec(length="2s"), runs, served.uri, "--ca", str(pem), within=network.controller)

        process = go()
        eventually(lambda: runs_in(runs) == 1)
        with undone_in_time(served):
            network.cut()
        status, _, said = outcome(process)
        assert status == 2
        assert said[-1].startswith(f"schedtel: lost target {served.uri}: "), said
        assert "run it again to go on" in said[-1]
        done = {file: file.stat().st_mtime_ns for file in runs.glob("runs/*/run.json")}
        network.mend()
        status, out, said = outcome(go())
        assert (status, len(said)) == (0, 1), said
        assert out.startswith("two: 2 runs")
        assert {file: file.stat().st_mtime_ns for file in done} == done


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGINT])
def test_a_controller_that_is_gone_leaves_nothing_and_another_one_may_come(spec, tmp_path, number):
    runs = tmp_path / "runs"
    with target("--uploads") as served:
        process = controller(spec(length="30s"), runs, served.uri)
        with undone_in_time(served):
            process.send_signal(number)
        if number == signal.SIGKILL:
            status, _, said = outcome(controller(spec(), tmp_path / "others", served.uri))
            assert status == 0, said
        process.send_signal(signal.SIGCONT)
        status, _, said = outcome(process)
    assert runs_in(runs) == 0
    if number == signal.SIGSTOP:
        assert status == 2
        assert "this session is over" in said[-1]
    if number == signal.SIGINT:
        assert status == 1
        assert said[-1] == "stopped: 2 runs are missing (run it again to go on)"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_target_that_ends_leaves_nothing_that_runs_or_is_changed(spec, tmp_path, number):
    runs = tmp_path / "runs"
    with target("--uploads") as served:
        process = controller(spec(length="20s"), runs, served.uri)
        with undone_in_time(served):
            served.process.send_signal(number)
        status, _, said = outcome(process)
        assert status == 2
        assert "run it again to go on" in said[-1]
        assert served.process.wait() == (0 if number == signal.SIGTERM else -number)
        assert os.listdir(served.scratch.name) == [] or number == signal.SIGKILL
    assert runs_in(runs) == 0


def test_a_cgroup_that_an_arm_changed_is_as_before_after_each_death(spec, tmp_path):
    with made_cgroup(Path(cpu_hierarchy()) / f"schedtel-target-{os.getpid()}.service") as cgroup:
        knob = next((cgroup / name for name in ("cpu.weight", "cpu.shares") if (cgroup / name).exists()), None)
        if knob is None:
            pytest.skip("needs a cgroup with the cpu controller enabled")
        before = knob.read_text()
        arm = f"policy:cgroup=/{cgroup.name}:weight=10"
        for victim in ("controller", "target"):
            with target("--uploads", "--scheduler", "*") as served:
                process = controller(spec(length="20s", arms=[arm]), tmp_path / victim, served.uri)
                eventually(lambda: knob.read_text() != before)
                with undone_in_time(served):
                    (process if victim == "controller" else served.process).kill()
                assert knob.read_text() == before
                process.kill()
                process.communicate()


def test_a_second_controller_is_told_that_the_target_is_busy_and_no_run_sees_the_token(spec, tmp_path):
    with target("--uploads") as served:
        first = controller(spec(length="30s"), tmp_path / "first", served.uri)
        eventually(is_running)
        environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in below(served.pid)]
        assert len(environments) >= 3
        assert not any(b"SCHEDTEL_TOKEN" in environment for environment in environments)
        status, _, said = outcome(controller(spec(), tmp_path / "second", served.uri))
        assert status == 2
        assert len(said) == 1
        assert "busy: another controller uses it (try again later)" in said[0]
        assert is_running()
        first.send_signal(signal.SIGINT)
        assert outcome(first)[0] == 1


def test_a_run_that_fails_on_the_target_says_why(spec, tmp_path):
    path = spec(arms=["policy:no-such:idle"])
    with target("--uploads") as served:
        status, _, said = outcome(controller(path, tmp_path / "runs", served.uri))
    assert status == 2
    assert said[-1].startswith("schedtel: on the target: cannot select class 'no-such'"), said
