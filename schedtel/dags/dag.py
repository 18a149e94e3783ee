"""Jobs, their times on kinds of device, and what they hand to each other in; a checked graph out.

The rules of a schedule, for all of this package:

- A job runs on one device, from its start to its end without a break; a device runs one job at a time.
- A job starts when all its predecessors have ended. Where a predecessor ran in another *memory*, the transfer of its
  result takes the time of the edge besides; transfers do not delay each other.
- The devices of a kind have one memory together, or one each.

Times are whole numbers of the graph's unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean

MOST_JOBS, MOST_DEVICES, LONGEST = 2_000, 64, 10**9
#: A time on a kind of device that cannot run the job.
NEVER = -1
_MOST_SHOWN = 40


@dataclass(frozen=True)
class Kind:
    """Devices that are alike. ``own_memory``: each has a memory of its own; else they share one."""

    name: str
    count: int
    own_memory: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_DEVICES:
            raise UsageError(
                f"cannot use devices {self.name[:_MOST_SHOWN]!r}: there are {self.count} of them "
                f"(give 1 to {MOST_DEVICES})"
            )


@dataclass(frozen=True)
class Place:
    """The devices of one kind that share a memory: ``count`` of them, the first of which has number ``first``."""

    kind: int
    first: int
    count: int


@dataclass(frozen=True)
class Edge:
    """``after`` needs what ``before`` made; between memories that takes ``transfer`` units of time."""

    before: int
    after: int
    transfer: int = 0


@dataclass(frozen=True)
class Dag:
    """Jobs for devices of several kinds.

    :param jobs: their names.
    :param times: for each job, its time on each kind, or ``NEVER``.
    :param unit: of all times, for a person.
    :param note: where the times are from, if a person must know.

    Raises :class:`UsageError` for a cycle, a job that no device can run, and for what is out of range.
    """

    name: str
    kinds: tuple[Kind, ...]
    jobs: tuple[str, ...]
    times: tuple[tuple[int, ...], ...]
    edges: tuple[Edge, ...]
    unit: str = ""
    note: str = field(default="", kw_only=True)
    #: The jobs in an order in which each comes after its predecessors.
    order: tuple[int, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _check_size(self)
        for job, times in zip(self.jobs, self.times, strict=True):
            _check_times(self, job, times)
        _check_edges(self)
        object.__setattr__(self, "order", _in_order(self))

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The memories, in the order of kinds; the devices are numbered through them."""
        found: list[Place] = []
        first = 0
        for number, kind in enumerate(self.kinds):
            sizes = [1] * kind.count if kind.own_memory else [kind.count]
            for size in sizes:
                found.append(Place(number, first, size))
                first += size
        return tuple(found)

    @cached_property
    def place_of(self) -> tuple[int, ...]:
        """The place of each device."""
        return tuple(number for number, place in enumerate(self.places) for _ in range(place.count))

    @cached_property
    def device_names(self) -> tuple[str, ...]:
        """``cpu0``, ``cpu1``, ``gpu0`` …"""
        return tuple(f"{kind.name}{number}" for kind in self.kinds for number in range(kind.count))

    @cached_property
    def predecessors(self) -> tuple[tuple[Edge, ...], ...]:
        """For each job, the edges that lead to it."""
        return _by_job(len(self.jobs), ((edge.after, edge) for edge in self.edges))

    @cached_property
    def successors(self) -> tuple[tuple[Edge, ...], ...]:
        """For each job, the edges that lead away from it."""
        return _by_job(len(self.jobs), ((edge.before, edge) for edge in self.edges))

    def time_on(self, job: int, device: int) -> int:
        """The time of a job on a device, or ``NEVER``."""
        return self.times[job][self.places[self.place_of[device]].kind]

    @cached_property
    def least_times(self) -> np.ndarray:
        """The time of each job on the kind that is the fastest for it."""
        return np.array([min(time for time in times if time != NEVER) for times in self.times], np.int64)

    @cached_property
    def tails(self) -> np.ndarray:
        """For each job, the least time from its start to the end of the graph, on whatever devices."""
        tails = self.least_times.copy()
        for job in reversed(self.order):
            tails[job] += max((int(tails[edge.after]) for edge in self.successors[job]), default=0)
        return tails

    @cached_property
    def least_makespan(self) -> int:
        """A bound that no schedule is below: the longest chain, and the work of each job where it takes the least."""
        devices = len(self.place_of)
        return max(int(self.tails.max()), -(-int(self.least_times.sum()) // devices))

    def with_devices(self, counts: Mapping[str, int]) -> Dag:
        """The same jobs, for other numbers of devices. Raises :class:`UsageError` for a kind that it does not have."""
        known = [kind.name for kind in self.kinds]
        for name in counts:
            if name not in known:
                raise UsageError(f"cannot use devices {name[:_MOST_SHOWN]!r}: unknown ({did_you_mean(name, known)})")
        return replace(self, kinds=tuple(replace(k, count=counts.get(k.name, k.count)) for k in self.kinds))


def _by_job(count: int, pairs: Iterable[tuple[int, Edge]]) -> tuple[tuple[Edge, ...], ...]:
    lists: list[list[Edge]] = [[] for _ in range(count)]
    for job, edge in pairs:
        lists[job].append(edge)
    return tuple(map(tuple, lists))


def _refused(dag: Dag, why: str) -> UsageError:
    return UsageError(f"cannot use graph {dag.name[:_MOST_SHOWN]!r}: {why}")


def _check_size(dag: Dag) -> None:
    if not 1 <= len(dag.jobs) <= MOST_JOBS:
        raise _refused(dag, f"it has {len(dag.jobs)} jobs (give 1 to {MOST_JOBS})")
    devices = sum(kind.count for kind in dag.kinds)
    if not 1 <= devices <= MOST_DEVICES:
        raise _refused(dag, f"it has {devices} devices (give 1 to {MOST_DEVICES})")
    for what, names in (("job", dag.jobs), ("kind", [kind.name for kind in dag.kinds])):
        if len(set(names)) < len(names):
            raise _refused(dag, f"two of its {what}s have one name (name each of them once)")


def _check_times(dag: Dag, job: str, times: Sequence[int]) -> None:
    shown = job[:_MOST_SHOWN]
    if all(time == NEVER for time in times):
        kinds = ", ".join(kind.name for kind in dag.kinds)
        raise _refused(dag, f"no device can run job {shown!r} (give its time on one of {kinds})")
    for time in times:
        if time != NEVER and not 1 <= time <= LONGEST:
            raise _refused(dag, f"job {shown!r} takes {time} (give 1 to {LONGEST})")


def _check_edges(dag: Dag) -> None:
    if len({(edge.before, edge.after) for edge in dag.edges}) < len(dag.edges):
        raise _refused(dag, "an edge is there twice (give it once)")
    for edge in dag.edges:
        if not 0 <= edge.transfer <= LONGEST:
            shown = dag.jobs[edge.after][:_MOST_SHOWN]
            raise _refused(dag, f"a transfer to {shown!r} takes {edge.transfer} (give 0 to {LONGEST})")


def _in_order(dag: Dag) -> tuple[int, ...]:
    """The jobs, each after its predecessors, as near to the order of the file as can be."""
    missing = [len(edges) for edges in dag.predecessors]
    order = [job for job, count in enumerate(missing) if not count]
    for job in order:  # grows while it is walked
        for edge in dag.successors[job]:
            missing[edge.after] -= 1
            if not missing[edge.after]:
                order.append(edge.after)
    if len(order) < len(dag.jobs):
        raise _refused(dag, f"its jobs wait for each other: {_cycle(dag, missing)} (remove an edge)")
    return tuple(order)


def _cycle(dag: Dag, missing: Sequence[int]) -> str:
    """Names of jobs on a cycle: walked backwards, since each job that is left has a predecessor that is left."""
    job = next(number for number, count in enumerate(missing) if count)
    seen: list[int] = []
    while job not in seen:
        seen.append(job)
        job = next(edge.before for edge in dag.predecessors[job] if missing[edge.before])
    names = [dag.jobs[number][:_MOST_SHOWN] for number in reversed(seen[seen.index(job) :])]
    return " → ".join([*names[:5], "…"] if len(names) > 5 else [*names, names[0]])
