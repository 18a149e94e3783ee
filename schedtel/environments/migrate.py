"""MigrateSim: actions in; observations and rewards of simulated machines, whose threads are kept on CPUs, out."""

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.batched import Masks, Observations
from schedtel.environments.migrate_load import JOBS, Loads, loads_of
from schedtel.environments.migrate_space import MOST, WARM_NS, layout_of
from schedtel.environments.migrate_step import Fleet, look, step
from schedtel.errors import UsageError
from schedtel.simulator.beginning import beginning
from schedtel.simulator.engine import advance
from schedtel.simulator.machine import Machine
from schedtel.simulator.state import JOB, State
from schedtel.workloads.generator import RECORD
from schedtel.workloads.plan import make_plan
from schedtel.workloads.spec import parse_workload

_START_NS = 1_000_000_000
#: When all threads of a machine sleep: they have found their first job, which is due much later.
_ASLEEP_NS, _LATER_NS = _START_NS + 1_000_000, 1 << 50
#: A tick, which is the time from one action to the next, and steps of an episode.
STEP_NS, STEPS = 4_000_000, 250
_WORKLOAD = """
duration = "1s"
[classes.thread]
arrival = {{ kind = "closed", think = "1ms" }}
service = "1ms"
workers = {threads}
"""
#: The arrays that each machine has of its own: the first ones of a fleet.
_OWN = Fleet._fields[: Fleet._fields.index("shared")]


class MigrateSim:
    """Machines with threads that work and pause. Each step, one thread of a machine may be kept on a CPU, or let go.

    Threads that are not kept go where the kernel's rules send them: to idle CPUs, and to CPUs that steal them. Action
    ``thread * (cpus + 1) + cpu`` keeps a thread on a CPU and moves it there, ``thread * (cpus + 1) + cpus`` lets it go,
    and the last action does nothing. Actions that would change nothing are not allowed.

    ``cpu_rewards``, shape (count, cpus), has the parts of the last rewards by CPU.

    :param count: how many machines.
    :param group: which loads: one of ``schedtel.environments.migrate_load.GROUPS``; by default any.
    :param staggered: whether the first episodes end at different steps, so that no two machines are alike.

    Raises :class:`UsageError` for a machine without CPUs or threads, or with more than 64.
    """

    def __init__(self, count: int, cpus: int = 4, threads: int = 8, group: str = "", *, staggered: bool = True) -> None:
        if not (1 <= cpus <= MOST and 1 <= threads <= MOST and count >= 1):
            raise UsageError(f"cannot make {count} machines of {cpus} CPUs and {threads} threads (1 to {MOST} of each)")
        self.count, self.cpus, self.threads, self.group = count, cpus, threads, group
        self.layout = layout_of(cpus, threads)
        self.observation_size, self.action_count = self.layout.observation_size, self.layout.action_count
        self.cpu_rewards = np.zeros((count, cpus), np.float32)
        self._first_steps = np.arange(count) * STEPS // count if staggered else np.zeros(count, np.int64)
        asleep = _asleep(cpus, threads)
        self._asleep_own = {name: getattr(asleep, name) for name in _OWN}
        self.fleet = _fleet(asleep, count, threads)
        self._observations = np.zeros((count, self.observation_size), np.float32)
        self._masks = np.zeros((count, self.action_count), np.bool_)
        self._steps, self._episodes = self._first_steps.copy(), np.zeros(count, np.int64)
        self._cost = np.full(count, np.nan)
        self._seed, self._drawn = 0, (-1, loads_of(np.random.default_rng(0), 1, cpus, threads))

    def reset(self, seed: int) -> tuple[Observations, Masks]:
        """See :meth:`Batched.reset`."""
        self._seed, self._drawn = seed, (-1, self._drawn[1])
        self._steps[:], self._episodes[:], self._cost[:] = self._first_steps, 0, np.nan
        for place in range(self.count):
            self._begin(place)
        return self._look()

    def step(self, actions: NDArray[np.int32]) -> tuple[Observations, NDArray[np.float32], NDArray[np.bool_], Masks]:
        """See :meth:`Batched.step`. Rewards are minus the share of its time that a thread loses, on average."""
        step(self.fleet, np.ascontiguousarray(actions, np.int32), STEP_NS, self.cpu_rewards)
        self._steps += 1
        ended = self._steps >= STEPS
        for place in np.flatnonzero(ended).tolist():
            self._cost[place] = self._mean_tat_ns(place)
            self._steps[place] = 0
            self._episodes[place] += 1
            self._begin(place)
        observations, masks = self._look()
        return observations, self.cpu_rewards.sum(axis=1), ended, masks

    def cost(self) -> NDArray[np.float64]:
        """The mean turnaround time of a job in the last whole episode of each machine, in ns; NaN before one ended."""
        return self._cost

    @property
    def migration_ns(self) -> NDArray[np.int64]:
        """What moving each thread costs while its cache is warm, shape (count, threads)."""
        return self.fleet.tasks["migration_ns"]

    def _look(self) -> tuple[Observations, Masks]:
        look(self.fleet, self._observations, self._masks)
        return self._observations, self._masks

    def _mean_tat_ns(self, place: int) -> float:
        tasks = self.fleet.tasks[place]
        return float(tasks["burst_tat_sum_ns"].sum() / max(1, tasks["bursts"].sum()))

    def _loads(self, episode: int) -> Loads:
        """The loads of an episode, by its number: drawn for all machines together, since few begin at a step."""
        if episode != self._drawn[0]:
            draw = np.random.default_rng((self._seed, episode))
            self._drawn = (episode, loads_of(draw, self.count, self.cpus, self.threads, self.group))
        return self._drawn[1]

    def _begin(self, place: int) -> None:
        """Begin an episode of one machine."""
        loads, fleet = self._loads(int(self._episodes[place])), self.fleet
        for name, asleep in self._asleep_own.items():
            getattr(fleet, name)[place] = asleep
        tasks, jobs, pause_ns = fleet.tasks[place], fleet.jobs[place], loads.pause_ns[place]
        jobs["work_ns"], jobs["at_ns"] = loads.work_ns[place].reshape(-1), pause_ns.reshape(-1)
        tasks["migration_ns"], tasks["cpu"] = loads.migration_ns[place], loads.cpu[place]
        due_ns = _ASLEEP_NS + pause_ns[:, 0]
        order = np.argsort(due_ns, kind="stable")
        tasks["due_ns"] = due_ns
        timers = fleet.timers[place, : self.threads]
        timers[:, 0] = due_ns[order]
        timers[:, 1] = timers[:, 2] = order
        fleet.kept_on[place], fleet.lost_ns[place], fleet.runnable[place] = -1, 0, 0
        fleet.places[place] = loads.cpu[place]


def _asleep(cpus: int, threads: int) -> State:
    """A machine whose threads all sleep before their first job. No job of it is drawn yet."""
    plan = make_plan(parse_workload(_WORKLOAD.format(threads=threads), "MigrateSim"))
    state, _ = beginning(plan, Machine(cpus, warm_ns=WARM_NS), _START_NS)
    jobs = np.zeros(threads * JOBS, JOB)
    jobs["at_ns"], jobs["work_ns"], jobs["slot"] = _LATER_NS, 1, -1
    state.classes["each"] = JOBS
    state.machine["is_pinned"] = 1
    state.tasks["pinned"] = np.arange(threads)
    found = state._replace(
        jobs=jobs,
        records=np.zeros(len(jobs), RECORD),
        allowed=np.ones((threads, cpus), np.uint8),
        changes=np.zeros((0, 3), np.int64),  # the run never ends
        trace=state.trace[:0],
    )
    advance(found, _ASLEEP_NS)
    found.time_ns[:] = 0
    for name in ("bursts", "burst_tat_sum_ns", "overhead_ns", "migrations"):
        found.tasks[name] = 0
    found.tasks["since_ns"] = _ASLEEP_NS
    found.tasks["ran_ns"] = _START_NS - WARM_NS
    return found


def _fleet(asleep: State, count: int, threads: int) -> Fleet:
    own = {name: np.repeat(getattr(asleep, name)[None], count, axis=0) for name in _OWN}
    shape = (count, threads)
    return Fleet(
        **own,
        shared=asleep,
        kept_on=np.full(shape, -1, np.int64),
        lost_ns=np.zeros(shape, np.int64),
        runnable=np.zeros(shape, np.float32),
        places=np.zeros(shape, np.int64),
    )
