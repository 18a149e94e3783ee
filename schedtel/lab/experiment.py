"""The cells of an experiment in; a guest for each, and its run in a store of this host, out.

Each run has a guest of its own. So a run does not depend on which runs were made before it or beside it, and an
experiment that was stopped, or that gets more repeats, has the figures of one that was not.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from schedtel.errors import CollectorError, UsageError, WorkloadError
from schedtel.experiments.design import Cell, cells
from schedtel.experiments.provenance import Fact
from schedtel.experiments.running import Progress, members_of, plan_of, refuse_overloads
from schedtel.experiments.spec import PLACEBO, ExperimentSpec
from schedtel.experiments.store import Store, read_store
from schedtel.lab import cell as inside
from schedtel.lab.guests import Done, Job, Places, local_guests
from schedtel.lab.jobs import DIRECTORY, module_file, unpack_results
from schedtel.lab.machine import Machine
from schedtel.lab.schedulers import guest_files
from schedtel.schedulers.names import parse_arm
from schedtel.schedulers.selection import refuse_unknown_class
from schedtel.workloads import generator
from schedtel.workloads.presets import preset_names
from schedtel.workloads.spec import load_workload

_MOST_SAID = 4096


class LabExperiment:
    """An experiment whose runs are made in guests.

    :param spec: what to run.
    :param root: the directory for its runs; what is there already is not run again.
    :param machine: the guest.
    :param schedulers: files of sched_ext schedulers by their paths in the guest, for arms ``scx:NAME``.
    :param places: where guests run, made when there are runs to be made. It gets a function that says whether to stop.
    :param facts: what is told of each run beside what the guest tells of it.

    Raises :class:`UsageError` for workloads or classes that cannot be used, or if the directory holds runs of another
    machine.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        root: str | os.PathLike[str],
        machine: Machine,
        schedulers: Mapping[str, bytes],
        places: Callable[[Callable[[], bool]], Places | None],
        facts: Mapping[str, Fact] = MappingProxyType({}),
    ) -> None:
        self.spec, self._facts, self._machine = spec, facts, machine
        self._workloads = {name: load_workload(name) for name in spec.workloads}
        self._files = _workload_files(spec)
        _refuse_unknown_classes(spec, members_of(self._workloads.values(), spec.classes))
        self._name = machine.name + _digest(schedulers)
        self.store = Store(root, spec, self._name)
        self._make_places = places
        self._places: Places | None = None
        self._stopped = False

    def remaining(self) -> list[Cell]:
        """The runs that are still to be made, in their order."""
        return [cell for cell in cells(self.spec) if not self.store.has(cell)]

    def stop(self) -> None:
        """Give the runs in progress up, and end. Safe in a signal handler and from another thread."""
        self._stopped = True
        if self._places is not None:
            self._places.stop()

    def run(self, tell: Callable[[Progress], object] = lambda _: None) -> int:
        """Make all runs that are still to be made; returns how many were made.

        :param tell: called before each run.

        Raises :class:`UsageError` before the first run if the guest's CPUs cannot keep the plan of one of them,
        :class:`WorkloadError` with the guest's reason where a run fails in it, and :class:`CollectorError` where a
        guest fails. Runs that are made by then are kept.
        """
        todo = {cell.key: cell for cell in self.remaining()}
        refuse_overloads(todo.values(), partial(plan_of, self.spec, self._workloads), range(self._machine.cpus))
        self._places = self._make_places(lambda: self._stopped) if todo else None
        if self._places is None or self._stopped:
            return 0
        course, loops = _Course(len(cells(self.spec)), len(todo)), self._loops_per_us()
        work = [Job(key, self._job(cell, loops)) for key, cell in todo.items()]
        for job, done in self._places.done(work, lambda job: tell(course.began(todo[job.name]))):
            self._keep(todo[job.name], done)
            course.made += 1
        return course.made

    def _job(self, cell: Cell, loops: float) -> dict[str, bytes]:
        described = inside.described(self.spec, cell, loops)
        return self._files | module_file(inside.__name__) | {inside.PATH: described}

    def _loops_per_us(self) -> float:
        """Loops of work in a microsecond. In real time they are this host's, or those of the runs that are there."""
        if self._machine.kvm:
            return self.store.loops_per_us() or generator.calibrate()
        return inside.loops_per_us(self._machine.cpus)

    def _keep(self, cell: Cell, done: Done) -> None:
        """Move a run from the guest's store to ours."""
        if done.status:
            raise _failed(done.said, done.status)
        with tempfile.TemporaryDirectory() as directory:
            made = Path(directory)
            unpack_results(done.results, made)
            told = inside.told(self.spec, cell)
            run = next((run for run in read_store(made)[1] if run.cell == told), None)
            if run is None:
                raise CollectorError("cannot read the guest's results: the run is not among them (run it again)")
            target = self.store.begin(cell)
            shutil.copytree(made / "runs" / told.key / target.name, target, dirs_exist_ok=True)
        self.store.finish(replace(run, cell=cell, provenance={**run.provenance, **self._facts, "lab": self._name}))


def in_local_guests(
    spec: ExperimentSpec,
    root: str | os.PathLike[str],
    machine: Machine,
    programs: Iterable[Path] = (),
    most: int | None = None,
    notice: Callable[[str], object] = lambda _: None,
    facts: Mapping[str, Fact] = MappingProxyType({}),
) -> LabExperiment:
    """An experiment whose guests run on this host.

    :param programs: of sched_ext schedulers of others, each called ``scx_NAME``, for arms ``scx:NAME``.
    :param most: how many run side by side; by default as many as this host has CPUs.
    :param notice: called with a line before something takes long.
    :param facts: what is told of each run beside what the guest tells of it.
    """
    schedulers = guest_files(scheduler_names(spec), programs, notice)
    places = partial(local_guests, machine, schedulers, most, notice)
    return LabExperiment(spec, root, machine, schedulers, places, facts)


class _Course:
    """How far an experiment is, when several of its runs are made at a time.

    :param total: all runs.
    :param todo: those that were missing.
    """

    def __init__(self, total: int, todo: int) -> None:
        self._total, self._todo, self._begin = total, todo, time.monotonic()
        self.made = self._begun = 0

    def began(self, cell: Cell) -> Progress:
        """Before a cell's run. Of the others in progress, half is taken to be done."""
        done = self.made + (self._begun - self.made) / 2
        self._begun += 1
        each_s = (time.monotonic() - self._begin) / done if self.made else None
        left_s = None if each_s is None else each_s * (self._todo - done)
        return Progress(cell, self._total - self._todo + self._begun, self._total, left_s)


def scheduler_names(spec: ExperimentSpec) -> list[str]:
    """Of the arms ``scx:NAME``, the names. Raises :class:`UsageError` for an arm that no guest can have."""
    arms = list(map(parse_arm, sorted(set(spec.schedulers) - {PLACEBO})))
    for arm in arms:
        if arm.family == "loader":
            raise UsageError(f"cannot use {arm} in the lab: its guests run no service (use scx:{arm.scheduler})")
        if arm.cgroup:
            raise UsageError(f"cannot use {arm} in the lab: its workloads have no cgroup (use scx:{arm.scheduler})")
    return [arm.scheduler for arm in arms if arm.family == "scx"]


def _digest(schedulers: Mapping[str, bytes]) -> str:
    """What tells runs under other builds of a scheduler apart; empty without one."""
    digest = hashlib.sha256()
    for path, content in sorted(schedulers.items()):
        digest.update(path.encode() + hashlib.sha256(content).digest())
    return f", schedulers {digest.hexdigest()[:16]}" if schedulers else ""


def _failed(said: bytes, status: int) -> WorkloadError:
    last = (said[-_MOST_SAID:].decode(errors="replace").strip() or f"status {status}").splitlines()[-1]
    return WorkloadError(f"in the guest: {last}")


def _refuse_unknown_classes(spec: ExperimentSpec, known: Collection[str]) -> None:
    """A guest would refuse them too, but only after its boot."""
    for scheduler in spec.schedulers:
        for rule in parse_arm(scheduler if scheduler != PLACEBO else spec.baseline).rules:
            if rule.selector is not None and rule.selector.kind == "class":
                refuse_unknown_class(rule.selector.name, known)


def _workload_files(spec: ExperimentSpec) -> dict[str, bytes]:
    """The workloads' files by their paths in the guest. Raises :class:`UsageError` for a path that leads elsewhere."""
    files = {}
    for name in spec.workloads:
        if name in preset_names():
            continue
        path = PurePosixPath(os.path.normpath(os.path.join(DIRECTORY, name)))
        if ".." in PurePosixPath(name).parts:
            raise UsageError(
                f"cannot use workload {name} in the lab: its path has .. in it (name it from its directory)"
            )
        files[str(path)] = Path(name).read_bytes()
    return files
