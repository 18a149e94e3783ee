"""Namespaces of schedtel's own: what it cannot see is refused or has another name. tests/kernel/test_deployment.py has
those of a container."""

import json
import shlex
import subprocess
import sys

import pytest

from schedtel.host import procfs

LIVE = [sys.executable, "-m", "schedtel.cli", "live", "-w", "100ms", "-n", "1", "--format", "ndjson", "--all-tasks"]


def inside(*unshare, script=None):
    """Run `live` in new namespaces, or a script with it as its arguments; skips where there are no such namespaces."""
    tried = subprocess.run(["unshare", *unshare, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"needs unshare {' '.join(unshare)}: {tried.stderr.strip()}")
    command = LIVE if script is None else ["sh", "-ec", script, "sh", *LIVE]
    return subprocess.run(["unshare", *unshare, *command], capture_output=True, text=True, check=False)


def assert_refused(done, *words):
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert [word for word in words if word not in line] == []


def test_a_time_namespace_is_refused():
    done = inside("--time", "--monotonic=500", "--boottime=500", "--fork")
    assert_refused(done, "cannot follow tasks", "CLOCK_MONOTONIC of this time namespace is +500 s off")
    doctor = ["unshare", "--time", "--monotonic=500", "--fork", sys.executable, "-m", "schedtel.cli", "doctor"]
    told = subprocess.run(doctor, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert any(line.startswith("NO") and "clocks" in line for line in told.stdout.splitlines())


def test_a_time_namespace_without_an_offset_is_none():
    done = inside("--time", "--fork")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["summary"]["window_ns"] > 0


def test_a_user_namespace_is_refused_with_its_reason():
    done = inside("--user", "--map-root-user")
    assert_refused(done, "cannot load", "user namespace, whose capabilities end at its border")


def test_without_cgroupfs_cgroups_are_called_by_their_ids():
    places = [mount.point for mount in procfs.mounts() if mount.kind == "cgroup2"]
    hide = f'umount -l {" ".join(map(shlex.quote, places))}; exec "$@"' if places else 'exec "$@"'
    done = inside("--mount", "--propagation", "private", script=hide)
    assert done.returncode == 0, done.stderr
    named = {row["cgroup"] for row in json.loads(done.stdout)["tasks"] if row["tid"] and row["cgroup_id"]}
    assert named
    assert {name.partition(":")[0] for name in named} == {"id"}
