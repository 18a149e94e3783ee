"""A plan in; the generator's process, what it is fed, and what it answers, out. See schedtel/workloads/generator/."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedtel.errors import WorkloadError
from schedtel.records.native import program_path
from schedtel.workloads.plan import Plan, stretches
from schedtel.workloads.policies import POLICIES
from schedtel.workloads.spec import TaskClass

_PROGRAM = "workload"
#: What became of a job: ``struct record`` of generator.h. Moments are CLOCK_MONOTONIC in ns, 0 where none was reached;
#: ``cpu_ns`` is the CPU time of the task that did the job, without those that it forked or woke.
RECORD = np.dtype([("released_ns", "<i8"), ("started_ns", "<i8"), ("ended_ns", "<i8"), ("cpu_ns", "<i8")])
#: ``enum kind`` of generator.h.
_KINDS = ("cpu", "sleep", "pipe", "fork", "lock", "file", "memory")
#: A machine on which 40 ms of work take longer is overloaded.
_CALIBRATION_S = 60


def calibrate() -> float:
    """Loops of work that a microsecond has on this machine now: those of the quickest of 40 runs of a millisecond.

    Raises :class:`WorkloadError` where the generator does not answer.
    """
    command = [program_path(_PROGRAM), "calibrate"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_CALIBRATION_S, check=True)
        return float(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        raise WorkloadError(f"cannot calibrate the work: {error} (is the machine overloaded?)") from None


def begin() -> "subprocess.Popen[bytes]":
    """Start the generator. It waits for its plan, is in a process group of its own, and ends when this thread does."""
    command = [program_path(_PROGRAM), "run", str(os.getpid())]
    with _blocked():
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0)


def keep(command: list[str], output: Any) -> "subprocess.Popen[bytes]":
    """Start a command of others, which ends with all that descends from it when the process returned here is told to.

    :param output: the file that its stdout and stderr go to.
    """
    kept = [program_path(_PROGRAM), "keep", str(os.getpid()), *command]
    with _blocked():
        return subprocess.Popen(
            kept, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, process_group=0
        )


@contextmanager
def _blocked() -> Iterator[None]:
    """Block SIGTERM, as the program inherits it: one that is sent before its handler is there waits for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---- what it is fed ----


def plan_bytes(plan: Plan, loops_per_us: float) -> bytes:
    """The plan as the generator reads it: lines of text, the jobs, and the order of releases."""
    workload, changes = plan.workload, _changes(plan)
    lines = ["schedtel-workload 1"]
    numbers = (workload.duration_ns, workload.drain_ns, repr(loops_per_us), len(workload.classes), len(changes))
    lines.append(" ".join(map(str, ("run", *numbers, len(plan.jobs), len(plan.order)))))
    first = 0
    for task_class, count in zip(workload.classes, plan.counts, strict=True):
        lines.append(_class_line(task_class, first, count))
        first += count
    lines += [f"active {number} {active} {at_ns}" for at_ns, number, active in changes]
    text = "\n".join([*lines, "end\n"])
    return os.fsencode(text) + plan.jobs.tobytes() + plan.order.tobytes()


def _class_line(found: TaskClass, first: int, count: int) -> str:
    treatment, behaviour = found.treatment, found.behaviour
    words = [
        *(found.name, int(found.arrival.is_open), int(found.tasks == "threads"), int(found.life), found.workers),
        *(first, count, _KINDS.index(behaviour.kind), *behaviour.numbers()),
        *(POLICIES[treatment.policy], treatment.nice, treatment.priority),
        *(treatment.runtime_ns, treatment.deadline_ns, treatment.period_ns),
        ",".join(map(str, treatment.cpus)) or "-",
        behaviour.directory,
    ]
    return "class " + " ".join(map(str, words))


def _changes(plan: Plan) -> list[tuple[int, int, int]]:
    """Moment, class and number of active workers, for each beginning of a phase in which a closed class has others."""
    return sorted(
        (part.begin_ns, number, round(part.factor * found.workers))
        for number, found in enumerate(plan.workload.classes)
        if not found.arrival.is_open
        for part in stretches(plan.workload, number)
    )


# ---- what it answers ----


def read_answer(raw: bytes, jobs: int) -> tuple[dict[str, Any], NDArray[np.void]]:
    """The generator's answer: its facts, and a record for each job, shape (jobs,) of :data:`RECORD`.

    Raises :class:`WorkloadError` with the reason where the generator refused the plan or was ended by another.
    """
    line, _, rest = raw.partition(b"\n")
    try:
        facts = json.loads(line)
    except ValueError:
        facts = {"error": "the generator was ended before its answer"}
    if "error" in facts:
        raise WorkloadError(f"cannot run the workload: {facts['error']} (see the limits in docs/workloads.md)")
    if len(rest) != jobs * RECORD.itemsize:
        raise WorkloadError("cannot read what became of the jobs: the generator's answer is cut (is memory short?)")
    return facts, np.frombuffer(rest, RECORD)
