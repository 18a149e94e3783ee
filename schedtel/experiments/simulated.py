"""A run of an experiment in; the figures that the same plan has on a simulated machine out."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from schedtel.errors import RecordingError, UsageError
from schedtel.experiments.at_birth import is_whole, treated
from schedtel.experiments.outcomes import figures_of_jobs, figures_of_tasks, figures_of_waits
from schedtel.experiments.running import members_of, plan_of
from schedtel.experiments.spec import PLACEBO, ExperimentSpec, spec_of
from schedtel.experiments.store import NO_RUN, Run
from schedtel.schedulers.names import Arm, parse_arm
from schedtel.simulator.machine import DESCRIPTIONS, Machine
from schedtel.simulator.simulation import Simulation
from schedtel.workloads.plan import Plan
from schedtel.workloads.spec import Workload, load_workload

#: Seeds are below this.
_SEEDS = 1 << 63


def spec_from(stored: Mapping[str, Any], where: str) -> ExperimentSpec:
    """The experiment that a store or a packed file says it is of. Raises :class:`RecordingError` for another table."""
    try:
        table = {name: value for name, value in stored.items() if value is not None}
        for name in ("duration", "settle"):
            if f"{name}_ns" in table:
                ns = table.pop(f"{name}_ns")
                table[name] = f"{ns}ns" if ns else "0s"
        return spec_of(table, where)
    except (UsageError, *NO_RUN) as error:
        raise RecordingError(f"cannot read {where}: it says of no experiment what was run (is it damaged?)") from error


def scheduler_of(arm: Arm) -> str:
    """The simulator's name of what runs under an arm. Raises :class:`UsageError` for an arm that it does not have."""
    if arm.family in ("eevdf", "policy"):
        return "eevdf"
    if arm.family == "scx" and not arm.cgroup and arm.scheduler in DESCRIPTIONS:
        return arm.scheduler
    raise UsageError(f"cannot simulate {arm}: it is a program of others, or a cgroup's (leave the arm out)")


class Twins:
    """Simulates the plans of an experiment's runs.

    :param spec: what the runs are of.
    :param machine: what switches, migrations and the like cost; its CPUs and scheduler are those of each run.

    Raises :class:`UsageError` for a workload that is not there.
    """

    def __init__(self, spec: ExperimentSpec, machine: Machine) -> None:
        self._spec, self._machine = spec, machine
        self._workloads: dict[str, Workload] = {name: load_workload(name) for name in spec.workloads}
        self._members = members_of(self._workloads.values(), spec.classes)
        self._plan = lru_cache(64)(lambda cell: plan_of(spec, self._workloads, cell))

    def figures(self, run: Run) -> dict[str, float]:
        """The figures of a run's plan, simulated.

        Raises :class:`UsageError` for what cannot be simulated, and for a plan that is not the run's.
        """
        name = self._spec.baseline if run.cell.scheduler == PLACEBO else run.cell.scheduler
        arm = parse_arm(name)
        machine = replace(self._machine, scheduler=scheduler_of(arm), cpus=_cpus(run))
        plan = self._same_plan(run)
        workload = treated(plan.workload, arm, self._classes(plan.workload))
        if arm.family == "policy" and not is_whole(workload, arm):
            raise UsageError(f"cannot simulate {arm}: it sets more than a task's policy, nice, slice or CPUs")
        source = Simulation(replace(plan, workload=workload), machine, "1s")
        windows, ours = list(source), workload.is_task
        figures, _ = figures_of_jobs(source.outcome, self._spec.settle_ns)
        return figures | figures_of_tasks(windows, ours) | figures_of_waits(windows, ours)

    def _same_plan(self, run: Run) -> Plan:
        cell = replace(run.cell, scheduler="", repeat=0)  # which the plan does not depend on
        if cell.workload not in self._workloads or not 0 <= cell.seed < _SEEDS:
            raise UsageError(f"cannot simulate {cell.workload}: the run is none of its experiment (is it damaged?)")
        plan: Plan = self._plan(cell)
        if plan.sha256 != run.provenance.get("plan_sha256"):
            raise UsageError(
                f"cannot simulate {cell.workload}: its plan is not that of the run (has the workload changed since?)"
            )
        return plan

    def _classes(self, workload: Workload) -> dict[str, tuple[str, ...]]:
        own = {c.name for c in workload.classes}
        return {name: tuple(member for member in all_ if member in own) for name, all_ in self._members.items()}


def _cpus(run: Run) -> int:
    cpus = run.provenance.get("cpus")
    if not isinstance(cpus, int):
        raise RecordingError("cannot compare a run: it does not say how many CPUs it had (run it again)")
    return cpus
