"""Periods of pipelines in; an environment in which a decision is what runs where, and how many kernels at once, out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schedtel.dags.pipelines import DEVICES, configurations, jobs_of, pipelines
from schedtel.environments import periodic_engine
from schedtel.environments.dag_arrays import Integers, Reals
from schedtel.environments.layout import Layout
from schedtel.environments.periodic_arrays import instance_of, runs_for
from schedtel.environments.stepping import MOST_COUNT, Buffers, Stepped, need_between
from schedtel.errors import UsageError


class PeriodicSim(Stepped):
    """``count`` machines, each of which runs one hyperperiod of a configuration that is drawn, again and again.

    An action is (pipeline x devices + device) x kernels + kernels at once - 1; the last action waits for the next
    moment at which a device is idle or a job ready. A reward is a met deadline's share of the episode's jobs, so an
    episode's sum is the share that was met. Observations and masks are overwritten by the next step.

    :param scale: factor of the published times, by which alone EDF meets all deadlines.
    :param periods_ms: the configurations to draw from; None: all 81.
    :param drops: whether a job that cannot meet its deadline any more is dropped; else it must be finished.
    :param in_turn: whether each environment keeps to one configuration, the first to the first, and so on in turn.
    """

    def __init__(
        self,
        count: int = 1,
        *,
        scale: float = 1.6,
        periods_ms: Sequence[Sequence[int]] | None = None,
        drops: bool = True,
        in_turn: bool = False,
    ) -> None:
        need_between("count", count, 1, MOST_COUNT)
        self.configurations = [tuple(one) for one in (configurations() if periods_ms is None else periods_ms)]
        if not self.configurations:
            raise UsageError("cannot make environments of no configuration: there is nothing to draw (give one)")
        sets = [pipelines(one, scale) for one in self.configurations]
        self.drops = drops
        self._instance = instance_of(sets, drops=drops)
        self._runs = runs_for(self._instance, count)
        if in_turn:
            self.keep_to(np.arange(count) % len(self.configurations))
        self._jobs = np.array([len(jobs_of(some)) for some in sets])
        chains, kernels = self._instance.times.shape[:2]
        actions = len(DEVICES) * kernels
        self.layout = Layout(periodic_engine.BESIDES, chains, periodic_engine.SEEN + actions, actions, 1)
        super().__init__(count, self.layout.observation_size, self.layout.action_count)

    def keep_to(self, numbers: Integers) -> None:
        """As :meth:`Configured.keep_to`."""
        self._runs.only[:] = numbers

    def _draws(self) -> NDArray[np.uint64]:
        return self._runs.random

    def _step(self, actions: NDArray[np.int32], written: Buffers) -> None:
        periodic_engine.step(
            self._instance, self._runs, actions, written.seen, written.rewards, written.ended, written.masks
        )

    def action(self, pipeline: int, device: int, kernels: int) -> int:
        """The action that runs so many kernels of a pipeline's oldest ready job as one stretch on a device."""
        return (pipeline * len(DEVICES) + device) * self._instance.times.shape[1] + kernels - 1

    def edf_actions(self) -> NDArray[np.int32]:
        """What EDF does in each environment: the earliest deadline, all that is left at once, where it ends first."""
        return np.array([self._edf(e) for e in range(self.count)], np.int32)

    def _edf(self, e: int) -> int:
        i, r = self._instance, self._runs
        k = int(r.configuration[e])
        able = [(int(i.deadline[k, n]), int(n), p) for p, n in enumerate(r.chosen[e]) if n >= 0]
        _, job, p = min(able)
        first, length = int(r.done[e, job]), int(i.length[p])
        ends = [
            max(int(r.now[e]), int(free)) + int(i.times[p, first, length - 1, d]) for d, free in enumerate(r.free[e])
        ]
        return self.action(p, int(np.argmin(ends)), length - first)

    def cost(self) -> Reals:
        """As :meth:`Scored.cost`: missed deadlines in percent of the jobs that a configuration has on average.

        So the mean over all configurations is the share of all their jobs.
        """
        missed = self._jobs[self.ended_configurations] - self.met
        return np.where(self.met < 0, np.nan, 100 * missed / self._jobs.mean())

    @property
    def met(self) -> NDArray[np.int64]:
        """How many jobs met their deadline in the last episode that ended in each environment; -1 for none."""
        return self._runs.ended_met

    @property
    def ended_configurations(self) -> NDArray[np.int64]:
        """Of which configuration that episode was."""
        return self._runs.ended_configuration
