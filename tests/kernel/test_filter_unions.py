"""Filters of several values on the running kernel, with both backends: any of them selects a task."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from observe import collecting
from surroundings import made_cgroup
from waiting import PATIENCE_S

from schedtel.errors import CapabilityError
from schedtel.host.cgroups import cgroup_root

#: A user that no other task of the machine has.
OWN_USER = 61_235


@contextlib.contextmanager
def shell():
    """A shell with a child that is older than tracing; at a line of input it forks more, and says that it has."""
    script = "sleep 600 & echo $!; read go; for i in 1 2 3; do sh -c 'sleep 0.02; true'; done; kill $!; wait; echo done"
    process = subprocess.Popen(
        ["sh", "-c", f"{script}; read stop"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    early = int(process.stdout.readline())
    try:
        yield process, early
    finally:
        process.communicate("stop\n")


def let_fork(process):
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def rows_of(collected):
    return [row for window in collected.windows for row in window.tasks.to_pylist() if row["tid"]]


def test_two_processes_with_their_descendants_and_no_third(backend):
    with shell() as one, shell() as other, shell() as third:
        pids = [process.pid for process, _ in (one, other)]
        with collecting("100ms", pid=pids, backend=backend) as filtered:
            filtered.await_windows(1)
            for process, _ in (one, other, third):
                let_fork(process)
            filtered.await_windows(1)
    tids = {row["tid"] for row in rows_of(filtered)}
    assert {*pids, one[1], other[1]} <= tids, "both shells, and the children that they had at attach"
    assert len(tids) >= 2 * (2 + 3 + 3), "and those forked since, two levels deep"
    assert not tids & {third[0].pid, third[1], os.getpid()}


@pytest.fixture
def names(workload):
    """Paths of a program under three names, which any user can run: pytest's own directories are its owner's."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        paths = [Path(directory) / f"union-{number}" for number in ("one", "two", "three")]
        for path in paths:
            shutil.copy(workload, path)
        yield paths


def test_any_name_and_any_user_and_both_must_hold(backend, names):
    with collecting("100ms", comm=["union-one", "union-tw"], uid=[OWN_USER, OWN_USER + 1], backend=backend) as filtered:
        filtered.await_windows(1)
        for user in (OWN_USER, OWN_USER + 1, OWN_USER + 2):
            naps = "; ".join(f"{path} sleep 0.25" for path in names)
            subprocess.run(["sh", "-c", f"{naps}; true"], user=user, extra_groups=[], check=True, timeout=PATIENCE_S)
        filtered.await_windows(1)
    found = {(row["comm"], row["uid"]) for row in rows_of(filtered)}
    assert found == {(name, user) for name in ("union-one", "union-two") for user in (OWN_USER, OWN_USER + 1)}


def test_two_cgroups_of_different_levels(backend):
    try:
        root = cgroup_root()
    except CapabilityError as error:
        pytest.skip(str(error))
    name = f"schedtel-union-{os.getpid()}"
    with contextlib.ExitStack() as made:
        one, other = (made.enter_context(made_cgroup(root / f"{name}-{number}")) for number in (1, 2))
        below, beside = (made.enter_context(made_cgroup(other / part)) for part in ("below", "beside"))
        with collecting("100ms", cgroup=[f"/{one.name}", str(below)], backend=backend) as filtered:
            filtered.await_windows(1)
            for cgroup in (one, other, below, beside):
                nap = f"echo $$ > {cgroup}/cgroup.procs; sleep 0.25; sleep 0.01; true"
                subprocess.run(["sh", "-c", nap], check=True, timeout=PATIENCE_S)
            filtered.await_windows(1)
    # The shell itself was elsewhere when the first window began: its children were not.
    assert {row["cgroup"] for row in rows_of(filtered) if row["comm"] == "sleep"} == {
        f"/{one.name}",
        f"/{other.name}/below",
    }
