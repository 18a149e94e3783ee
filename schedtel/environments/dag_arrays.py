"""Graphs in; the arrays that the engine of :mod:`dag_engine` works on out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedtel.dags.dag import NEVER, Dag

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]


class Graphs(NamedTuple):
    """Several graphs, one after the other. Jobs and edges are numbered through all of them."""

    first: Integers  # (graphs + 1): first job of each
    sizes: Integers  # (graphs, places): devices of each place; 0 where a graph has fewer places
    scale: Reals  # (graphs): a bound below each makespan; times are shown as shares of it
    times: Integers  # (jobs, places): NEVER where it cannot run
    best: Integers  # (jobs): the place where it takes the least
    tails: Integers  # (jobs): the least time from its start to the end of the graph
    before_at: Integers  # (jobs + 1): where its predecessors begin
    before: Integers  # (edges): the predecessor, and the transfer
    transfer: Integers
    after_at: Integers  # (jobs + 1)
    after: Integers  # (edges): the successor


class Machines(NamedTuple):
    """The state of each environment. A job is a number within its graph; -1 is none, or not yet."""

    graph: Integers  # (count)
    random: NDArray[np.uint64]  # (count): state of the draws
    now: Integers  # (count)
    left: Integers  # (count): jobs that are not placed
    work: Integers  # (count, places): least times of the jobs left, by their best place
    running: Integers  # (count, places, devices): the job on each device
    missing: Integers  # (count, jobs): predecessors that have not ended
    unplaced: Integers  # (count, jobs): predecessors that are not placed
    ready: Integers  # (count, jobs): jobs whose predecessors have ended, the longest tail first
    ready_count: Integers  # (count)
    factor: Reals  # (count, jobs): how long a job takes, as a multiple of its time
    place: Integers  # (count, jobs)
    device: Integers  # (count, jobs): number within its place
    start: Integers  # (count, jobs)
    end: Integers  # (count, jobs)
    expected: Integers  # (count, jobs): its end as planned
    choice_job: Integers  # (count, choices)
    choice_place: Integers  # (count, choices)
    choices: Integers  # (count)
    noise: Reals  # (1)
    makespan: Integers  # (count): of the last episode that ended
    ended_graph: Integers  # (count): its graph
    ended_place: Integers  # (count, jobs): its schedule
    ended_device: Integers  # (count, jobs)
    ended_start: Integers  # (count, jobs)


def graphs_of(dags: Sequence[Dag]) -> Graphs:
    """The arrays of these graphs."""
    places, edges = max(len(dag.places) for dag in dags), [edge for dag in dags for edge in dag.edges]
    first = np.cumsum([0, *(len(dag.jobs) for dag in dags)])
    pairs = list(zip(first, dags, strict=False))
    before = [[(start + e.before, e.transfer) for e in es] for start, dag in pairs for es in dag.predecessors]
    after = [[start + e.after for e in es] for start, dag in pairs for es in dag.successors]
    times = np.full((first[-1], places), NEVER, np.int64)
    sizes = np.zeros((len(dags), places), np.int64)
    for number, (start, dag) in enumerate(pairs):
        sizes[number, : len(dag.places)] = [place.count for place in dag.places]
        for place, of in enumerate(dag.places):
            times[start : start + len(dag.jobs), place] = [row[of.kind] for row in dag.times]
    flat = [pair for row in before for pair in row] or [(0, 0)]
    return Graphs(
        first=first.astype(np.int64),
        sizes=sizes,
        scale=np.array([float(dag.least_makespan) for dag in dags]),
        times=times,
        best=np.where(times == NEVER, np.iinfo(np.int64).max, times).argmin(axis=1).astype(np.int64),
        tails=np.concatenate([dag.tails for dag in dags]),
        before_at=_ends(before),
        before=np.array([job for job, _ in flat], np.int64),
        transfer=np.array([transfer for _, transfer in flat], np.int64),
        after_at=_ends(after),
        after=np.array([job for row in after for job in row] if edges else [0], np.int64),
    )


def _ends(rows: Sequence[Sequence[object]]) -> Integers:
    return np.cumsum([0, *map(len, rows)]).astype(np.int64)


def machines_for(graphs: Graphs, count: int, choices: int, noise: float) -> Machines:
    """The state of ``count`` environments, before any has begun."""
    jobs, places, devices = int(np.diff(graphs.first).max()), graphs.sizes.shape[1], int(graphs.sizes.max())

    def whole(*shape: int) -> Integers:
        return np.zeros((count, *shape), np.int64)

    return Machines(
        graph=whole(),
        random=np.zeros(count, np.uint64),
        now=whole(),
        left=whole(),
        work=whole(places),
        running=whole(places, devices),
        missing=whole(jobs),
        unplaced=whole(jobs),
        ready=whole(jobs),
        ready_count=whole(),
        factor=np.ones((count, jobs)),
        place=whole(jobs),
        device=whole(jobs),
        start=whole(jobs),
        end=whole(jobs),
        expected=whole(jobs),
        choice_job=whole(choices),
        choice_place=whole(choices),
        choices=whole(),
        noise=np.array([noise]),
        makespan=whole() - 1,
        ended_graph=whole() - 1,
        ended_place=whole(jobs),
        ended_device=whole(jobs),
        ended_start=whole(jobs),
    )
