"""The cells of an experiment and a target in; their runs, in a store of this machine, out."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from schedtel.access.files import read_file
from schedtel.durations import NS_PER_S
from schedtel.errors import SchedtelError, StreamError, WorkloadError
from schedtel.experiments.design import Cell, cells
from schedtel.experiments.provenance import Fact
from schedtel.experiments.running import WINDOW, Progress, plan_of, refuse_overloads
from schedtel.experiments.spec import ExperimentSpec
from schedtel.experiments.store import Run, Store
from schedtel.flight.client import Subscription
from schedtel.flight.wire import one_line
from schedtel.recordings.recorder import Recorder
from schedtel.target.answers import record, run_of
from schedtel.target.client import Connection, Session
from schedtel.workloads.presets import preset_names
from schedtel.workloads.spec import load_workload

#: Most characters of a target's own words that are shown.
_MOST_SAID = 300
#: That of a run has 30 (schedtel/windows/runs.py).
_LONGEST_NAME = 64
#: What a run takes beside its plan, with much room: another process, its end, and the way of the arm.
_PATIENCE_S = 60
#: States that the target says of a cell; any other one is not known here.
_RUNNING, _DONE, _FAILED = "running", "done", "failed"


class TargetExperiment:
    """An experiment whose runs are made on another machine.

    :param spec: what to run.
    :param root: the directory for its runs; what is there already is not run again.
    :param target: the machine.
    :param facts: what is told of each run beside what the target tells of it.

    Raises :class:`UsageError` for workloads that cannot be used, or if the directory holds runs of another machine,
    and :class:`StreamError` where the target does not answer.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        root: str | os.PathLike[str],
        target: Connection,
        facts: Mapping[str, Fact] = MappingProxyType({}),
    ) -> None:
        self.spec, self._target, self._facts = spec, target, facts
        self._workloads = {name: load_workload(name) for name in spec.workloads}
        self._files = {name: _text(name) for name in spec.workloads if name not in preset_names()}
        described = target.describe()
        self._machine, self._cpus = str(described["machine"]), described.get("cpus")
        target.call("check", spec=spec.table(), files=self._files)
        self.store = Store(root, spec, self._machine)
        self._windows: Subscription | None = None
        self._stopped = False

    def remaining(self) -> list[Cell]:
        """The runs that are still to be made, in their order."""
        return [cell for cell in cells(self.spec) if not self.store.has(cell)]

    def stop(self) -> None:
        """End after the run in progress has been given up. Safe in a signal handler and from another thread."""
        self._stopped = True
        self._hang_up()

    def _hang_up(self) -> None:
        """Take no more windows."""
        windows = self._windows
        if windows is not None:
            windows.stop()

    def run(self, tell: Callable[[Progress], object] = lambda _: None) -> int:
        """Make all runs that are still to be made; returns how many were made.

        :param tell: called before each run.

        Raises :class:`UsageError` with the target's reason where it does not allow the experiment, and before the first
        run if the target's CPUs cannot keep the plan of one of them,
        :class:`WorkloadError` with its reason where a run fails, and :class:`StreamError` once it is lost.
        """
        todo, began, total = self.remaining(), time.monotonic(), len(cells(self.spec))
        if not todo:
            return 0
        if isinstance(self._cpus, list):
            refuse_overloads(todo, partial(plan_of, self.spec, self._workloads), range(len(self._cpus)))
        with Session(self._target, self._hang_up, spec=self.spec.table(), files=self._files) as session:
            for made, cell in enumerate(todo):
                if not self._stopped:
                    tell(Progress.of(cell, made, len(todo), total, time.monotonic() - began))
                if self._stopped or not self._one(session, cell):
                    return made
        return len(todo)

    def _one(self, session: Session, cell: Cell) -> bool:
        """Whether the run was made; False if it was stopped."""
        loops_per_us = self.store.loops_per_us()
        given = {} if loops_per_us is None else {"loops_per_us": loops_per_us}
        session.call("run", cell=cell.key, **given)
        state = self._awaited(session, cell)
        if self._stopped:
            return False
        name = self._checked(state)
        classes = [c.name for c in self._workloads[cell.workload].classes]
        return self._keep(session, run_of(session.call("result"), cell, classes), name)

    def _awaited(self, session: Session, cell: Cell) -> dict[str, object]:
        """What the target says of a cell that has ended. Raises :class:`StreamError` if it does not end."""
        workload = self._workloads[cell.workload]
        length_ns = (self.spec.duration_ns or workload.duration_ns) + workload.drain_ns
        until = time.monotonic() + length_ns / NS_PER_S + _PATIENCE_S
        while not self._stopped:
            state = session.next_state()
            # An answer that was under way may tell of the cell before.
            if state.get("cell") == cell.key and state.get("state") != _RUNNING:
                return state
            if time.monotonic() > until:
                raise StreamError(f"target {self._target.uri}: a run does not end (look at the target)")
        return {}

    def _checked(self, state: dict[str, object]) -> str:
        """The name of a run that is done. Raises :class:`WorkloadError` for one that failed."""
        if state.get("state") == _FAILED:
            raise WorkloadError(f"on the target: {one_line(str(state.get('why')))[:_MOST_SAID]}")
        name = state.get("run")
        if state.get("state") != _DONE or not isinstance(name, str) or len(name) > _LONGEST_NAME:
            raise StreamError(f"target {self._target.uri}: it does not do what it was asked for (run it again)")
        return name

    def _keep(self, session: Session, run: Run, name: str) -> bool:
        """Take the windows of a run, and add it to the store. False if this was stopped."""
        try:
            with self._target.windows(name) as windows, Recorder(self.store.begin(run.cell), WINDOW) as recorder:
                self._windows = windows
                if self._stopped:
                    windows.stop()
                record(windows, recorder, run.provenance.get("windows"))
        except SchedtelError:
            session.require()  # which is why there are no more windows
            if self._stopped:
                return False
            raise
        finally:
            self._windows = None
        self.store.finish(replace(run, provenance={**run.provenance, **self._facts, "target": self._machine}))
        return True


def _text(name: str) -> str:
    return read_file(name, "workload").decode()
