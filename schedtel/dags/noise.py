"""A schedule and times that vary in; its makespans when its order is kept out.

That is how a schedule that was planned is used on a machine: each device keeps its jobs and their order, and each job
starts as soon as it can.
"""

from __future__ import annotations

import numpy as np

from schedtel.dags.dag import Dag
from schedtel.dags.schedule import Schedule


def draw_factors(jobs: int, draws: int, noise: float, seed: int) -> np.ndarray:
    """How long each job takes, as a multiple of its planned time, in each draw: uniform in 1 ± ``noise``."""
    return np.random.default_rng(seed).uniform(1 - noise, 1 + noise, (draws, jobs))


def actual_times(planned: np.ndarray | int, factors: np.ndarray) -> np.ndarray:
    """Planned times and factors → whole times, of at least 1."""
    return np.maximum(1, np.rint(planned * factors)).astype(np.int64)


def replayed(dag: Dag, schedule: Schedule, factors: np.ndarray) -> np.ndarray:
    """The makespan in each draw.

    :param factors: shape (draws, jobs).
    """
    ends = np.zeros(factors.shape, np.int64)
    free = np.zeros((len(factors), len(dag.place_of)), np.int64)
    # By start, this is an order of the graph as well: a job starts after the start of what it waits for.
    for job in sorted(range(len(dag.jobs)), key=lambda job: schedule.starts[job]):
        device = schedule.devices[job]
        place = dag.place_of[device]
        start = free[:, device].copy()
        for edge in dag.predecessors[job]:
            apart = dag.place_of[schedule.devices[edge.before]] != place
            np.maximum(start, ends[:, edge.before] + (edge.transfer if apart else 0), out=start)
        ends[:, job] = start + actual_times(dag.time_on(job, device), factors[:, job])
        free[:, device] = ends[:, job]
    return ends.max(axis=1)
