"""What became of each job in; the figures of a run and its verdict out."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedtel.durations import format_duration
from schedtel.workloads.plan import Plan

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
        late_ns = _quantile(self.lateness_ns, 0.99)
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

    def _of_class(self, number: int) -> dict[str, Any]:
        task_class, jobs = self.plan.workload.classes[number], self.plan.of_class(number)
        first = sum(self.plan.counts[:number])
        records = self.records[first : first + len(jobs)]
        is_open = task_class.arrival.is_open
        # Work of a closed class is due when its worker has thought; of an open one, at its planned moment.
        due_ns = self.facts["started_ns"] + jobs["at_ns"] if is_open else records["released_ns"]
        released, started, ended = (records[name] > 0 for name in ("released_ns", "started_ns", "ended_ns"))
        facts = self.facts["classes"][number]
        repeated = facts["repeated"]
        return {
            "planned": len(jobs) if is_open else None,
            "released": int((released if is_open else started).sum()) + repeated,
            "completed": int(ended.sum()) + repeated,
            "unfinished": int(((released if is_open else started) & ~ended).sum()),
            **_distribution("tat", records["ended_ns"][ended] - due_ns[ended]),
            **_distribution("rt", records["started_ns"][started] - due_ns[started]),
            "work_ns": int(jobs["work_ns"][ended].sum()),
            "cpu_ns": int(records["cpu_ns"][ended].sum()),
            **facts,
        }


def _distribution(name: str, values: NDArray[np.int64]) -> dict[str, float | int | None]:
    """Mean, quantiles and maximum in ns; None where there is no value."""
    quantiles = {f"{name}_{word}_ns": _quantile(values, at) for word, at in _QUANTILES.items()}
    mean = float(values.mean()) if len(values) else None
    return {f"{name}_mean_ns": mean, **quantiles, f"{name}_max_ns": int(values.max()) if len(values) else None}


def _quantile(values: NDArray[np.int64], at: float) -> int | None:
    """A value that occurred, below or at which that share of the values is."""
    return int(np.quantile(values, at, method="inverted_cdf")) if len(values) else None
