"""Runs by several processes of Ray: each of them killed at any moment, and what is counted. Skipped where Ray is not
installed; the last ones need no Ray.
"""

import contextlib
import importlib.util
import itertools
import os
import signal
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from refusals import refused
from waiting import eventually

pytest.importorskip("torch", reason="torch is not installed (pip install 'schedtel[learn]')")

from schedtel.errors import SchedtelError
from schedtel.training.learner import checkpoint
from schedtel.training.learner.dqn import BATCH, LEAST, REPLAYED
from schedtel.training.learner.settings import Settings
from schedtel.training.learner.spread import Spread

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (pip install 'schedtel[ray]')"
)
COUNT, CHUNK = 256, 16 * 256
SETTINGS = Settings("MigrateSim", steps=LEAST + 6 * CHUNK, count=COUNT, hidden=8)
WORKERS = 2
SERVED = {"learners": 2, "servers": 2, "replay": "worker"}


def run_of(directory, settings=SETTINGS, **spread):
    from schedtel.training.learner.spread_run import SpreadRun  # noqa: PLC0415

    return SpreadRun(settings, directory, Spread(WORKERS, **spread))


def processes(kind=""):
    """Those of Ray that this process has begun; Ray names them by what they are."""
    return [each for each in psutil.Process().children(recursive=True) if f"ray::{kind}" in "".join(each.cmdline())]


@needs_ray
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "spread"),
    [
        *((kind, {}) for kind in ("Rollouts", "Memory", "Learner")),
        *((kind, SERVED) for kind in ("Memory", "Learner", "Server")),
    ],
)
def test_a_process_that_is_killed_is_replaced_and_each_step_is_counted_once(tmp_path, kind, spread):
    run, killed, seen = run_of(tmp_path, most_age=1 << 40, **spread), False, []
    for counters in run:
        seen.append(counters.steps)
        if counters.updates and not killed:
            os.kill(processes(kind)[0].pid, signal.SIGKILL)
            killed = True
    assert run.counters.replaced == 1
    assert run.counters.steps >= SETTINGS.steps
    assert all((after - before) % CHUNK == 0 for before, after in itertools.pairwise(seen))
    # Once there was enough to learn from, there are as many updates as each step is owed; none for what was lost.
    owed = (run.counters.steps - LEAST) * REPLAYED / BATCH
    lost = LEAST * REPLAYED / BATCH if kind == "Memory" else 0
    assert owed - lost - 4 * CHUNK * REPLAYED / BATCH <= run.counters.updates <= owed + 2 * CHUNK * REPLAYED / BATCH
    found = checkpoint.load(tmp_path)
    assert vars(found.counters) == vars(run.counters)
    assert pq.read_table(tmp_path / "metrics.parquet")["steps"].to_pylist()[-1] == run.counters.steps
    eventually(lambda: not processes(), 60)


def command(directory, steps, *more):
    words = (
        "-m",
        "schedtel.cli",
        "train",
        "MigrateSim",
        "-o",
        directory,
        "--steps",
        steps,
        *more,
        "--workers",
        WORKERS,
    )
    return subprocess.Popen(
        [sys.executable, *map(str, words), "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@needs_ray
@pytest.mark.timeout(600)
def test_a_run_whose_own_process_is_killed_leaves_nothing_and_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    temporary = tempfile.TemporaryDirectory(prefix="t", dir="/tmp")  # paths of sockets are short
    folder = Path(temporary.name)
    monkeypatch.setenv("TMPDIR", temporary.name)
    process = command(tmp_path / "run", 10**9, "--checkpoint", "100ms")
    try:
        eventually(lambda: (tmp_path / "run" / checkpoint.NAME).exists() or process.poll() is not None, 300)
        assert process.poll() is None, process.communicate()
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("raylet" in each.name() for each in family)
        assert [stat.S_IMODE(each.stat().st_mode) for each in folder.glob("schedtel-*")] == [0o700]
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    eventually(lambda: not any(each.is_running() for each in family), 120)
    eventually(lambda: not list(folder.glob("schedtel-*")), 60)
    counted = checkpoint.load(tmp_path / "run").counters.steps
    again = command(tmp_path / "run", counted + CHUNK)
    assert again.wait(300) == 0, again.communicate()
    found = checkpoint.load(tmp_path / "run").counters
    assert counted + CHUNK <= found.steps <= counted + (1 + WORKERS) * CHUNK
    assert found.begun == 2
    steps = pq.read_table(tmp_path / "run" / "metrics.parquet")["steps"].to_pylist()
    assert steps == sorted(set(steps))
    assert steps[-1] == found.steps
    assert not Path("~/.ray").expanduser().exists()
    temporary.cleanup()


@needs_ray
@pytest.mark.timeout(600)
def test_workers_that_wait_never_act_by_an_older_network_and_what_is_too_old_is_not_counted(tmp_path):
    waiting = run_of(tmp_path / "a", waits=True)
    for _ in waiting:
        pass
    assert {row["age"] for row in waiting.rows} == {0.0}
    assert waiting.counters.discarded == 0
    hasty = run_of(tmp_path / "b", most_age=0)
    for _ in hasty:
        pass
    assert {row["age"] for row in hasty.rows} == {0.0}
    assert hasty.counters.discarded > 0
    assert hasty.counters.discarded % CHUNK == 0


@needs_ray
@pytest.mark.timeout(600)
def test_with_a_backup_worker_one_that_is_stopped_stops_nobody(tmp_path):
    run, stopped = run_of(tmp_path, waits=True, backup=1), None
    try:
        for counters in run:
            if counters.updates and not stopped:
                stopped = processes("Rollouts")[0]
                stopped.suspend()
    finally:
        assert stopped
        with contextlib.suppress(psutil.NoSuchProcess):
            stopped.resume()
    assert run.counters.steps >= SETTINGS.steps
    assert {row["age"] for row in run.rows} == {0.0}
    assert run.counters.discarded % CHUNK == 0


@needs_ray
def test_a_cluster_out_of_reach_is_one_line(run, tmp_path):
    words = ("train", "MigrateSim", "-o", tmp_path / "x", "--workers", "1", "--ray-address", "127.0.0.1:1", "-q")
    status, out, err = run(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "cannot reach a cluster at 127.0.0.1:1" in err


@pytest.mark.parametrize("words", [("--ray-address", "auto"), ("--synchronous",), ("--stale", "3"), ("--backup", "1")])
def test_what_is_for_workers_needs_them(run, tmp_path, words):
    status, out, err = run("train", "MigrateSim", "-o", tmp_path / "x", *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"cannot use {words[0]} in one process (add --workers)" in err


def test_without_ray_a_run_with_workers_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SchedtelError, match=r"cannot use --workers: Ray is not installed"):
        run_of(tmp_path, replace(SETTINGS, count=1))


@pytest.mark.parametrize("workers", [0, 1025])
def test_workers_are_bounded(workers):
    with pytest.raises(SchedtelError, match="cannot train with"):
        Spread(workers)


def test_backup_workers_are_some_of_those_that_wait():
    assert Spread(5, waits=True, backup=2).awaited == 3
    refused(SchedtelError, Spread, 2, backup=1)
    refused(SchedtelError, Spread, 2, waits=True, backup=2)
