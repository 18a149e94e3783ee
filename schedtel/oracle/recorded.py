"""A workload in; a run of it on this machine out, with all events of the machine meanwhile."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

from schedtel.eventlog.recorder import EventRecorder, record
from schedtel.eventlog.tracing import Tracing
from schedtel.kernel.filters import Filter
from schedtel.latch import Latch
from schedtel.oracle.dataset import need_name
from schedtel.oracle.gather import run_of_recording
from schedtel.oracle.runs import Run, cut
from schedtel.workloads.plan import make_plan
from schedtel.workloads.run import Runner
from schedtel.workloads.spec import Workload, load_workload

#: Workloads of different kinds: requests, bursts, builds, pipes, an editor, frames, forks, and long jobs.
WORKLOADS = ("web", "bursty", "compile", "pipe", "editor", "frames", "fork-storm", "hogs-jobs")
#: What a run begins with, the start of its tasks, is left out.
SETTLING_NS = 500_000_000
_GENERATOR = "workload"


@dataclass
class _Job:
    """A workload that runs in a thread of its own, and what went wrong there."""

    runner: Runner
    stop: Latch
    error: BaseException | None = None

    def run(self) -> None:
        try:
            self.runner.run()
        except BaseException as error:  # noqa: BLE001  (it is raised again in the thread that waits)
            self.error = error
        finally:
            self.stop.set()


def recorded_run(
    spec: str, number: int, length_ns: int, switches: int, on_stop: Callable[[Callable[[], None]], None]
) -> Run:
    """Run a workload and record what happens on this machine: the part of it with so many switches at most.

    Tasks of the workload and of the kernel have their names, and all others are ``other``: a dataset is to be given on.

    :param spec: a preset or a file; ``number``, of the run, is also its seed.
    :param length_ns: how long it runs.
    :param on_stop: is given what ends the run early.

    Raises the errors of workloads and of recording.
    """
    # In a short run, some seeds draw more work than the CPUs can do. Here nobody measures whether it is done in time.
    workload = replace(load_workload(spec).with_options(number, length_ns + SETTLING_NS), overload=True)
    stop = Latch()
    job = _Job(Runner(make_plan(workload)), stop)
    on_stop(job.runner.stop)
    name = name_of(spec)
    need_name(name)
    with tempfile.TemporaryDirectory(prefix="schedtel-") as folder:
        thread = threading.Thread(target=job.run)
        with EventRecorder(folder) as recorder, closing(Tracing(Filter())) as tracing:
            thread.start()
            try:
                record(tracing, recorder, stop, length_ns + SETTLING_NS)
            finally:
                job.runner.stop()
                thread.join()
        if job.error is not None:
            raise job.error
        return cut(run_of_recording(folder, name, number, lambda comm: is_its(workload, comm)), SETTLING_NS, switches)


def name_of(spec: str) -> str:
    """What a preset or a file is called in a dataset."""
    return os.path.basename(spec).removesuffix(".toml")


def is_its(workload: Workload, comm: str) -> bool:
    """Whether a name is that of a task of the workload, or of its generator."""
    own = comm == _GENERATOR or any(comm == one.name for one in workload.classes)
    return own or any(one.is_task(comm) for one in workload.externals)
