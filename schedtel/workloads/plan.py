"""A workload and its seed in; every job of the run, to the byte the same each time, out.

A class draws its arrivals and its services from two streams of their own, so that another service leaves the arrivals
as they are, and another class leaves both.
"""

import hashlib
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from schedtel.durations import NS_PER_S, format_duration
from schedtel.errors import UsageError
from schedtel.workloads.chance import Chance
from schedtel.workloads.spec import TaskClass, Workload

#: A job: when it is released (of an open class, ns after the start) or how long its worker thinks before (of a closed
#: one), its work in ns of calibrated loops, its class's number, and the worker of a closed class, else -1.
JOB = np.dtype([("at_ns", "<i8"), ("work_ns", "<i8"), ("class", "<i4"), ("worker", "<i4")])
#: Most jobs of a plan: 24 MB of it, and as much again while it runs.
MOST_JOBS = 1_000_000
#: The shortest mean turn of a closed worker; below it, the loop around the work would be most of it.
_LEAST_TURN_NS = 10_000
#: A closed worker has so much more work than fits, because a machine may be faster than the calibration says. A worker
#: that still comes to its end begins again.
_SPARE = 1.25
#: What is read from a recording: moments of arrival in ns after the recording's start, sorted, and ns of CPU time.
Lives = tuple[NDArray[np.int64], NDArray[np.int64]]
#: A directory or URI and the beginning of a command name → the lives in that recording.
ReadLives = Callable[[str, str], Lives]


@dataclass(frozen=True)
class Stretch:
    """A piece of a run in which a class has one factor."""

    begin_ns: int
    end_ns: int
    factor: float


@dataclass(frozen=True)
class Plan:
    """All jobs of a run.

    :param jobs: shape (n,) of :data:`JOB`, by class; inside a class by release, or by worker.
    :param counts: jobs of each class, in the order of the workload's classes.
    """

    workload: Workload
    jobs: NDArray[np.void]
    counts: tuple[int, ...]

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """Indices of the jobs of open classes, in the order of their release."""
        is_open = np.flatnonzero(self.jobs["worker"] < 0)
        return is_open[np.argsort(self.jobs["at_ns"][is_open], kind="stable")].astype("<i4")

    def to_bytes(self) -> bytes:
        """The plan as bytes: a line, the workload as a line of JSON, and the jobs as little-endian records."""
        return b"schedtel plan 1\n" + self.workload.canonical() + b"\n" + self.jobs.tobytes()

    @cached_property
    def sha256(self) -> str:
        """The digest of :meth:`to_bytes`, in hexadecimal digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def of_class(self, number: int) -> NDArray[np.void]:
        """The jobs of a class, by its number."""
        first = sum(self.counts[:number])
        return self.jobs[first : first + self.counts[number]]

    def load(self, number: int) -> float:
        """CPUs that an open class keeps busy on average: their work divided by the length of the run; 0 if closed."""
        return self._arriving(number) * self.workload.classes[number].behaviour.cpu_share

    def device_load(self, device: str) -> float:
        """The same of devices that the jobs of graphs use."""
        graphs = ((number, c.behaviour.graph) for number, c in enumerate(self.workload.classes))
        return sum(self._arriving(number) * graph.share_of(device) for number, graph in graphs if graph)

    def _arriving(self, number: int) -> float:
        if not self.workload.classes[number].arrival.is_open:
            return 0.0
        return float(self.of_class(number)["work_ns"].sum()) / self.workload.duration_ns


def make_plan(workload: Workload, read_lives: ReadLives | None = None) -> Plan:
    """Draw every job of the run.

    :param read_lives: reads recordings, for classes that replay one.

    Raises :class:`UsageError` for rates that are impossible, and for a plan of more than :data:`MOST_JOBS` jobs.
    """
    _refuse_too_many(workload)
    parts = [_jobs(workload, number, read_lives) for number in range(len(workload.classes))]
    jobs = np.concatenate([np.zeros(0, JOB), *parts])  # a workload of external programs alone has no jobs
    if len(jobs) > MOST_JOBS:
        raise _too_many(len(jobs))
    return Plan(workload, jobs, tuple(map(len, parts)))


def _refuse_too_many(workload: Workload) -> None:
    """Refuse a plan whose mean is too large before it is drawn."""
    expected = 0.0
    for number, task_class in enumerate(workload.classes):
        own_ns = sum(s.factor * (s.end_ns - s.begin_ns) for s in stretches(workload, number))
        expected += task_class.arrival.mean_rate() * own_ns / NS_PER_S
        if not task_class.arrival.is_open:
            expected += task_class.workers * _turns(task_class, workload.duration_ns)
    if expected > MOST_JOBS:
        raise _too_many(round(expected))


def _too_many(count: int) -> UsageError:
    return UsageError(
        f"cannot plan {count:,} jobs: impossible rates (at most {MOST_JOBS:,}; lower a rate or shorten the duration)"
    )


def stretches(workload: Workload, number: int) -> list[Stretch]:
    """The run as a class sees it: neighbouring phases with equal factors are one stretch."""
    name, found, at = workload.classes[number].name, list[Stretch](), 0
    cycle = [(phase.duration_ns, phase.factor(name)) for phase in workload.phases]
    factors = {factor for _, factor in cycle} or {1.0}
    if len(factors) == 1:
        return [Stretch(0, workload.duration_ns, factors.pop())]
    while at < workload.duration_ns:
        for length, factor in cycle:
            end = min(at + length, workload.duration_ns)
            if end > at:
                found.append(Stretch(at, end, factor))
            at = end
        if len(found) > MOST_JOBS:
            raise UsageError("cannot plan the phases: they repeat too often (make them longer)")
    return found


def _jobs(workload: Workload, number: int, read_lives: ReadLives | None) -> NDArray[np.void]:
    task_class = workload.classes[number]
    arrivals, services = (Chance(workload.seed, task_class.name, purpose) for purpose in ("arrivals", "services"))
    if not task_class.arrival.is_open:
        return _closed(task_class, number, workload.duration_ns, arrivals, services)
    moments, work = _open(workload, number, arrivals, services, read_lives)
    jobs = np.zeros(len(moments), JOB)
    jobs["at_ns"], jobs["work_ns"], jobs["class"], jobs["worker"] = moments, work, number, -1
    return jobs


def _open(
    workload: Workload, number: int, arrivals: Chance, services: Chance, read_lives: ReadLives | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Moments on the run's clock, and work."""
    task_class, parts = workload.classes[number], stretches(workload, number)
    edges = [0, *(part.end_ns for part in parts)]
    own = [0.0, *np.cumsum([part.factor * (part.end_ns - part.begin_ns) for part in parts])]
    if task_class.arrival.kind == "recorded":
        moments, work = _recorded(task_class, read_lives)
        moments, work = moments[moments < own[-1]], work[moments < own[-1]]
    else:
        moments = task_class.arrival.draw(arrivals, math.floor(own[-1]))
        work = np.empty(0, np.int64)
    if task_class.service.kind != "recorded":
        work = task_class.service.draw(services, len(moments))
    on_clock = np.rint(np.interp(moments, own, edges)).astype(np.int64)
    return on_clock, work


def _recorded(task_class: TaskClass, read_lives: ReadLives | None) -> Lives:
    arrival = task_class.arrival
    if read_lives is None:
        raise UsageError(f"cannot plan classes.{task_class.name}: recordings cannot be read here (drop the class)")
    moments, work = read_lives(arrival.recording, arrival.comm)
    if not len(moments):
        raise UsageError(
            f"cannot plan classes.{task_class.name}: no task {arrival.comm!r} arrived in {arrival.recording} "
            "(give another comm)"
        )
    return np.rint(moments / arrival.speed).astype(np.int64), np.maximum(work, 1)


def _turns(task_class: TaskClass, duration_ns: int) -> int:
    """Jobs that each worker of a closed class has."""
    think = task_class.arrival.think
    turn_ns = task_class.service.mean_ns + (think.mean_ns if think else 0)
    if turn_ns < _LEAST_TURN_NS:
        raise UsageError(
            f"cannot plan classes.{task_class.name}: impossible rate, a job every {format_duration(turn_ns)} "
            f"(at least {format_duration(_LEAST_TURN_NS)} of work and think)"
        )
    return math.ceil(_SPARE * duration_ns / turn_ns) + 1


def _closed(
    task_class: TaskClass, number: int, duration_ns: int, arrivals: Chance, services: Chance
) -> NDArray[np.void]:
    each, think = _turns(task_class, duration_ns), task_class.arrival.think
    jobs = np.zeros(each * task_class.workers, JOB)
    # Drawn turn by turn and kept worker by worker: a longer run begins as the shorter one does.
    turns = (each, task_class.workers)
    jobs["at_ns"] = think.draw(arrivals, len(jobs)).reshape(turns).T.ravel() if think else 0
    jobs["work_ns"] = task_class.service.draw(services, len(jobs)).reshape(turns).T.ravel()
    jobs["class"], jobs["worker"] = number, np.repeat(np.arange(task_class.workers), each)
    return jobs


# ---- what it says ----


def refuse_overload(plan: Plan, cpus: Collection[int], what: str = "the plan") -> None:
    """Refuse a plan that this machine cannot keep: more work than its CPUs, or than those of a class, can do in time.

    :param cpus: the CPUs that may be used.
    :param what: the plan, for the message.

    Raises :class:`UsageError` unless the workload says ``overload = true``.
    """
    if plan.workload.overload:
        return
    _refuse_busy_devices(plan, what)
    places: set[frozenset[int]] = {frozenset(), *(frozenset(c.treatment.cpus) for c in plan.workload.classes)}
    for place in places:
        inside = place or cpus
        load = sum(
            plan.load(number)
            for number, c in enumerate(plan.workload.classes)
            if not place or (c.treatment.cpus and set(c.treatment.cpus) <= place)
        )
        if load > len(inside):
            where = f"CPU {', '.join(map(str, sorted(place)))}" if place else f"{len(cpus)} CPUs"
            raise UsageError(
                f"cannot keep {what}: {load:.2f} CPUs of work arrive, for {where} "
                "(lower a rate, draw another seed, or overload = true)"
            )


def _refuse_busy_devices(plan: Plan, what: str) -> None:
    for device, count in plan.workload.devices().items():
        if plan.device_load(device) > count:
            raise UsageError(
                f"cannot keep {what}: work for {plan.device_load(device):.2f} of {device} arrives, of which there "
                f"are {count} (lower a rate, or overload = true)"
            )
