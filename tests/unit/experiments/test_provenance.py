"""What is told of a run beside its figures: by hand-made windows, files of the kernel, and work trees of git."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from samples import HOST, LENGTH, changed

from schedtel.experiments import provenance
from schedtel.experiments.provenance import conditions, machine
from schedtel.experiments.revision import revision_of


def test_the_machine_is_what_the_kernel_says_it_is(tmp_path, monkeypatch):
    facts = machine()
    assert facts["kernel"] == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert facts["host"] == Path("/proc/sys/kernel/hostname").read_text().strip()
    assert facts["cpus"] == int(subprocess.run(["nproc"], capture_output=True, check=True).stdout)
    governor = tmp_path / "scaling_governor"
    monkeypatch.setattr(provenance, "_GOVERNOR", governor)
    assert machine()["governor"] is None
    governor.write_text("powersave\n")
    assert machine()["governor"] == "powersave"


def test_steal_the_load_of_others_losses_and_the_scheduler_are_those_of_the_windows(windows, monkeypatch):
    """Two CPUs for 300 ms are busy for 249 and 298 ms (samples.py). The workload had 200 of it."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    other = changed(windows[2], scheduler="fifo_1.0", state_failed=2, steal_ns=40_000_000)
    facts = conditions([*windows[:2], other], 200e6)
    capacity = 3 * LENGTH * 2
    collector = 3 * HOST["collector_cpu_ns"]
    assert facts["foreign_cpu_share"] == pytest.approx(((249 + 298 - 200) * 1e6 - collector) / capacity)
    assert facts["steal_share"] == pytest.approx((10 + 10 + 40) * 1e6 / capacity)
    assert facts["scheduler_seen"] == "eevdf+fifo_1.0"
    assert (facts["windows"], facts["losses"]) == (3, 2)
    assert np.isfinite([value for value in facts.values() if isinstance(value, float)]).all()


# ---- git ----


def git(folder, *words):
    settings = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *settings, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def tree(tmp_path):
    """A work tree with two committed files."""
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "spec.toml").write_text("title = 'x'\n")
    (folder / "other").write_text("other\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_the_commit_and_what_differs_from_it(tree):
    spec = tree / "spec.toml"
    commit = git(tree, "rev-parse", "HEAD")
    assert revision_of(spec) == {"git_commit": commit, "git_dirty": False}
    (tree / "untracked").write_text("x")
    assert revision_of(spec)["git_dirty"] is False
    assert revision_of(tree / "untracked")["git_dirty"] is True, "the commit does not have this file"
    (tree / "other").write_text("changed\n")
    assert revision_of(spec) == {"git_commit": commit, "git_dirty": True}


def test_a_file_in_no_work_tree_has_no_commit(tmp_path, monkeypatch):
    assert revision_of(tmp_path / "spec.toml") == {}
    git(tmp_path, "init", "-q")
    assert revision_of(tmp_path / "spec.toml") == {}, "a work tree without a commit"
    monkeypatch.setenv("PATH", "")
    assert revision_of(tmp_path / "spec.toml") == {}, "no git"


@pytest.fixture
def evil(tree):
    """A work tree whose settings name commands for all that git starts. They leave a file each in this folder."""
    commands, traces = tree.parent / "commands", tree.parent / "traces"
    commands.mkdir()
    traces.mkdir()
    for name in ("monitor", "clean", "process", "post-index-change", "reference-transaction"):
        (commands / name).write_text(f"#!/bin/sh\ntouch {traces}/{name}\ncat\n")
        (commands / name).chmod(0o755)
    (tree / ".git" / "info").mkdir(exist_ok=True)
    (tree / ".git" / "info" / "attributes").write_text("* filter=evil.x\n")
    os.utime(tree / "other", ns=(1, 1))  # its content has to be compared
    git(tree, "config", "core.hooksPath", str(commands))
    for name in ("clean", "process"):
        git(tree, "config", f"filter.evil.x.{name}", str(commands / name))
    git(tree, "config", "filter.evil.x.required", "true")
    git(tree, "config", "core.fsmonitor", str(commands / "monitor"))
    for trace in traces.iterdir():
        trace.unlink()
    return traces


def test_nothing_that_a_work_tree_names_is_run(tree, evil):
    assert revision_of(tree / "spec.toml")["git_dirty"] is False
    assert list(evil.iterdir()) == []


def test_git_would_have_run_it(tree, evil):
    """Else the test above says nothing."""
    subprocess.run(["git", "-C", str(tree), "status"], capture_output=True, check=False)
    assert {path.name for path in evil.iterdir()} >= {"monitor", "process"}


def test_another_users_work_tree_is_read_as_that_user(tree, monkeypatch):
    if os.geteuid():
        pytest.skip("needs root, to give files away")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        theirs = Path(folder) / "tree"
        shutil.copytree(tree, theirs)
        for path in (theirs, *theirs.rglob("*")):
            os.chown(path, 65534, 65534)
        program = Path(folder) / "git"
        program.write_text(f'#!/bin/sh\nid -u >> {theirs}/ids\nid -G >> {theirs}/ids\n/usr/bin/env git "$@"\n')
        program.chmod(0o755)
        seen = revision_of(theirs / "spec.toml")
        assert seen == {"git_commit": git(tree, "rev-parse", "HEAD"), "git_dirty": False}
        monkeypatch.setenv("PATH", folder)
        revision_of(theirs / "spec.toml")
        assert set((theirs / "ids").read_text().split()) == {"65534"}
