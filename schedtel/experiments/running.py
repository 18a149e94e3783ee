"""Cells that have not been run in; runs in the store out, one after the other, with the time that is left."""

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np

from schedtel.errors import UsageError
from schedtel.experiments.at_birth import is_whole, treated
from schedtel.experiments.beside import in_effect, recorded
from schedtel.experiments.design import Cell, cells
from schedtel.experiments.outcomes import (
    figures_of_cpus,
    figures_of_jobs,
    figures_of_lives,
    figures_of_tasks,
    figures_of_waits,
)
from schedtel.experiments.provenance import Fact, conditions, machine
from schedtel.experiments.spec import PLACEBO, ExperimentSpec
from schedtel.experiments.store import Run, Store
from schedtel.recordings.recording import Recording
from schedtel.schedulers.names import parse_arm
from schedtel.schedulers.switching import Schedulers
from schedtel.windows.window import Window
from schedtel.workloads import generator
from schedtel.workloads.outcome import Outcome
from schedtel.workloads.plan import Plan, make_plan, refuse_overload
from schedtel.workloads.run import Runner
from schedtel.workloads.spec import Workload, load_workload

#: Length of the windows of a run, unless another one is asked for.
WINDOW = "500ms"


@dataclass(frozen=True)
class Progress:
    """How far an experiment is: the run that is about to begin, its number, all runs, and seconds left (or None)."""

    cell: Cell
    number: int
    total: int
    left_s: float | None

    @classmethod
    def of(cls, cell: Cell, made: int, todo: int, total: int, took_s: float) -> "Progress":
        """Before a cell, when ``made`` of the ``todo`` runs that were missing have been made in some seconds."""
        return cls(cell, total - todo + made + 1, total, took_s / made * (todo - made) if made else None)


def plan_of(spec: ExperimentSpec, workloads: Mapping[str, Workload], cell: Cell) -> Plan:
    """The plan of a cell's workload, which is one of some, by name."""
    return make_plan(workloads[cell.workload].with_options(seed=cell.seed, duration_ns=spec.duration_ns))


def refuse_overloads(todo: Iterable[Cell], plan_for: Callable[[Cell], Plan], cpus: Collection[int]) -> None:
    """Refuse cells whose plans some CPUs cannot keep. A plan is drawn, so one repeat may be an overload by chance.

    Raises :class:`UsageError` that names the first of them.
    """
    for cell in {(cell.workload, cell.seed): cell for cell in todo}.values():
        refuse_overload(plan_for(cell), cpus, f"the plan of {cell.workload}, repeat {cell.repeat}")


def members_of(workloads: Iterable[Workload], groups: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Class of an arm's rules → command names: each class of the workloads, and groups of them.

    Raises :class:`UsageError` for a group of what is no class.
    """
    known = {c.name: (c.name,) for workload in workloads for c in workload.classes}
    for name, members in groups.items():
        unknown = [member for member in members if member not in known]
        if unknown:
            raise UsageError(f"cannot use class {name!r}: no workload has a class {unknown[0]!r} (name its classes)")
    return known | dict(groups)


class Experiment:
    """An experiment on this machine.

    :param spec: what to run.
    :param root: the directory for its runs; what is there already is not run again.
    :param loops_per_us: loops of work in a microsecond; by default that of the runs that are there, or else measured.
    :param facts: what is told of each run beside what is seen of it, such as the commit that the file is of.
    :param workloads: by name, those that are no files of this machine.
    :param window: length of a run's windows.

    Raises :class:`UsageError` or :class:`CapabilityError` for workloads and schedulers that cannot be used here, before
    anything runs.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        root: str | os.PathLike[str],
        loops_per_us: float | None = None,
        workloads: Mapping[str, Workload] = MappingProxyType({}),
        facts: Mapping[str, Fact] = MappingProxyType({}),
        window: str = WINDOW,
    ) -> None:
        self.spec, self._facts, self._window = spec, facts, window
        self._workloads = {name: workloads.get(name) or load_workload(name) for name in spec.workloads}
        self._members = members_of(self._workloads.values(), spec.classes)
        self._check()
        self.store = Store(root, spec)
        self._runner: Runner | None = None
        self._stopped = False
        self._loops_per_us = loops_per_us

    def _check(self) -> None:
        """Plan each workload, and check each arm, as far as that is possible without running them."""
        with Schedulers(f"pid={os.getpid()}", classes=dict.fromkeys(self._members, ())) as arms:
            for scheduler in self.spec.schedulers:
                arms.check(parse_arm(self._arm(scheduler)))
        for name, workload in self._workloads.items():
            # A plan of any seed: whether one is an overload is asked of those that are to run.
            Runner(
                plan_of(self.spec, {name: replace(workload, overload=True)}, Cell(name, self.spec.baseline, 1, 1)), 1.0
            )

    def _arm(self, scheduler: str) -> str:
        return self.spec.baseline if scheduler == PLACEBO else scheduler

    def remaining(self) -> list[Cell]:
        """The runs that are still to be made, in their order."""
        return [cell for cell in cells(self.spec) if not self.store.has(cell)]

    def stop(self) -> None:
        """End after the run in progress has been given up. Safe in a signal handler and from another thread."""
        self._stopped = True
        runner = self._runner
        if runner is not None:
            runner.stop()

    def run(self, tell: Callable[[Progress], object] = lambda _: None, only: Cell | None = None) -> int:
        """Make all runs that are still to be made; returns how many were made.

        This thread must live until it returns, since the workload ends with it.

        :param tell: called before each run.
        :param only: make this run and no other, unless it is there.

        Raises :class:`UsageError` before the first run if the CPUs cannot keep the plan of one of them.
        """
        if only is None:
            todo = self.remaining()
            refuse_overloads(todo, partial(plan_of, self.spec, self._workloads), os.sched_getaffinity(0))
        else:  # its own runner refuses it
            todo = [] if self.store.has(only) else [only]
        began, total = time.monotonic(), len(cells(self.spec))
        self._loops_per_us = self._loops_per_us or self.store.loops_per_us() or generator.calibrate()
        for made, cell in enumerate(todo):
            if self._stopped:
                return made
            tell(Progress.of(cell, made, len(todo), total, time.monotonic() - began))
            run = self._one(cell)
            if run is None:  # stopped meanwhile
                return made
            self.store.finish(run)
        return len(todo)

    def _one(self, cell: Cell) -> Run | None:
        plan = plan_of(self.spec, self._workloads, cell)
        name = self._arm(cell.scheduler)
        classes = self._classes(plan.workload)
        under = replace(plan, workload=treated(plan.workload, parse_arm(name), classes))
        self._runner = Runner(under, self._loops_per_us)
        if self._stopped:
            self._runner.stop()
        folder = self.store.begin(cell)
        with (
            recorded(folder, self._window),
            in_effect(name, classes, is_whole(under.workload, parse_arm(name))) as arm,
        ):
            outcome = self._runner.run()
        if self._stopped or outcome.interrupted:
            return None
        facts = {**self._facts, **arm, "plan_sha256": plan.sha256}
        return described(cell, outcome, list(Recording(folder)), self.spec.settle_ns, facts)

    def _classes(self, workload: Workload) -> dict[str, tuple[str, ...]]:
        """Class of an arm's rules → command names, as far as they are those of the workload."""
        own = {c.name for c in workload.classes}
        return {name: tuple(member for member in all_ if member in own) for name, all_ in self._members.items()}


def described(cell: Cell, outcome: Outcome, windows: list[Window], settle_ns: int, facts: Mapping[str, Fact]) -> Run:
    """The run of a cell, by what became of its jobs and by its windows.

    :param settle_ns: jobs that arrive within this time do not count.
    :param facts: what is told of it beside that.
    """
    figures, classes = figures_of_jobs(outcome, settle_ns)
    if not outcome.plan.workload.classes:
        figures = figures_of_lives(windows, outcome.plan.workload.is_task)
    is_ours = outcome.plan.workload.is_task
    figures = figures | figures_of_tasks(windows, is_ours) | figures_of_waits(windows, is_ours)
    provenance = machine() | conditions(windows, figures.get("cpu_ns", 0.0)) | dict(facts)
    provenance |= {
        "loops_per_us": outcome.loops_per_us,
        "late": "; ".join(outcome.complaints),
        "generator_late_p99_ns": float(np.quantile(outcome.lateness_ns, 0.99)) if len(outcome.lateness_ns) else 0.0,
        "dispatcher_cpu_ns": int(outcome.facts["dispatcher_cpu_ns"]),
    }
    own = {name: each for name, each in classes.items() if each}
    return Run(cell, figures, provenance, own, figures_of_cpus(windows))
