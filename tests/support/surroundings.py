"""Cgroups and commands that serve, of which nothing is left after the test."""

import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import eventually


@contextmanager
def made_cgroup(path: Path):
    """Make a cgroup; it is removed afterwards, when its last process has gone."""
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"needs a writable cgroup hierarchy: {error}")
    try:
        yield path
    finally:
        eventually(lambda: _removed(path))


def limit(cgroup: Path, share: float) -> None:
    """Set a bandwidth limit, in the files of either cgroup version."""
    quota, period = round(share * 100_000), 100_000
    if (cgroup / "cpu.max").exists():
        (cgroup / "cpu.max").write_text(f"{quota} {period}")
    elif (cgroup / "cpu.cfs_quota_us").exists():
        (cgroup / "cpu.cfs_quota_us").write_text(str(quota))
    else:
        pytest.skip("needs a cgroup hierarchy with the cpu controller enabled, and bandwidth limits in the kernel")


def _removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except OSError:  # a process in it is still about to end
        return False
    return True


@contextmanager
def announced(beginning: str):
    """Start commands whose first line on stderr has this beginning, and an address at its end; kill them afterwards.

    Yields a function: command → the process, and the address.
    """
    processes = []

    def begin(command, **options):
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options))
        line = processes[-1].stderr.readline()
        assert line.startswith(beginning), line
        return processes[-1], line.split()[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()
