"""The cells of an experiment in; a boot for each, and its run in a store of this host, out.

Each run has a guest of its own. So a run does not depend on which runs were made before it, and an experiment that was
stopped, or that gets more repeats, has the figures of one that was not.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from schedtel.errors import CollectorError, UsageError, WorkloadError
from schedtel.experiments.design import Cell, cells
from schedtel.experiments.running import Progress
from schedtel.experiments.spec import PLACEBO, ExperimentSpec
from schedtel.experiments.store import Run, Store, read_store
from schedtel.lab import cell as inside
from schedtel.lab import packages
from schedtel.lab.frames import STDERR
from schedtel.lab.jobs import DIRECTORY, job_file, unpack_results
from schedtel.lab.machine import Boot, Machine
from schedtel.lab.schedulers import guest_files
from schedtel.schedulers.names import parse_arm
from schedtel.workloads.presets import preset_names
from schedtel.workloads.spec import load_workload

_COMMAND = ("python3", "-P", "-m", "schedtel.lab.cell")
_MOST_SAID = 4096


class LabExperiment:
    """An experiment whose runs are made in guests.

    :param spec: what to run.
    :param root: the directory for its runs; what is there already is not run again.
    :param machine: the guest.
    :param programs: of sched_ext schedulers of others, each called ``scx_NAME``, for arms ``scx:NAME``.
    :param notice: called with a line before something is fetched.
    :param timeout_s: for each run, on the host's clock.

    Raises :class:`UsageError` for workloads that cannot be used, or if the directory holds runs of another machine.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        root: str | os.PathLike[str],
        machine: Machine,
        timeout_s: float = 900,
        programs: Iterable[Path] = (),
        notice: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.spec = spec
        self._machine, self._timeout_s = machine, timeout_s
        names = [arm.scheduler for arm in map(parse_arm, set(spec.schedulers) - {PLACEBO}) if arm.family == "scx"]
        schedulers = guest_files(names, programs, notice)
        self._files = _workload_files(spec) | schedulers
        self._name = machine.name + _digest(schedulers)
        self.store = Store(root, spec, self._name)
        self._boot: Boot | None = None
        self._stopped = False

    def remaining(self) -> list[Cell]:
        """The runs that are still to be made, in their order."""
        return [cell for cell in cells(self.spec) if not self.store.has(cell)]

    def stop(self) -> None:
        """Give the run in progress up, and end. Safe in a signal handler and from another thread."""
        self._stopped = True
        boot = self._boot
        if boot is not None:
            boot.stop()

    def run(self, tell: Callable[[Progress], object] = lambda _: None) -> int:
        """Make all runs that are still to be made; returns how many were made.

        :param tell: called before each run.

        Raises :class:`WorkloadError` with the guest's reason where a run fails in it, :class:`CollectorError` where a
        guest fails.
        """
        todo, began, total = self.remaining(), time.monotonic(), len(cells(self.spec))
        for made, cell in enumerate(todo):
            tell(Progress.of(cell, made, len(todo), total, time.monotonic() - began))
            if self._stopped or not self._one(cell):
                return made
        return len(todo)

    def _one(self, cell: Cell) -> bool:
        """Whether the run was made; False if it was stopped."""
        with packages.scratch() as directory:
            self._boot = Boot(self._machine, directory)
            if self._stopped:
                self._boot.stop()
            said = bytearray()
            described = inside.described(self.spec, cell, self._loops_per_us())
            files = self._files | job_file(_COMMAND) | {inside.PATH: described}
            answer = self._boot.run(
                files, lambda kind, text: said.extend(text if kind == STDERR else b""), self._timeout_s
            )
            if answer is None:
                return False
            if answer.status:
                raise _failed(bytes(said), answer.status)
            unpack_results(directory, directory / "store")
            self._keep(cell, directory / "store")
        return True

    def _loops_per_us(self) -> float | None:
        """Virtual time has its own; in real time, those of the runs that are there, or None: the guest measures."""
        return self.store.loops_per_us() if self._machine.kvm else inside.loops_per_us(self._machine.cpus)

    def _keep(self, cell: Cell, made: Path) -> None:
        """Move a run from the guest's store to ours."""
        run = next((run for run in read_store(made)[1] if run.cell == cell), None)
        if run is None:
            raise CollectorError("cannot read the guest's results: the run is not among them (run it again)")
        target = self.store.begin(cell)
        shutil.copytree(made / "runs" / cell.key / target.name, target, dirs_exist_ok=True)
        self.store.finish(self._with_machine(run))

    def _with_machine(self, run: Run) -> Run:
        return replace(run, provenance={**run.provenance, "lab": self._name})


def _digest(schedulers: dict[str, bytes]) -> str:
    """What tells runs under other builds of a scheduler apart; empty without one."""
    digest = hashlib.sha256()
    for path, content in sorted(schedulers.items()):
        digest.update(path.encode() + hashlib.sha256(content).digest())
    return f", schedulers {digest.hexdigest()[:16]}" if schedulers else ""


def _failed(said: bytes, status: int) -> WorkloadError:
    last = (said[-_MOST_SAID:].decode(errors="replace").strip() or f"status {status}").splitlines()[-1]
    return WorkloadError(f"in the guest: {last}")


def _workload_files(spec: ExperimentSpec) -> dict[str, bytes]:
    """The workloads' files by their paths in the guest. Raises :class:`UsageError` where one is no workload."""
    files = {}
    for name in spec.workloads:
        load_workload(name)
        if name in preset_names():
            continue
        path = PurePosixPath(os.path.normpath(os.path.join(DIRECTORY, name)))
        if ".." in PurePosixPath(name).parts:
            raise UsageError(
                f"cannot use workload {name} in the lab: its path has .. in it (name it from its directory)"
            )
        files[str(path)] = Path(name).read_bytes()
    return files
