"""A CPU of this machine that goes offline and comes back, whatever happens in between."""

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_CPUS = Path("/sys/devices/system/cpu")


@dataclass
class Offline:
    """When a CPU was offline, in ns of CLOCK_MONOTONIC: at least from ``gone`` to ``coming``, at most by the others."""

    going: int = 0
    gone: int = 0
    coming: int = 0
    come: int = 0


def hotpluggable_cpu() -> int:
    """The highest CPU that can be taken offline; skips where there is none, or where this user may not."""
    for switch in sorted(_CPUS.glob("cpu[0-9]*/online"), key=lambda path: int(path.parent.name[3:]), reverse=True):
        if os.access(switch, os.W_OK) and switch.read_text().strip() == "1":
            return int(switch.parent.name[3:])
    pytest.skip("needs a CPU that can be taken offline, and the right to do so")


@contextmanager
def offline(cpu: int):
    """Take a CPU offline for the body; yields when, complete after the body."""
    switch, times = _CPUS / f"cpu{cpu}" / "online", Offline()
    try:
        times.going = time.monotonic_ns()
        switch.write_text("0")
        times.gone = time.monotonic_ns()
        yield times
    finally:
        times.coming = time.monotonic_ns()
        switch.write_text("1")
        times.come = time.monotonic_ns()


def stopper_of(cpu: int) -> int:
    """The tid of the kernel thread that takes a CPU down."""
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == f"migration/{cpu}":
                return int(comm.parent.name)
        except OSError:  # it has ended
            continue
    pytest.skip(f"needs the kernel thread migration/{cpu}, which another pid namespace hides")


def booked_ns(tid: int) -> int:
    """CPU time of a thread by the kernel's own accounting."""
    return int(Path(f"/proc/{tid}/schedstat").read_text().split()[0])
