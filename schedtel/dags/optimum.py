"""A graph in; the best schedule that CP-SAT finds within a time, and a bound that no schedule is below, out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schedtel.dags.dag import NEVER, Dag
from schedtel.dags.schedule import Schedule, check
from schedtel.dags.solver import cp_model, solver
from schedtel.errors import CapabilityError


@dataclass(frozen=True)
class Optimum:
    """What was found. ``proven``: no schedule has a smaller makespan; else none has one below ``bound``."""

    schedule: Schedule
    makespan: int
    bound: int
    seconds: float

    @property
    def proven(self) -> bool:
        return self.bound >= self.makespan


def optimum(dag: Dag, limit_s: float, hint: Schedule) -> Optimum:
    """Look for the best schedule.

    :param limit_s: for how long at most.
    :param hint: a schedule to begin with, such as HEFT's; what is found is not worse.

    Raises :class:`CapabilityError` without OR-Tools, or where not even a schedule was found in that time.
    """
    cp = cp_model()
    model, horizon = cp.CpModel(), hint.makespan(dag)
    jobs = [_Job(model, dag, job, horizon) for job in range(len(dag.jobs))]
    for number, place in enumerate(dag.places):
        spans = [job.spans[number] for job in jobs if number in job.spans]
        if place.count == 1:
            model.add_no_overlap(spans)
        else:
            model.add_cumulative(spans, [1] * len(spans), place.count)
    for edge in dag.edges:
        _precede(model, jobs[edge.before], jobs[edge.after], edge.transfer)
    last = model.new_int_var(min(dag.least_makespan, horizon), horizon, "")
    for job in jobs:
        model.add(last >= job.end)
    _add_areas(model, dag, jobs, last)
    for job, (device, start) in zip(jobs, zip(hint.devices, hint.starts, strict=True), strict=True):
        model.add_hint(job.start, start)
        for number, there in job.there.items():
            model.add_hint(there, number == dag.place_of[device])
    model.minimize(last)
    search = solver(limit_s)
    status = search.solve(model)
    if status not in (cp.OPTIMAL, cp.FEASIBLE):
        raise CapabilityError(f"cannot find a schedule of {dag.name[:40]!r} within {limit_s:g} s (give it longer)")
    found = _schedule(dag, jobs, search)
    check(dag, found)
    return Optimum(found, found.makespan(dag), int(search.best_objective_bound), search.wall_time)


class _Job:
    """The variables of a job: its start and end, in which place it is, and its span there."""

    def __init__(self, model: Any, dag: Dag, job: int, horizon: int) -> None:
        self.start, self.end = model.new_int_var(0, horizon, ""), model.new_int_var(0, horizon, "")
        self.there: dict[int, Any] = {}
        self.spans: dict[int, Any] = {}
        self.times = {n: time for n, p in enumerate(dag.places) if (time := dag.times[job][p.kind]) != NEVER}
        for place, time in self.times.items():
            self.there[place] = model.new_bool_var("")
            self.spans[place] = model.new_optional_interval_var(self.start, time, self.end, self.there[place], "")
        model.add_exactly_one(self.there.values())
        # This follows, but not for the solver before the place is chosen.
        model.add(self.end >= self.start + min(self.times.values()))


def _precede(model: Any, before: _Job, after: _Job, transfer: int) -> None:
    model.add(after.start >= before.end)
    if not transfer:
        return
    for place, here in before.there.items():
        if place in after.there:
            model.add(after.start >= before.end + transfer).only_enforce_if([here, ~after.there[place]])
        else:
            model.add(after.start >= before.end + transfer).only_enforce_if(here)


def _add_areas(model: Any, dag: Dag, jobs: list[_Job], last: Any) -> None:
    """The work of a place fits between 0 and the end on its devices: this follows, and shortens the proof."""
    for number, place in enumerate(dag.places):
        work = sum(job.times[number] * job.there[number] for job in jobs if number in job.there)
        model.add(place.count * last >= work)


def _schedule(dag: Dag, jobs: list[_Job], search: Any) -> Schedule:
    """The devices of a place are alike: each job takes one that is free, in the order of starts."""
    starts = [int(search.value(job.start)) for job in jobs]
    devices = [0] * len(jobs)
    free = [0] * len(dag.place_of)
    for number in sorted(range(len(jobs)), key=lambda number: starts[number]):
        job = jobs[number]
        place = next(place for place, there in job.there.items() if search.value(there))
        first, count = dag.places[place].first, dag.places[place].count
        device = min(range(first, first + count), key=lambda device: free[device])
        devices[number], free[device] = device, starts[number] + job.times[place]
    return Schedule(tuple(devices), tuple(starts))
