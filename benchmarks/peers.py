"""The peers: started, waited for until they are truly attached, and stopped."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar

from benchmarks import kernel

#: Debian keeps administrators' tools where a user's PATH does not look.
_SEARCH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
_PATIENCE_S = 15.0
Sample = TypeVar("Sample")


class PeerError(Exception):
    """A peer did not start, or was not attached while it was measured."""


def tool(name: str) -> str | None:
    """Full path of an installed command; None where there is none."""
    return shutil.which(name, path=_SEARCH)


@cache
def schedtel_command() -> tuple[str, ...]:
    """``schedtel live`` with a window a second as NDJSON; where it does not run, a program that does the same."""
    command = Path(sys.executable).with_name("schedtel")
    if (
        command.exists()
        and not subprocess.run([command, "live", "--help"], capture_output=True, check=False).returncode
    ):
        return (str(command), "live", "--window", "1s", "--format", "ndjson")
    return (sys.executable, "-m", "benchmarks.collector")


def runqlat_command() -> tuple[str, ...] | None:
    """libbpf-tools' runqlat with a histogram a second; None where it is not installed."""
    path = tool("runqlat")
    return (path, "1") if path else None


@dataclass
class Observers:
    """BPF programs of others that were seen to trace while samples were taken."""

    own: set[int] = field(default_factory=set)
    disturbed_samples: int = 0

    def foreign(self) -> set[int]:
        return kernel.observer_ids() - self.own


observers = Observers()


@contextmanager
def running(command: tuple[str, ...]) -> Iterator[int]:
    """The pid of a peer that has attached its BPF programs. On leaving, its programs are gone too.

    Raises :class:`PeerError` when it does not attach, or has ended before it was asked to.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    identities: set[int] = set()
    try:
        _wait_until_attached(process)
        identities = kernel.program_ids(process.pid)
        observers.own |= identities
        yield process.pid
        if not kernel.is_attached(process.pid):
            raise PeerError(f"{Path(command[0]).name} was not attached to the end of its sample")
    finally:
        _stop(process)
        kernel.wait_until_gone(identities)


def _wait_until_attached(process: subprocess.Popen) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not kernel.is_attached(process.pid):
        if process.poll() is not None:
            said = process.stderr.read().decode(errors="replace").strip()
            raise PeerError(f"{process.args[0]} ended with {process.returncode}: {said}")
        if time.monotonic() > deadline:
            raise PeerError(f"{process.args[0]} attached nothing in {_PATIENCE_S:g} s")
        time.sleep(0.01)


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stderr.close()


def undisturbed(sample: Callable[[], Sample], attempts: int = 4) -> Sample:
    """The result of sample(), taken again while BPF programs of others are seen before or after it.

    After that many attempts it is taken as it is, and counted in ``observers``.
    """
    for attempt in range(attempts):
        before = observers.foreign()
        result = sample()
        if not before and not observers.foreign():
            return result
        if attempt + 1 < attempts:
            time.sleep(2)
    observers.disturbed_samples += 1
    return result
