"""A state and how its tasks are to be scheduled in; the same moment under another scheduler, or other attributes, out.

No time passes. With another scheduler, each runnable task leaves its queue and enters the new one, which knows nothing
of it: so every task of the kernel changes its class when a scheduler of sched_ext is attached or leaves. With other
attributes a task leaves its queue and comes back with the lag that it has: ``__sched_setscheduler()`` in
kernel/sched/syscalls.c. Each CPU concerned chooses anew.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from schedtel.simulator.accounts import charge, scaled
from schedtel.simulator.compiling import inlined, kept, sources_digest
from schedtel.simulator.fair import join, leave_late, part
from schedtel.simulator.policies import busy_cpu
from schedtel.simulator.queues import append, choose_anew, remove, unlink
from schedtel.simulator.shared import push
from schedtel.simulator.state import EEVDF, State

#: What the scheduler is told of a task, in the order of the columns below.
ATTRIBUTES = ("weight", "is_batch", "is_idle", "slice_ns")
_WEIGHT, _BATCH, _IDLE, _SLICE = range(4)


@inlined
def differs(s: State, k: int, wanted: NDArray[np.int64]) -> bool:
    task = s.tasks[k]
    return bool(
        (task.weight != wanted[k, _WEIGHT])
        | (task.is_batch != wanted[k, _BATCH])
        | (task.is_idle != wanted[k, _IDLE])
        | (task.slice_ns != wanted[k, _SLICE])
    )


@inlined
def assign(s: State, k: int, wanted: NDArray[np.int64]) -> None:
    task = s.tasks[k]
    task.weight, task.is_batch = wanted[k, _WEIGHT], wanted[k, _BATCH]
    task.is_idle, task.slice_ns = wanted[k, _IDLE], wanted[k, _SLICE]


@inlined
def reenter(s: State, c: int, k: int, wanted: NDArray[np.int64]) -> None:
    """A runnable task of a CPU has these attributes from now on, and the lag and the time to its deadline as before."""
    if s.cpus[c].current >= 0:
        charge(s, c, s.machine[0].now_ns)
    if s.machine[0].scheduler == EEVDF:
        span = s.tasks[k].deadline - s.tasks[k].vruntime
        part(s, c, k)
        assign(s, k, wanted)
        join(s, c, k, span)
    else:
        assign(s, k, wanted)
    choose_anew(s, c)


@inlined
def treat_all(s: State, wanted: NDArray[np.int64]) -> None:
    for c in range(s.cpus.shape[0]):
        k = s.cpus[c].current
        if k >= 0 and differs(s, k, wanted):
            reenter(s, c, k, wanted)
        k = s.cpus[c].head
        while k >= 0:
            if differs(s, k, wanted):
                reenter(s, c, k, wanted)
            k = s.tasks[k].next
    for k in range(s.tasks.shape[0]):  # those that sleep, or wait in a queue of all CPUs
        assign(s, k, wanted)


# ---- another scheduler ----


@inlined
def empty_queues(s: State) -> int:
    """Take what waits out of its queue, into ``ready``, which is empty between events. Returns how many did wait.

    Tasks that sleep in a queue leave it, too.
    """
    machine, count = s.machine[0], 0
    for c in range(s.cpus.shape[0]):
        if s.cpus[c].current >= 0:
            charge(s, c, machine.now_ns)
        while s.cpus[c].head >= 0:
            k = s.cpus[c].head
            if s.tasks[k].is_delayed:
                leave_late(s, c, k)
            else:
                s.ready[count] = k
                unlink(s, c, k)
                count += 1
        if s.cpus[c].local >= 0:  # it is to go on once a task of others has ended
            s.ready[count] = s.cpus[c].local
            s.cpus[c].local = s.cpus[c].interrupted = -1
            count += 1
    while machine.shorts > 0:
        s.ready[count] = s.shorts[0, 2]
        remove(s.shorts, machine.shorts, 0)
        machine.shorts -= 1
        count += 1
    while machine.longs > 0:
        s.ready[count] = s.longs[0, 2]
        remove(s.longs, machine.longs, 0)
        machine.longs -= 1
        count += 1
    return count


@inlined
def know_nothing(s: State) -> None:
    """What the last scheduler knew of tasks and CPUs is gone."""
    s.machine[0].vtime_now = 0
    for k in range(s.tasks.shape[0]):
        task = s.tasks[k]
        task.vruntime = task.deadline = task.lag = 0
    for c in range(s.cpus.shape[0]):
        cpu = s.cpus[c]
        cpu.zero = cpu.weighted_sum = cpu.weight_sum = cpu.protected = 0
        cpu.runs_long = cpu.short_in_a_row = 0


@inlined
def enter(s: State, k: int, c: int) -> None:
    """A runnable task joins the queue of a CPU, with a new deadline."""
    join(s, c, k, scaled(s.tasks[k].slice_ns, s.tasks[k].weight))


@inlined
def replace_scheduler(s: State, scheduler: int, slice_ns: int) -> None:
    machine = s.machine[0]
    count = empty_queues(s)
    know_nothing(s)
    machine.scheduler, machine.slice_ns = scheduler, slice_ns
    if scheduler == EEVDF:
        for c in range(s.cpus.shape[0]):
            if s.cpus[c].current >= 0:
                enter(s, s.cpus[c].current, c)
    for at in range(count):
        k = s.ready[at]
        if scheduler == EEVDF:
            c = busy_cpu(s, k, False)
            enter(s, k, c)
            append(s, c, k)
        else:
            push(s, k)
    for c in range(s.cpus.shape[0]):
        choose_anew(s, c)


#: A state, the number of a scheduler, its slice in ns, and attributes of shape (tasks, 4) in; the state changed.
Swap = Callable[[State, int, int, NDArray[np.int64]], None]


def _keyed(digest: int) -> Swap:
    def swap(state: State, scheduler: int, slice_ns: int, wanted: NDArray[np.int64]) -> None:
        if digest:
            if state.machine[0].scheduler != scheduler:
                replace_scheduler(state, scheduler, slice_ns)
            treat_all(state, wanted)

    return swap


#: Schedule the tasks of a state otherwise from this moment on. The first call on a machine compiles for some seconds.
swap: Swap = kept(_keyed(sources_digest()))
