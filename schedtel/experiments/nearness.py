"""The runs of an experiment in; how far their simulated twins are from them, by workload, arm and figure, out."""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from schedtel.errors import UsageError
from schedtel.experiments.outcomes import figures_of_waits
from schedtel.experiments.packed import is_packed, unpack
from schedtel.experiments.simulated import Twins, spec_from
from schedtel.experiments.store import Run, machines_of, read_store
from schedtel.recordings.recording import Recording
from schedtel.simulator.machine import Machine
from schedtel.workloads.spec import load_workload

#: The figures that are compared, by the names that they are reported under.
FIGURES = {
    "TAT": "tat_mean_ns",
    "TAT p99": "tat_p99_ns",
    "RT": "rt_mean_ns",
    "RT p99": "rt_p99_ns",
    "wait": "wait_mean_ns",
    "wait p50": "wait_p50_ns",
    "wait p95": "wait_p95_ns",
    "wait p99": "wait_p99_ns",
    "CV": "share_cv",
    "Jain": "share_jain",
}
#: What of the runs' provenance says how quiet the machine was.
CONDITIONS = ("foreign_cpu_share", "steal_share", "load_average")


@dataclass(frozen=True)
class Row:
    """A figure of a workload under an arm.

    :param pairs: runs that have it, each beside a simulated one of the same plan.
    :param measured, simulated: medians over the runs.
    :param error: median over the runs of simulated / measured, less 1.
    """

    workload: str
    scheduler: str
    figure: str
    pairs: int
    measured: float
    simulated: float
    error: float


@dataclass(frozen=True)
class Nearness:
    """How near the simulator comes.

    :param where: kernels and CPUs of the runs.
    :param machine: the simulated machine; its CPUs and scheduler are those of each run.
    :param calibrated_on: workloads whose runs the machine's numbers are from. The others are held out.
    :param left_out: why runs have no twin → how many.
    :param conditions: medians over the runs of :data:`CONDITIONS`.
    """

    title: str
    where: str
    machine: dict[str, Any]
    calibrated_on: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: dict[str, int]
    conditions: dict[str, float]

    def median_errors(self, *, held_out: bool) -> dict[str, tuple[float, int]]:
        """Figure → the median of the errors without their signs, and of how many pairs of workload and arm."""
        found = {}
        for figure in FIGURES.values():
            rows = [r for r in self.rows if r.figure == figure and (r.workload not in self.calibrated_on) == held_out]
            if rows:
                found[figure] = (float(np.median([abs(row.error) for row in rows])), len(rows))
        return found


def nearness_of(
    path: str | os.PathLike[str],
    machine: Machine,
    calibrated_on: Sequence[str] = (),
    tell: Callable[[int, int], object] = lambda *_: None,
) -> Nearness:
    """Simulate the plan of each run in a directory, or in a file of packed runs, and compare.

    Where runs do not have the figures of their tasks' waits, these are read from their recordings.

    :param tell: called before each run with how many are done, and how many there are.

    Raises :class:`RecordingError` for what holds no experiment or is damaged, :class:`UsageError` if no run can be
    simulated, or if a workload to calibrate on is none of the experiment's.
    """
    stored, runs = unpack(path) if is_packed(path) else read_store(path)
    spec = spec_from(stored, str(path))
    for name in calibrated_on:
        if name not in spec.workloads:
            raise UsageError(f"cannot leave {name!r} out: {path} has no such workload (it has {list(spec.workloads)})")
    twins, pairs, left_out = Twins(spec, machine), defaultdict(list), Counter[str]()
    for done, run in enumerate(runs):
        tell(done, len(runs))
        try:
            simulated = twins.figures(run)
        except UsageError as error:
            left_out[str(error)] += 1
            continue
        pairs[run.cell.workload, run.cell.scheduler].append((_measured(Path(path), run), simulated))
    if not pairs:
        raise UsageError(f"cannot compare {path}: {_why(left_out)}")
    rows = [row for place, of in sorted(pairs.items()) for row in _rows(*place, of)]
    return Nearness(
        spec.title,
        machines_of(runs),
        machine.as_dict(),
        tuple(calibrated_on),
        tuple(rows),
        dict(left_out),
        _conditions(runs),
    )


def _why(left_out: Counter[str]) -> str:
    return left_out.most_common(1)[0][0] if left_out else "no run of it is whole (run it first)"


def _measured(root: Path, run: Run) -> dict[str, float]:
    """The run's figures, and those of its tasks' waits where it has a recording."""
    windows = root / "runs" / run.cell.key / "windows"
    waits = {}
    if FIGURES["wait"] not in run.figures and windows.is_dir():  # runs of before they had these figures
        waits = figures_of_waits(list(Recording(windows)), load_workload(run.cell.workload).is_task)
    return dict(run.figures) | waits


def _rows(workload: str, scheduler: str, pairs: Sequence[tuple[dict[str, float], dict[str, float]]]) -> list[Row]:
    found = []
    for figure in FIGURES.values():
        both = np.array([(a[figure], b[figure]) for a, b in pairs if a.get(figure, 0) > 0 and figure in b])
        if len(both):
            measured, simulated = np.median(both, axis=0).tolist()
            error = float(np.median(both[:, 1] / both[:, 0])) - 1
            found.append(Row(workload, scheduler, figure, len(both), measured, simulated, error))
    return found


def _conditions(runs: Sequence[Run]) -> dict[str, float]:
    found = {}
    for name in CONDITIONS:
        values = [value for run in runs if isinstance(value := run.provenance.get(name), int | float)]
        values = [value for value in values if math.isfinite(value)]
        if values:
            found[name] = float(np.median(values))
    return found
