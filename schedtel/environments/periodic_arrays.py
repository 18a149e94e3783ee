"""Periodic pipelines by their configurations in; the arrays that the engine of :mod:`periodic_engine` works on out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedtel.dags.pipelines import DEVICES, Pipeline, hyperperiod, jobs_of, least_rests
from schedtel.environments.dag_arrays import Integers


class Instance(NamedTuple):
    """The pipelines, and the jobs of one hyperperiod of each configuration."""

    times: Integers  # (pipelines, first kernel, last kernel, devices); -1 is no stretch
    length: Integers  # (pipelines): kernels
    rest: Integers  # (pipelines, kernels + 1): the least time from a kernel to the end
    period: Integers  # (configurations, pipelines)
    jobs: Integers  # (configurations, pipelines + 1): number of the first job of each
    release: Integers  # (configurations, jobs)
    deadline: Integers  # (configurations, jobs)
    drops: Integers  # (1): whether a job that cannot meet its deadline any more is dropped


class Runs(NamedTuple):
    """The state of each environment."""

    random: NDArray[np.uint64]  # (count)
    configuration: Integers  # (count)
    now: Integers  # (count)
    left: Integers  # (count): jobs that have neither ended nor been dropped
    free: Integers  # (count, devices)
    done: Integers  # (count, jobs): kernels that are done or under way
    ready: Integers  # (count, jobs): when the next can start
    over: NDArray[np.bool_]  # (count, jobs)
    only: Integers  # (count): the configuration of all its episodes; -1 where each draws one
    chosen: Integers  # (count, pipelines): its oldest job that is ready; -1 for none
    met: Integers  # (count)
    ended_met: Integers  # (count): of the last episode that ended
    ended_configuration: Integers  # (count)


def instance_of(sets: Sequence[Sequence[Pipeline]], *, drops: bool) -> Instance:
    """The arrays of configurations of the same pipelines."""
    chains = sets[0]
    longest, most = max(chain.length for chain in chains), max(len(jobs_of(some)) for some in sets)
    times = np.full((len(chains), longest, longest, len(DEVICES)), -1, np.int64)
    rest = np.zeros((len(chains), longest + 1), np.int64)
    for number, chain in enumerate(chains):
        for (first, last), row in chain.times.items():
            times[number, first, last] = row
        rest[number, : chain.length + 1] = least_rests(chain)
    release, deadline = np.zeros((2, len(sets), most), np.int64)
    for number, some in enumerate(sets):
        jobs = jobs_of(some)
        release[number, : len(jobs)] = [job.release for job in jobs]
        deadline[number, : len(jobs)] = [job.deadline for job in jobs]
    counts = [[0, *(hyperperiod(some) // chain.period for chain in some)] for some in sets]
    return Instance(
        times=times,
        length=np.array([chain.length for chain in chains], np.int64),
        rest=rest,
        period=np.array([[chain.period for chain in some] for some in sets], np.int64),
        jobs=np.cumsum(counts, axis=1).astype(np.int64),
        release=release,
        deadline=deadline,
        drops=np.array([int(drops)], np.int64),
    )


def runs_for(i: Instance, count: int) -> Runs:
    """The state of ``count`` environments, before any has begun."""
    jobs = i.release.shape[1]

    def whole(*shape: int) -> Integers:
        return np.zeros((count, *shape), np.int64)

    return Runs(
        random=np.zeros(count, np.uint64),
        configuration=whole(),
        now=whole(),
        left=whole(),
        free=whole(len(DEVICES)),
        done=whole(jobs),
        ready=whole(jobs),
        over=np.zeros((count, jobs), np.bool_),
        only=whole() - 1,
        chosen=whole(len(i.length)),
        met=whole(),
        ended_met=whole() - 1,
        ended_configuration=whole() - 1,
    )
