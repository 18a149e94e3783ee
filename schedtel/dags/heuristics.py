"""A graph in; a schedule by a heuristic that the field compares with out.

- HEFT and CPOP: H. Topcuoglu, S. Hariri, M. Wu, "Performance-Effective and Low-Complexity Task Scheduling for
  Heterogeneous Computing", IEEE TPDS 13(3), 2002.
- PEFT: H. Arabnejad, J. Barbosa, "List Scheduling Algorithm for Heterogeneous Systems by an Optimistic Cost Table",
  IEEE TPDS 25(3), 2014.
- ETF: J. Hwang et al., "Scheduling Precedence Graphs in Systems with Interprocessor Communication Times", SIAM J.
  Comput. 18(2), 1989. MinMin: O. Ibarra, C. Kim, JACM 24(2), 1977, over the jobs that are ready.

A mean over devices takes those that can run the job. A mean transfer is an edge's time, times the share of pairs of
devices, a device with itself among them, that have two memories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush

import numpy as np

from schedtel.dags.dag import NEVER, Dag
from schedtel.dags.placement import ENDLESS, Placement
from schedtel.dags.schedule import Schedule


def mean_times(dag: Dag) -> np.ndarray:
    """The mean time of each job over the devices that can run it."""
    devices = range(len(dag.place_of))
    times = [[time for device in devices if (time := dag.time_on(job, device)) != NEVER] for job in _jobs(dag)]
    return np.array([sum(row) / len(row) for row in times])


def share_apart(dag: Dag) -> float:
    """The share of ordered pairs of devices that have two memories."""
    devices = len(dag.place_of)
    return 1 - sum(place.count**2 for place in dag.places) / devices**2


def upward_ranks(dag: Dag, transfers: float | None = None) -> np.ndarray:
    """For each job, the mean time from its start to the end of the graph along the longest way.

    :param transfers: how much a transfer counts; None: its mean.
    """
    share = share_apart(dag) if transfers is None else transfers
    ranks = mean_times(dag)
    for job in reversed(dag.order):
        ranks[job] += max((edge.transfer * share + ranks[edge.after] for edge in dag.successors[job]), default=0.0)
    return ranks


def downward_ranks(dag: Dag) -> np.ndarray:
    """For each job, the mean time before its start along the longest way."""
    share, times = share_apart(dag), mean_times(dag)
    ranks = np.zeros(len(dag.jobs))
    for job in dag.order:
        ways = (ranks[e.before] + times[e.before] + e.transfer * share for e in dag.predecessors[job])
        ranks[job] = max(ways, default=0.0)
    return ranks


def heft(dag: Dag) -> Schedule:
    """Jobs by their upward rank, each where it ends first, also in a gap."""
    ranks = upward_ranks(dag)
    made = Placement(dag)
    for job in sorted(_jobs(dag), key=lambda job: -ranks[job]):
        made.place(job, made.soonest(job, into_gaps=True)[1], into_gaps=True)
    return made.schedule()


def cpop(dag: Dag) -> Schedule:
    """The jobs of the critical path on the one device that runs them soonest, the others where they end first."""
    weights = upward_ranks(dag) + downward_ranks(dag)
    path = _critical_path(dag, weights)
    device = _device_for(dag, path)
    made = Placement(dag)
    for job in _by_rank(dag, weights):
        chosen = device if device is not None and job in path else made.soonest(job, into_gaps=True)[1]
        made.place(job, chosen, into_gaps=True)
    return made.schedule()


def _critical_path(dag: Dag, weights: np.ndarray) -> set[int]:
    """A way along which the weight is the largest there is."""
    job = max((job for job in _jobs(dag) if not dag.predecessors[job]), key=lambda job: weights[job])
    path = {job}
    while dag.successors[job]:
        job = max((edge.after for edge in dag.successors[job]), key=lambda job: weights[job])
        path.add(job)
    return path


def _device_for(dag: Dag, path: Iterable[int]) -> int | None:
    """The device on which all of these jobs take the least; None if none can run them all."""
    found: list[tuple[int, int]] = []
    for device in range(len(dag.place_of)):
        times = [dag.time_on(job, device) for job in path]
        if NEVER not in times:
            found.append((sum(times), device))
    return min(found)[1] if found else None


def _by_rank(dag: Dag, ranks: np.ndarray) -> Iterator[int]:
    """All jobs, always the one of the highest rank whose predecessors have come."""
    missing = [len(edges) for edges in dag.predecessors]
    ready: list[tuple[float, int]] = []
    for job in _jobs(dag):
        if not missing[job]:
            heappush(ready, (-float(ranks[job]), job))
    while ready:
        job = heappop(ready)[1]
        yield job
        for edge in dag.successors[job]:
            missing[edge.after] -= 1
            if not missing[edge.after]:
                heappush(ready, (-float(ranks[edge.after]), edge.after))


def peft(dag: Dag) -> Schedule:
    """By an optimistic cost table: jobs by its mean, each where its end and what must follow is the least."""
    table = _optimistic_costs(dag)
    made = Placement(dag)
    for job in _by_rank(dag, np.array([np.mean([c for c in row if c < ENDLESS]) for row in table])):
        devices = range(len(dag.place_of))
        ends = [made.earliest(job, device, into_gaps=True)[1] for device in devices]
        made.place(job, min(devices, key=lambda device: (ends[device] + table[job][device], device)), into_gaps=True)
    return made.schedule()


def _optimistic_costs(dag: Dag) -> list[list[float]]:
    """By job and device: the least time from the job's end there to the end of the graph, each device free for all."""
    share, devices = share_apart(dag), range(len(dag.place_of))
    table: list[list[float]] = [[0.0] * len(devices) for _ in dag.jobs]
    for job in reversed(dag.order):
        for device in devices:
            if dag.time_on(job, device) == NEVER:
                table[job][device] = ENDLESS
                continue
            table[job][device] = max(
                (
                    min(
                        table[e.after][other]
                        + dag.time_on(e.after, other)
                        + (e.transfer * share if dag.place_of[other] != dag.place_of[device] else 0)
                        for other in devices
                        if dag.time_on(e.after, other) != NEVER
                    )
                    for e in dag.successors[job]
                ),
                default=0.0,
            )
    return table


def etf(dag: Dag) -> Schedule:
    """Always the ready job and the device with the earliest start; of several the job with the most that follows."""
    levels = upward_ranks(dag, transfers=0.0)

    def key(made: Placement, job: int, device: int) -> tuple[float, ...]:
        start, end = made.earliest(job, device, into_gaps=False)
        return start, -float(levels[job]), end, job, device

    return _greedy(dag, key)


def minmin(dag: Dag) -> Schedule:
    """Always the ready job that ends first, on the device where it does."""

    def key(made: Placement, job: int, device: int) -> tuple[float, ...]:
        return made.earliest(job, device, into_gaps=False)[1], job, device

    return _greedy(dag, key)


def _greedy(dag: Dag, key: Callable[[Placement, int, int], tuple[float, ...]]) -> Schedule:
    """Place always the ready job and device whose key is the least."""
    made, missing = Placement(dag), [len(edges) for edges in dag.predecessors]
    ready = [job for job in _jobs(dag) if not missing[job]]
    while ready:
        pairs = ((key(made, job, device), job, device) for job in ready for device in range(len(dag.place_of)))
        _, job, device = min(pairs)
        made.place(job, device, into_gaps=False)
        ready.remove(job)
        for edge in dag.successors[job]:
            missing[edge.after] -= 1
            if not missing[edge.after]:
                ready.append(edge.after)
    return made.schedule()


def _jobs(dag: Dag) -> range:
    return range(len(dag.jobs))


#: Name → the heuristic, in the order in which they are shown.
HEURISTICS: dict[str, Callable[[Dag], Schedule]] = {
    "heft": heft,
    "cpop": cpop,
    "peft": peft,
    "etf": etf,
    "minmin": minmin,
}
