"""What tests need around them and must leave nothing of: cgroups, and commands that serve."""

import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import eventually


@contextmanager
def made_cgroup(path: Path):
    """A cgroup of our own, removed afterwards, when those in it have gone."""
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"needs a writable cgroup hierarchy: {error}")
    try:
        yield path
    finally:
        eventually(lambda: _removed(path))


def _removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except OSError:  # somebody who was in it is still about to end
        return False
    return True


@contextmanager
def announced(beginning: str):
    """Starts commands whose first line on stderr begins so and ends with an address; kills what is left of them.

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
