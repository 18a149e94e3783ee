"""Where and when each job runs in; its makespan, and every rule that it breaks, out.

:func:`broken_rules` is written from the rules in ``dag`` alone, and shares nothing with what makes schedules: it judges
them.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass

from schedtel.dags.dag import NEVER, Dag
from schedtel.errors import UsageError


@dataclass(frozen=True)
class Schedule:
    """The device and the start of each job."""

    devices: tuple[int, ...]
    starts: tuple[int, ...]

    def ends(self, dag: Dag) -> tuple[int, ...]:
        """The end of each job."""
        placed = zip(range(len(self.starts)), self.devices, self.starts, strict=True)
        return tuple(start + dag.time_on(job, device) for job, device, start in placed)

    def makespan(self, dag: Dag) -> int:
        """When the last job ends, from 0 on."""
        return max(self.ends(dag))


def broken_rules(dag: Dag, schedule: Schedule) -> list[str]:
    """A sentence for each rule that the schedule breaks; none for a schedule that can be."""
    if len(schedule.devices) != len(dag.jobs) or len(schedule.starts) != len(dag.jobs):
        return ["the schedule has another number of jobs than the graph"]
    broken = [text for job in range(len(dag.jobs)) if (text := _misplaced(dag, schedule, job))]
    return broken or [*_overlaps(dag, schedule), *_too_early(dag, schedule)]


def check(dag: Dag, schedule: Schedule) -> None:
    """Raise :class:`UsageError` with the first rule that the schedule breaks."""
    broken = broken_rules(dag, schedule)
    if broken:
        raise UsageError(f"cannot use the schedule of {dag.name[:40]!r}: {broken[0]} (make it again)")


def _misplaced(dag: Dag, schedule: Schedule, job: int) -> str:
    device = schedule.devices[job]
    if not 0 <= device < sum(kind.count for kind in dag.kinds):
        return f"{dag.jobs[job]} is on device {device}, which is not there"
    if dag.times[job][_kind_of(dag, device)[0]] == NEVER:
        return f"{dag.jobs[job]} is on a device that cannot run it"
    return f"{dag.jobs[job]} starts before 0" if schedule.starts[job] < 0 else ""


def _kind_of(dag: Dag, device: int) -> tuple[int, int]:
    """The kind of a device, and a number of its memory: -1 for the one that its kind shares."""
    for number, kind in enumerate(dag.kinds):
        if device < kind.count:
            return number, device if kind.own_memory else -1
        device -= kind.count
    raise LookupError(device)


def _end(dag: Dag, schedule: Schedule, job: int) -> int:
    return schedule.starts[job] + dag.times[job][_kind_of(dag, schedule.devices[job])[0]]


def _overlaps(dag: Dag, schedule: Schedule) -> list[str]:
    on: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for job, device in enumerate(schedule.devices):
        on[device].append((schedule.starts[job], _end(dag, schedule, job), job))
    found = []
    for spans in on.values():
        spans.sort()
        for (_, end, first), (start, _, second) in itertools.pairwise(spans):
            if start < end:
                found.append(f"{dag.jobs[first]} and {dag.jobs[second]} are on one device at {start}")
    return found


def _too_early(dag: Dag, schedule: Schedule) -> list[str]:
    found = []
    for edge in dag.edges:
        apart = _kind_of(dag, schedule.devices[edge.before]) != _kind_of(dag, schedule.devices[edge.after])
        arrival = _end(dag, schedule, edge.before) + (edge.transfer if apart else 0)
        if schedule.starts[edge.after] < arrival:
            before, after = dag.jobs[edge.before], dag.jobs[edge.after]
            found.append(f"{after} starts at {schedule.starts[edge.after]}, what {before} made arrives at {arrival}")
    return found
