"""Machines and an action for each in; the machines a step later, their rewards and what is seen of them out.

Each machine is a state of :mod:`schedtel.simulator`, whose engine moves it on: wake-ups, preemption, stealing and
balancing are done there and are not repeated here. An action changes on which CPUs a thread may run, as
``sched_setaffinity`` does, and moves it if it is on another.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.migrate_space import CPU_NUMBERS, GAIN, LARGE_NS, MANY, THREAD_NUMBERS
from schedtel.records.layout import BLOCKED, PREEMPT_WAIT, RUNNING, WAKEUP_WAIT
from schedtel.simulator.accounts import charge
from schedtel.simulator.compiling import inlined, kept, sources_digest
from schedtel.simulator.engine import advance
from schedtel.simulator.fair import join, part, transfer
from schedtel.simulator.policies import be_preempted
from schedtel.simulator.queues import append, choose_anew
from schedtel.simulator.state import State


class Fleet(NamedTuple):
    """Machines at one moment: the arrays of a :class:`State` with a dimension more, those that all of them share, and
    what an episode keeps beside. The shared ones are written by all, and never read.
    """

    machine: NDArray[np.void]
    tasks: NDArray[np.void]
    cpus: NDArray[np.void]
    event_keys: NDArray[np.int64]
    timers: NDArray[np.int64]
    semaphores: NDArray[np.int64]
    pending: NDArray[np.int64]
    ready: NDArray[np.int64]
    classes: NDArray[np.void]
    jobs: NDArray[np.void]
    allowed: NDArray[np.uint8]
    time_ns: NDArray[np.int64]
    shared: State
    kept_on: NDArray[np.int64]  # (machines, threads): the CPU that a thread is kept on; -1 for none
    lost_ns: NDArray[np.int64]  # (machines, threads): time lost since the episode began
    runnable: NDArray[np.float32]  # (machines, threads): mean share of time, of late
    places: NDArray[np.int64]  # (machines, threads): the CPU that a thread runs on, waits for, or ran on


@inlined
def state_of(f: Fleet, e: int) -> State:
    """One of the machines."""
    shared = f.shared
    return State(
        f.machine[e],
        f.tasks[e],
        f.cpus[e],
        f.event_keys[e],
        f.timers[e],
        shared.shorts,
        shared.longs,
        f.semaphores[e],
        f.pending[e],
        f.ready[e],
        shared.program,
        f.classes[e],
        f.jobs[e],
        shared.order,
        shared.changes,
        shared.records,
        f.allowed[e],
        f.time_ns[e],
        shared.histograms,
        shared.samples,
        shared.sums_ns,
        shared.preemptions,
        shared.trace,
    )


# ---- an action ----


@inlined
def act(f: Fleet, s: State, e: int, action: int) -> None:
    """Keep a thread on a CPU, let it go, or do nothing."""
    count = s.cpus.shape[0]
    k, c = action // (count + 1), action % (count + 1)
    if k >= s.tasks.shape[0]:
        return
    row, is_kept = s.tasks[k].pinned, c < count
    for other in range(count):
        s.allowed[row, other] = 0 if is_kept and other != c else 1
    if is_kept:
        f.kept_on[e, k] = c
        send(s, k, f.places[e, k], c)
        return
    f.kept_on[e, k] = -1
    for other in range(count):  # an idle CPU may take it now
        if s.cpus[other].current < 0:
            choose_anew(s, other)


@inlined
def send(s: State, k: int, source: int, c: int) -> None:
    """Move a runnable thread to a CPU; one that sleeps wakes there."""
    task, now = s.tasks[k], s.machine[0].now_ns
    if source == c or task.phase == BLOCKED:
        return
    if task.phase == RUNNING:
        charge(s, source, now)
        be_preempted(s, k, k, now)
        span = task.deadline - task.vruntime
        part(s, source, k)
        s.cpus[source].current = -1
        choose_anew(s, source)
        if s.cpus[c].current >= 0:
            charge(s, c, now)
        join(s, c, k, span)
        append(s, c, k)
    else:
        transfer(s, k, source, c)
    choose_anew(s, c)


# ---- what came of it ----


@inlined
def find_places(f: Fleet, s: State, e: int) -> None:
    """A waiting thread is where it is queued, any other where it last ran."""
    for k in range(s.tasks.shape[0]):
        f.places[e, k] = s.tasks[k].cpu
    for c in range(s.cpus.shape[0]):
        k = s.cpus[c].head
        while k >= 0:
            f.places[e, k] = c
            k = s.tasks[k].next


@inlined
def reward(f: Fleet, s: State, e: int, step_ns: int, by_cpu: NDArray[np.float32]) -> None:
    """Of each CPU: minus the time that its threads lost in the step, by waiting, switches and cold caches, for each
    thread of the machine, as a share of the step.
    """
    now, count = s.machine[0].now_ns, s.tasks.shape[0]
    for c in range(s.cpus.shape[0]):
        by_cpu[e, c] = 0.0
    for k in range(count):
        task = s.tasks[k]
        lost = s.time_ns[k, WAKEUP_WAIT] + s.time_ns[k, PREEMPT_WAIT] + task.overhead_ns
        if task.phase in (WAKEUP_WAIT, PREEMPT_WAIT):
            lost += now - task.since_ns
        by_cpu[e, f.places[e, k]] -= np.float32((lost - f.lost_ns[e, k]) / (count * step_ns))
        f.lost_ns[e, k] = lost
        f.runnable[e, k] += np.float32(GAIN * ((0.0 if task.phase == BLOCKED else 1.0) - f.runnable[e, k]))


@inlined
def see(f: Fleet, s: State, e: int, out: NDArray[np.float32], masks: NDArray[np.bool_]) -> None:
    """Write an observation, and which actions would change something."""
    machine, cpus, at = s.machine[0], s.cpus.shape[0], 0
    for c in range(cpus):
        out[e, at] = s.cpus[c].length / MANY
        out[e, at + 1] = 1.0 if s.cpus[c].current >= 0 else 0.0
        out[e, at + 2] = 0.0
        at += CPU_NUMBERS
    for k in range(s.tasks.shape[0]):
        task, place, on = s.tasks[k], f.places[e, k], f.kept_on[e, k]
        age = 0 if task.phase == RUNNING else min(machine.now_ns - task.ran_ns, machine.warm_ns)
        out[e, at] = f.runnable[e, k]
        out[e, at + 1] = 0.0 if task.phase == BLOCKED else 1.0
        out[e, at + 2] = 1.0 if task.phase == RUNNING else 0.0
        out[e, at + 3] = task.migration_ns / LARGE_NS
        out[e, at + 4] = 1.0 - age / machine.warm_ns
        out[e, at + 5] = 1.0 if on >= 0 else 0.0
        at += THREAD_NUMBERS
        for c in range(cpus):
            out[e, at + c] = 1.0 if (on if on >= 0 else place) == c else 0.0
            masks[e, k * (cpus + 1) + c] = on != c
        at += cpus
        masks[e, k * (cpus + 1) + cpus] = on >= 0
        if on >= 0:
            out[e, on * CPU_NUMBERS + 2] += np.float32(1.0 / MANY)
    masks[e, s.tasks.shape[0] * (cpus + 1)] = True


#: Machines, actions and a duration in; the machines so much later, and the rewards of their CPUs.
Step = Callable[[Fleet, NDArray[np.int32], int, NDArray[np.float32]], None]
#: Machines in; observations and masks.
Look = Callable[[Fleet, NDArray[np.float32], NDArray[np.bool_]], None]


def _keyed(digest: int) -> tuple[Step, Look]:
    def step(fleet: Fleet, actions: NDArray[np.int32], step_ns: int, by_cpu: NDArray[np.float32]) -> None:
        for e in range(actions.shape[0] if digest else 0):
            s = state_of(fleet, e)
            act(fleet, s, e, actions[e])
            advance(s, s.machine[0].now_ns + step_ns)
            find_places(fleet, s, e)
            reward(fleet, s, e, step_ns, by_cpu)

    def look(fleet: Fleet, observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> None:
        for e in range(observations.shape[0] if digest else 0):
            s = state_of(fleet, e)
            see(fleet, s, e, observations, masks)

    return step, look


_step, _look = _keyed(sources_digest(Path(__file__).parent))
#: A step of all machines. The first call on a machine compiles for some seconds.
step: Step = kept(_step)
#: What is seen of all machines.
look: Look = kept(_look)
