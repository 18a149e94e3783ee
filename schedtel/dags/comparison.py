"""A graph and names of methods in; a checked schedule by each, and how far it is from the optimum, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schedtel.dags.dag import Dag
from schedtel.dags.heuristics import HEURISTICS, heft
from schedtel.dags.noise import draw_factors, replayed
from schedtel.dags.optimum import Optimum, optimum
from schedtel.dags.schedule import Schedule, check

OPTIMUM = "optimum"
METHODS = (*HEURISTICS, OPTIMUM)


@dataclass(frozen=True)
class Comparison:
    """Schedules by method.

    :param bound: no schedule has a smaller makespan.
    :param found: what CP-SAT said, where it was asked.
    """

    dag: Dag
    schedules: dict[str, Schedule]
    bound: int
    found: Optimum | None = None
    noisy: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def best(self) -> str:
        """The method with the least makespan; of several the last."""
        return min(reversed(self.schedules), key=lambda method: self.schedules[method].makespan(self.dag))

    @property
    def bound_is_reached(self) -> bool:
        """Whether a schedule has the makespan of the bound, and so is an optimum."""
        return self.schedules[self.best].makespan(self.dag) <= self.bound

    def over(self, method: str) -> float:
        """By which share a method's makespan is above the bound."""
        return self.schedules[method].makespan(self.dag) / self.bound - 1

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        dag = self.dag
        return {
            "graph": dag.name,
            "unit": dag.unit,
            "note": dag.note,
            "jobs": len(dag.jobs),
            "edges": len(dag.edges),
            "devices": list(dag.device_names),
            "bound": self.bound,
            "bound_is_reached": self.bound_is_reached,
            "methods": {method: self._of(method) for method in self.schedules},
        }

    def _of(self, method: str) -> dict[str, Any]:
        dag, schedule = self.dag, self.schedules[method]
        placed = zip(dag.jobs, schedule.devices, schedule.starts, schedule.ends(dag), strict=True)
        found: dict[str, Any] = {
            "makespan": schedule.makespan(dag),
            "over_bound": self.over(method),
            "jobs": [
                {"job": job, "device": dag.device_names[device], "start": start, "end": end}
                for job, device, start, end in placed
            ],
        }
        if method in self.noisy:
            mean, p95 = noisy_figures(self.noisy[method])
            found |= {"noisy_makespan_mean": mean, "noisy_makespan_p95": p95}
        return found


def noisy_figures(makespans: np.ndarray) -> tuple[float, float]:
    """The mean and the 95th percentile of makespans."""
    return float(makespans.mean()), float(np.percentile(makespans, 95))


def compare(
    dag: Dag, methods: Sequence[str], limit_s: float, *, noise: float = 0.0, draws: int = 0, seed: int = 1
) -> Comparison:
    """Schedules by each method; every one is judged by the rules before it is told of.

    :param limit_s: for how long CP-SAT may look.
    :param noise: with ``draws``, the order of each schedule is kept while times vary by this share.

    Raises :class:`CapabilityError` where the optimum is asked for without OR-Tools.
    """
    schedules = {method: HEURISTICS[method](dag) for method in methods if method != OPTIMUM}
    found = None
    if OPTIMUM in methods:
        hint = min([heft(dag), *schedules.values()], key=lambda schedule: schedule.makespan(dag))
        found = optimum(dag, limit_s, hint)
        schedules[OPTIMUM] = found.schedule
    for schedule in schedules.values():
        check(dag, schedule)
    bound = max(dag.least_makespan, found.bound if found else 0)
    noisy = {}
    if draws:
        factors = draw_factors(len(dag.jobs), draws, noise, seed)
        noisy = {method: replayed(dag, schedule, factors) for method, schedule in schedules.items()}
    return Comparison(dag, schedules, bound, found, noisy)
