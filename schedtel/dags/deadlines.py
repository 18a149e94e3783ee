"""Periodic pipelines in; the most jobs that can meet their deadlines, by CP-SAT, out.

All jobs of one hyperperiod, from a start at which nothing is left of an earlier one. A job that does not meet its
deadline need not run at all, so this is a bound for whoever must finish late jobs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schedtel.dags.pipelines import DEVICES, Job, Pipeline, Stretch, edf, jobs_of, met
from schedtel.dags.solver import cp_model, solver


@dataclass(frozen=True)
class MostMet:
    """``met`` jobs meet their deadlines by these stretches, and no schedule has more than ``bound`` do so."""

    met: int
    bound: int
    seconds: float
    stretches: tuple[Stretch, ...]

    @property
    def proven(self) -> bool:
        return self.bound <= self.met


def most_met(chains: Sequence[Pipeline], limit_s: float) -> MostMet:
    """Look for the schedule that meets the most deadlines, for so many seconds; none is worse than EDF's.

    Raises :class:`CapabilityError` without OR-Tools.
    """
    jobs, known = jobs_of(chains), edf(chains)
    if met(jobs, known) == len(jobs):
        return MostMet(len(jobs), len(jobs), 0.0, known.stretches)
    cp = cp_model()
    model = cp.CpModel()
    paths = [_Path(model, job, chains[job.pipeline]) for job in jobs]
    for device in range(len(DEVICES)):
        model.add_no_overlap([span for path in paths for span in path.spans[device]])
    model.maximize(sum(path.met for path in paths))
    for number, (job, path) in enumerate(zip(jobs, paths, strict=True)):
        in_time = 0 <= known.ends[number] <= job.deadline
        path.hint(model, [one for one in known.stretches if in_time and one.job == number])
    search = solver(limit_s)
    status = search.solve(model)
    most, bound, stretches = met(jobs, known), len(jobs), known.stretches
    if status in (cp.OPTIMAL, cp.FEASIBLE) and search.objective_value + 0.5 >= most:
        most, bound = int(search.objective_value + 0.5), min(bound, int(search.best_objective_bound + 1e-6))
        stretches = tuple(one for number, path in enumerate(paths) for one in path.chosen(number, search))
    return MostMet(most, bound, search.wall_time, stretches)


class _Path:
    """A job as a way from its first kernel to behind its last: each step is a stretch on a device."""

    def __init__(self, model: Any, job: Job, chain: Pipeline) -> None:
        self.met = model.new_bool_var("")
        self.spans: list[list[Any]] = [[] for _ in DEVICES]
        self._starts = [model.new_int_var(job.release, job.deadline, "") for _ in range(chain.length + 1)]
        self._steps: list[tuple[Any, int, int, int, int]] = []
        into, out = defaultdict(list), defaultdict(list)
        for (first, last), times in chain.times.items():
            for device, time in enumerate(times):
                if time > job.deadline - job.release:
                    continue
                taken = model.new_bool_var("")
                start = self._starts[first]
                self.spans[device].append(model.new_optional_fixed_size_interval_var(start, time, taken, ""))
                model.add(self._starts[last + 1] >= start + time).only_enforce_if(taken)
                self._steps.append((taken, first, last, device, time))
                out[first].append(taken)
                into[last + 1].append(taken)
        model.add(sum(out[0]) == self.met)
        for kernel in range(1, chain.length):
            model.add(sum(into[kernel]) == sum(out[kernel]))

    def hint(self, model: Any, stretches: Sequence[Stretch]) -> None:
        """Begin the search with these stretches of the job; with none, it does not run."""
        begun = {(one.first, one.last, one.device): one.start for one in stretches}
        model.add_hint(self.met, bool(stretches))
        for taken, first, last, device, _ in self._steps:
            model.add_hint(taken, (first, last, device) in begun)
        for (first, _, _), start in begun.items():
            model.add_hint(self._starts[first], start)

    def chosen(self, number: int, search: Any) -> list[Stretch]:
        """The stretches of the way that was found."""
        found = []
        for taken, first, last, device, time in self._steps:
            if search.value(taken):
                start = int(search.value(self._starts[first]))
                found.append(Stretch(number, first, last, device, start, start + time))
        return found
