"""Jobs placed one by one in; when the next could start and end on each device out."""

from __future__ import annotations

from bisect import insort

from schedtel.dags.dag import NEVER, Dag
from schedtel.dags.schedule import Schedule

#: No moment of a schedule is later.
ENDLESS = 1 << 62


class Placement:
    """A schedule that grows job by job."""

    def __init__(self, dag: Dag) -> None:
        self.dag = dag
        self.ends: dict[int, int] = {}
        self._busy: list[list[tuple[int, int]]] = [[] for _ in dag.place_of]
        self._device: dict[int, int] = {}
        self._start: dict[int, int] = {}

    def __contains__(self, job: int) -> bool:
        return job in self.ends

    def arrival(self, job: int, device: int) -> int:
        """When all that the job needs has arrived in the memory of the device; its predecessors are placed."""
        place = self.dag.place_of[device]
        return max(
            (
                self.ends[edge.before] + (edge.transfer if self.dag.place_of[self._device[edge.before]] != place else 0)
                for edge in self.dag.predecessors[job]
            ),
            default=0,
        )

    def earliest(self, job: int, device: int, *, into_gaps: bool) -> tuple[int, int]:
        """The earliest start and end of a job on a device; ``(ENDLESS, ENDLESS)`` where it cannot run there.

        :param into_gaps: whether it may start before a job that was placed earlier, where there is room.
        """
        time = self.dag.time_on(job, device)
        if time == NEVER:
            return ENDLESS, ENDLESS
        start, spans = self.arrival(job, device), self._busy[device]
        if not into_gaps:
            start = max(start, spans[-1][1] if spans else 0)
            return start, start + time
        for begin, end in spans:
            if start + time <= begin:
                break
            start = max(start, end)
        return start, start + time

    def soonest(self, job: int, *, into_gaps: bool) -> tuple[int, int]:
        """The end and the device on which the job ends first; of several the first."""
        devices = range(len(self._busy))
        return min((self.earliest(job, device, into_gaps=into_gaps)[1], device) for device in devices)

    def place(self, job: int, device: int, *, into_gaps: bool) -> None:
        """Place a job as early as can be on a device."""
        start, end = self.earliest(job, device, into_gaps=into_gaps)
        self._device[job], self._start[job], self.ends[job] = device, start, end
        insort(self._busy[device], (start, end))

    def schedule(self) -> Schedule:
        """The schedule, once every job is placed."""
        jobs = range(len(self.dag.jobs))
        return Schedule(tuple(self._device[job] for job in jobs), tuple(self._start[job] for job in jobs))
