"""Small workloads, run for real in this process, with what /proc says of their tasks meanwhile."""

import contextlib
import glob
import os
import threading
from pathlib import Path

from schedtel.workloads.plan import make_plan
from schedtel.workloads.run import Runner
from schedtel.workloads.spec import parse_workload

#: Between two looks at /proc.
LOOK_S = 0.02
MS = 1_000_000


def planned(text, **options):
    """The plan of a workload that a text of TOML describes."""
    return make_plan(parse_workload(text, "test"), **options)


def run(text, look=None, loops_per_us=None):
    """Run a workload and return its outcome. Until it ends, ``look`` is called again and again.

    The thread that runs it lives until the run returns, as a runner asks for.
    """
    found = []
    runner = Runner(planned(text), loops_per_us)
    thread = threading.Thread(target=lambda: found.append(runner.run()))
    thread.start()
    while thread.is_alive():
        if look:
            look()
        thread.join(LOOK_S)
    (outcome,) = found
    return outcome


def tasks_named(comm):
    """The ids of all threads on the machine that have this command name and are no zombies."""
    found = []
    # Not Path.glob, which raises when a process ends meanwhile.
    for path in map(Path, glob.iglob("/proc/[0-9]*/task/[0-9]*/stat")):
        with contextlib.suppress(OSError):
            name, rest = path.read_text(errors="replace").partition("(")[2].rsplit(")", 1)
            if name == comm and rest.split()[0] not in "ZX":
                found.append(int(path.parent.name))
    return sorted(found)


class Watch:
    """Reads something of every task of a name, again and again; keeps the last value of each task."""

    def __init__(self, comm, read):
        self.comm, self.read, self.last = comm, read, {}

    def __call__(self):
        for tid in tasks_named(self.comm):
            with contextlib.suppress(OSError):
                self.last[tid] = self.read(tid)


def cpu_ns(tid):
    """CPU time of a thread by the kernel's own accounting."""
    return int(Path(f"/proc/{tid}/schedstat").read_text().split()[0])


def status(*fields):
    """Reads the sum of some numbers of /proc/<tid>/status."""

    def read(tid):
        lines = Path(f"/proc/{tid}/status").read_text(errors="replace").splitlines()
        found = [int(line.split()[1]) for line in lines if line.startswith(tuple(f"{field}:" for field in fields))]
        if len(found) < len(fields):
            raise ProcessLookupError(tid)  # it is about to go, and has no memory any more
        return sum(found)

    return read


def unique(letter):
    """A name of a class that no other test has at the moment."""
    return f"{letter}{os.getpid()}"
