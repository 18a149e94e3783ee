"""Runs of some workloads in; what was beside the jobs on that machine, for a simulated one, out."""

import os
from collections.abc import Collection
from pathlib import Path

import numpy as np

from schedtel.durations import NS_PER_S
from schedtel.errors import UsageError
from schedtel.experiments.running import plan_of
from schedtel.experiments.simulated import spec_from
from schedtel.experiments.store import Run, read_store
from schedtel.recordings.recording import Recording
from schedtel.windows import tables
from schedtel.workloads.plan import Plan
from schedtel.workloads.spec import Workload, load_workload

_MILLION = 1_000_000
#: The name of the generator's own tasks, which are simulated as what they do.
_GENERATOR = "workload"


def calibrated(root: str | os.PathLike[str], workloads: Collection[str]) -> dict[str, int]:
    """Fields of a simulated machine, each the median over the runs of these workloads under the first arm.

    The CPU time of a release is what the generator says; tasks of others and how long work takes are from the windows.

    Raises :class:`RecordingError` for what holds no runs, :class:`UsageError` where none is of these workloads.
    """
    stored, runs = read_store(root)
    spec = spec_from(stored, str(root))
    chosen = [run for run in runs if run.cell.workload in workloads and run.cell.scheduler == spec.baseline]
    if not chosen:
        raise UsageError(f"cannot calibrate on {root}: no run under {spec.baseline} is of these workloads (name some)")
    loaded = {name: load_workload(name) for name in {run.cell.workload for run in chosen}}
    found = [_of_run(Path(root), run, plan_of(spec, loaded, run.cell), loaded[run.cell.workload]) for run in chosen]
    names = {name for each in found for name in each}
    return {name: int(np.median([each[name] for each in found if name in each])) for name in sorted(names)}


def _of_run(root: Path, run: Run, plan: Plan, workload: Workload) -> dict[str, float]:
    found = _others(root / "runs" / run.cell.key / "windows", workload)
    dispatcher_ns = run.provenance.get("dispatcher_cpu_ns")
    if isinstance(dispatcher_ns, int | float) and len(plan.order):
        found["dispatch_ns"] = min(max(0.0, dispatcher_ns), NS_PER_S) / len(plan.order)
    is_open = all(c.arrival.is_open for c in workload.classes)
    completed, counted, cpu_ns = (run.figures.get(name) for name in ("jobs_completed", "jobs_counted", "cpu_ns"))
    if is_open and completed == counted and cpu_ns and len(plan.jobs):
        slower = cpu_ns / int(plan.jobs["work_ns"].sum()) - 1
        found["slower_millionths"] = min(_MILLION, max(0.0, slower * _MILLION))
    return found


def _others(folder: Path, workload: Workload) -> dict[str, float]:
    """How often tasks of others took a CPU, and for how long."""
    wakeups = cpu_ns = length_ns = 0
    for window in Recording(folder):
        comms = window.tasks.column("comm").to_pylist()
        foreign = np.array([not workload.is_task(comm) and comm != _GENERATOR for comm in comms], bool)
        wakeups += int(tables.column(window.tasks, "wakeups")[foreign].sum())
        cpu_ns += int(tables.column(window.tasks, "cpu_ns")[foreign].sum())
        length_ns += window.end_ns - window.start_ns
    if not wakeups:
        return {}
    return {"others_gap_ns": min(length_ns / wakeups, 100 * NS_PER_S), "others_ns": min(cpu_ns / wakeups, NS_PER_S)}
