"""What became of each job in; the figures of a run and its verdict out."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedtel.durations import format_duration
from schedtel.workloads.plan import Plan

#: A job of a run: its class's number; its worker if the class is closed, else -1; then ns after the start of the run,
#: -1 where it did not come to that: due, released, begun, ended; its work, and the CPU time of the task that did it.
RESULT = np.dtype(
    [("class", "<i4"), ("worker", "<i4")]
    + [(f"{name}_ns", "<i8") for name in ("due", "released", "started", "ended", "work", "cpu")]
)
#: Quantiles that a run reports.
_QUANTILES = {"p50": 0.5, "p99": 0.99}


@dataclass(frozen=True)
class ExternalOutcome:
    """What became of a command of others.

    ``status`` is 0, or None where it was ended with the run, as those without an end of their own are.
    """

    name: str
    command: tuple[str, ...]
    status: int | None
    output: str


@dataclass(frozen=True)
class Outcome:
    """A run: its plan, and a record for each of its jobs in the plan's order.

    :param records: shape (n,) of :data:`~schedtel.workloads.generator.RECORD`.
    :param facts: what the generator says of itself.
    """

    plan: Plan
    records: NDArray[np.void]
    facts: dict[str, Any]
    loops_per_us: float
    externals: tuple[ExternalOutcome, ...] = field(default=())

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return bool(self.facts["interrupted"])

    @property
    def length_ns(self) -> int:
        return int(self.facts["ended_ns"] - self.facts["started_ns"])

    @cached_property
    def lateness_ns(self) -> NDArray[np.int64]:
        """How much later than planned the dispatcher released each job of open classes that it did release."""
        order = self.plan.order[: self.facts["released"]]
        planned = self.facts["started_ns"] + self.plan.jobs["at_ns"][order]
        return self.records["released_ns"][order] - planned

    @property
    def complaints(self) -> list[str]:
        """Why the run did not do what was planned; empty where it did. What the scheduler did is no complaint."""
        found, bound_ns = [], self.plan.workload.late_ns
        late_ns = quantile(self.lateness_ns, 0.99)
        if late_ns is not None and late_ns > bound_ns:
            found.append(
                f"late: one release in a hundred came {format_duration(late_ns)} after its moment or later; the bound "
                f"is {format_duration(bound_ns)} (give fewer jobs, or the right to SCHED_FIFO)"
            )
        for number, facts in enumerate(self.facts["classes"]):
            if facts["errors"]:
                name = self.plan.workload.classes[number].name
                found.append(
                    f"incomplete: the kernel refused {facts['errors']} forks, reads or writes of class {name} "
                    "(check limits and the disk)"
                )
        return found

    def summary(self) -> dict[str, Any]:
        """All figures, as JSON has them; times in ns."""
        cpu_ns = self.facts["dispatcher_cpu_ns"]
        return {
            "sha256": self.plan.sha256,
            "seed": self.plan.workload.seed,
            "length_ns": self.length_ns,
            "interrupted": self.interrupted,
            "loops_per_us": self.loops_per_us,
            "dispatcher": {
                "policy": self.facts["dispatcher_policy"],
                "cpu_ns": cpu_ns,
                "cpu_share": cpu_ns / max(1, self.length_ns),
                "released": self.facts["released"],
                **_distribution("late", self.lateness_ns),
            },
            "complaints": self.complaints,
            "classes": {c.name: self._of_class(number) for number, c in enumerate(self.plan.workload.classes)},
            "externals": {
                one.name: {"command": list(one.command), "status": one.status, "output": one.output}
                for one in self.externals
            },
        }

    @cached_property
    def jobs(self) -> NDArray[np.void]:
        """What became of each job that was released, shape (n,) of :data:`RESULT`, in the plan's order.

        Of a closed class, a job is released when a worker begins it, and what is planned beyond the end is not here.
        """
        jobs, records, started_ns = self.plan.jobs, self.records, self.facts["started_ns"]
        is_open = jobs["worker"] < 0
        found = np.zeros(len(jobs), RESULT)
        for name in ("class", "worker", "work_ns"):
            found[name] = jobs[name]
        found["cpu_ns"] = records["cpu_ns"]
        for name in ("released_ns", "started_ns", "ended_ns"):
            found[name] = np.where(records[name] > 0, records[name] - started_ns, -1)
        # A job of a closed class is due when its worker has thought; of an open one, at its planned moment.
        found["due_ns"] = np.where(is_open, jobs["at_ns"], found["released_ns"])
        return found[np.where(is_open, records["released_ns"], records["started_ns"]) > 0]

    def _of_class(self, number: int) -> dict[str, Any]:
        jobs = self.jobs[self.jobs["class"] == number]
        begun, ended = (jobs[jobs[name] >= 0] for name in ("started_ns", "ended_ns"))
        facts = self.facts["classes"][number]
        return {
            "planned": self.plan.counts[number] if self.plan.workload.classes[number].arrival.is_open else None,
            "released": len(jobs) + facts["repeated"],
            "completed": len(ended) + facts["repeated"],
            "unfinished": len(jobs) - len(ended),
            **_distribution("tat", ended["ended_ns"] - ended["due_ns"]),
            **_distribution("rt", begun["started_ns"] - begun["due_ns"]),
            **self._tardiness_of(number, jobs),
            "work_ns": int(ended["work_ns"].sum()),
            "cpu_ns": int(ended["cpu_ns"].sum()),
            **facts,
        }

    def _tardiness_of(self, number: int, jobs: NDArray[np.void]) -> dict[str, float | int | None]:
        """How many jobs of a class have missed their deadline, and their tardiness; None of a class without one.

        Tardiness is the time from the deadline to the end, and 0 of a job that ended in time. One that has not ended is
        late by the time up to the run's end, at least; while its deadline is still to come, it is not counted.
        """
        deadline_ns = self.plan.workload.classes[number].deadline_ns
        has_ended = jobs["ended_ns"] >= 0
        late_ns = np.where(has_ended, jobs["ended_ns"], self.length_ns) - jobs["due_ns"] - deadline_ns
        tardiness_ns = np.maximum(0, late_ns[has_ended | (late_ns > 0)]) if deadline_ns else late_ns[:0]
        missed = int((tardiness_ns > 0).sum()) if deadline_ns else None
        return {"deadline_ns": deadline_ns or None, "missed": missed, **_distribution("tardiness", tardiness_ns)}


def _distribution(name: str, values: NDArray[np.int64]) -> dict[str, float | int | None]:
    """Mean, quantiles and maximum in ns; None where there is no value."""
    quantiles = {f"{name}_{word}_ns": quantile(values, at) for word, at in _QUANTILES.items()}
    mean = float(values.mean()) if len(values) else None
    return {f"{name}_mean_ns": mean, **quantiles, f"{name}_max_ns": int(values.max()) if len(values) else None}


def quantile(values: NDArray[np.int64], at: float) -> int | None:
    """A value that occurred, below or at which that share of the values is."""
    return int(np.quantile(values, at, method="inverted_cdf")) if len(values) else None
