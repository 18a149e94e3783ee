"""Graphs in; an environment in which a decision is which ready job goes to which device, or that none does yet, out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schedtel.dags.dag import Dag
from schedtel.dags.schedule import Schedule
from schedtel.environments import dag_engine
from schedtel.environments.dag_arrays import Reals, graphs_of, machines_for
from schedtel.environments.layout import Layout
from schedtel.environments.stepping import MOST_COUNT, Buffers, Stepped, need_between
from schedtel.errors import UsageError

MOST_CHOICES, MOST_NOISE = 512, 0.9
#: Jobs of all environments together: what they hold takes about 100 bytes each.
_MOST_JOBS = 1 << 24


class DagSim(Stepped):
    """``count`` machines, each of which schedules a graph that is drawn from the given ones, again and again.

    An action below ``choices`` puts a ready job on a device; which, the observation says, ``dag_engine.SEEN`` numbers
    for each. The last action waits for the next end of a job. The rules are those of :mod:`schedtel.dags.dag`. A reward
    is minus the time that passed, as a share of the graph's ``least_makespan``: an episode's sum is minus its makespan
    by that. Observations and masks are overwritten by the next step.

    :param choices: most pairs of a job and a place to choose from; where there are more, those with the longest tails.
    :param noise: jobs take their times, times a factor drawn uniformly in 1 ± this. What is seen is as planned.
    """

    def __init__(self, dags: Sequence[Dag], count: int = 1, *, choices: int = 24, noise: float = 0.0) -> None:
        need_between("count", count, 1, MOST_COUNT)
        need_between("choices", choices, 1, MOST_CHOICES)
        need_between("noise", noise, 0, MOST_NOISE)
        need_between("graphs", len(dags), 1, MOST_COUNT)
        jobs = max(len(dag.jobs) for dag in dags)
        if jobs * count > _MOST_JOBS:
            raise UsageError(
                f"cannot make {count} environments of {jobs} jobs: too many (at most {_MOST_JOBS // jobs})"
            )
        self.dags, self.choices = tuple(dags), choices
        self.layout = Layout(0, choices + 1, dag_engine.SEEN, 1, 0, alone=True)
        self._graphs = graphs_of(dags)
        self._machines = machines_for(self._graphs, count, choices, noise)
        super().__init__(count, self.layout.observation_size, self.layout.action_count)

    def _draws(self) -> NDArray[np.uint64]:
        return self._machines.random

    def _step(self, actions: NDArray[np.int32], written: Buffers) -> None:
        dag_engine.step(
            self._graphs, self._machines, actions, written.seen, written.rewards, written.ended, written.masks
        )

    def cost(self) -> Reals:
        """As :meth:`Scored.cost`: the makespan."""
        return np.where(self.makespans < 0, np.nan, self.makespans)

    @property
    def makespans(self) -> NDArray[np.int64]:
        """The makespan of the last episode that ended in each environment; -1 for none."""
        return self._machines.makespan

    @property
    def ended_graphs(self) -> NDArray[np.int64]:
        """Of which graph that episode was."""
        return self._machines.ended_graph

    @property
    def graphs(self) -> NDArray[np.int64]:
        """The graph of the episode that each environment is in."""
        return self._machines.graph

    def factors(self, environment: int) -> NDArray[np.float64]:
        """How long the jobs of the current episode take, as multiples of their times."""
        jobs = len(self.dags[int(self.graphs[environment])].jobs)
        return self._machines.factor[environment, :jobs].copy()

    def last_schedule(self, environment: int) -> Schedule:
        """The schedule of the last episode that ended: of ``ended_graphs``, with its makespan."""
        m, dag = self._machines, self.dags[int(self.ended_graphs[environment])]
        rows = (values[environment, : len(dag.jobs)].tolist() for values in (m.ended_place, m.ended_device))
        devices = tuple(dag.places[place].first + device for place, device in zip(*rows, strict=True))
        return Schedule(devices, tuple(m.ended_start[environment, : len(dag.jobs)].tolist()))

    def choice(self, environment: int, action: int) -> tuple[int, int]:
        """The job and the place that an action below ``choices`` stands for; the mask must have it."""
        m = self._machines
        return int(m.choice_job[environment, action]), int(m.choice_place[environment, action])
