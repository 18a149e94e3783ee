"""What the engine works on: arrays of fixed types, and the numbers that they hold.

Everything is in one :class:`State`, so many machines are many states, and a state can be copied. Moments are ns on the
simulated clock, counts and indices integers; -1 is no task, no CPU, or no job. What one function hands to another has
64 bits, since numba compiles a function once for each type of its arguments.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedtel.records.layout import FINE_BUCKETS, SAMPLE_KINDS, TASK_BUCKETS

#: The schedulers, in the order of their numbers.
SCHEDULERS = ("eevdf", "vtime", "fifo", "interactive")
EEVDF, VTIME, FIFO, INTERACTIVE = range(4)

#: An instruction is an operation and two operands. ``queue`` below is a semaphore: see :data:`OWN` and :data:`PEER`.
(
    RUN,  # work a / b of the job's work on a CPU
    SLEEP,  # blocked for a ns
    DISK,  # blocked in iowait for a ns
    TAKE,  # the next job of class a, or wait for its release
    NEXT,  # the next job of a closed worker of class a, after its think time
    BEGIN,  # the job begins
    DONE,  # the job has ended
    WAIT,  # take one from semaphore a, or wait for one
    POST,  # add one to semaphore a, or wake the first that waits for it
    JUMP,  # go on at a
    LOOP,  # go on at a, until it was so b times
    FORK,  # a children of this task's node arrive
    SEND,  # the result goes to part a of the job's graph, with a transfer of b
    USE,  # have a device for a; of parts that are not on a CPU, and so the first instruction of each
    FREE,  # a life of class a is over: the next may arrive
    EXIT,  # the task completes
) = range(16)
#: Operands that name the semaphore of the task itself, and that of its partner or parent.
OWN, PEER = -1, -2

#: An event's key is twice its moment, and 1 more unless a burst ends: so bursts end before all else of that moment, and
#: a life that ends with a window belongs to it.
NEVER = 1 << 62
NICE_0_WEIGHT = 1024
IDLE_WEIGHT = 3

TASK = np.dtype(
    [
        # What it is.
        ("group", "<i4"),  # number of its class
        ("weight", "<i4"),
        ("is_batch", "<i4"),  # of policy batch or idle: it preempts nobody by waking
        ("is_idle", "<i4"),  # of policy idle
        ("pinned", "<i4"),  # row of ``allowed``
        ("device", "<i4"),  # of a part of a graph that is not on a CPU: the semaphore of its devices
        ("peer", "<i8"),
        ("worker", "<i4"),  # its number among the workers of its class
        ("node", "<i4"),  # its number in a tree or a graph; 0 of the root
        ("slice_ns", "<i8"),
        ("migration_ns", "<i8"),  # what it costs to warm another CPU's cache
        # What it does.
        ("pc", "<i4"),
        ("job", "<i4"),
        ("turn", "<i4"),  # of a closed worker: its next job
        ("is_again", "<i4"),  # it has done all its jobs, and does them again
        ("loops", "<i4"),
        ("missing", "<i4"),  # of a part of a graph: results that it needs and that are not there
        ("work_ns", "<i8"),
        ("remaining_ns", "<i8"),  # of the burst
        ("due_ns", "<i8"),
        ("cpu_at_begin_ns", "<i8"),
        # Where it is.
        ("phase", "<i4"),
        ("cpu", "<i8"),  # its last
        ("next", "<i8"),  # in the queue of a CPU
        ("previous", "<i8"),
        ("behind", "<i8"),  # the next of those that wait for the same semaphore
        ("since_ns", "<i8"),
        ("wait_since_ns", "<i8"),
        ("burst_since_ns", "<i8"),
        ("ran_ns", "<i8"),  # when it last left a CPU
        # What the scheduler knows of it.
        ("vruntime", "<i8"),
        ("deadline", "<i8"),
        ("lag", "<i8"),
        ("is_delayed", "<i8"),  # it sleeps, and stays in its queue until it is not ahead of the average
        ("used_ns", "<i8"),  # CPU time since it last slept
        ("load", "<i8"),  # average of its weight while it is runnable, and of 0 while it is not: see load.py
        ("load_at_ns", "<i8"),
        ("load_cpu", "<i8"),  # whose average it is in; -1 for none
        # Its life.
        ("arrival_ns", "<i8"),
        ("first_cpu_ns", "<i8"),
        ("completion_ns", "<i8"),
        ("total_cpu_ns", "<i8"),
        ("overhead_ns", "<i8"),  # of that: switches, and warming the caches of other CPUs
        # This window.
        ("max_wait_ns", "<i8"),
        ("burst_tat_sum_ns", "<i8"),
        ("voluntary_switches", "<i4"),
        ("involuntary_switches", "<i4"),
        ("wakeups", "<i4"),
        ("migrations", "<i4"),
        ("bursts", "<i4"),
        ("preemptor", "<i4"),  # group of the task that took its CPU
    ],
    align=True,
)

CPU = np.dtype(
    [
        ("current", "<i8"),
        ("local", "<i8"),  # woken for this CPU while it was idle; of schedulers with a shared queue
        ("pending", "<i4"),  # it has to choose anew
        ("busy", "<i4"),  # whether a task was on it when it last chose
        ("runs_long", "<i4"),
        ("short_in_a_row", "<i4"),
        ("interrupted", "<i8"),  # the task that a task of others took the CPU from, and that is to go on
        ("head", "<i8"),
        ("tail", "<i8"),
        ("length", "<i8"),  # of its queue; the current task is not in it
        ("delayed", "<i8"),  # tasks in the queue that sleep; they are not in its length
        ("asked_ns", "<i8"),  # for so long, a task of others is to have the CPU
        ("held_until_ns", "<i8"),  # a task of others has the CPU
        ("balance_at_ns", "<i8"),
        ("since_ns", "<i8"),
        ("charged_ns", "<i8"),  # the current task's time up to here is in its figures
        ("starts_ns", "<i8"),  # from here on it works: before, the switch and the cold cache take its time
        ("slice_end_ns", "<i8"),  # which the kernel notices at the next tick only
        ("zero", "<i8"),  # of virtual time, for the sum below
        ("weighted_sum", "<i8"),  # of weight x (vruntime - zero), the current task's included
        ("weight_sum", "<i8"),
        ("load", "<i8"),  # sum of the averages of the tasks that are here, or slept here last
        ("load_at_ns", "<i8"),
        ("protected", "<i8"),  # up to this vruntime the current task keeps the CPU
        ("busy_ns", "<i8"),
        ("idle_ns", "<i8"),
        ("switches", "<i8"),
    ],
    align=True,
)

CLASS = np.dtype(
    [
        ("first", "<i8"),  # its first job
        ("each", "<i8"),  # jobs of each worker, if it is closed
        ("taken", "<i8"),  # jobs that a task has begun
        ("backlog", "<i8"),  # lives that may not arrive yet
        ("alive", "<i8"),
        ("workers", "<i8"),
        ("active", "<i8"),  # workers of this phase
        ("repeated", "<i8"),
        ("total", "<i8"),  # of its graph's times, which is a job's work; 0 where there is none
        ("is_open", "<i4"),
        ("is_life", "<i4"),
    ],
    align=True,
)

JOB = np.dtype([("at_ns", "<i8"), ("work_ns", "<i8"), ("group", "<i4"), ("slot", "<i4")], align=True)

MACHINE = np.dtype(
    [
        ("scheduler", "<i4"),
        ("is_shared", "<i4"),  # whether CPUs share one speed: where one is idle, the others are faster
        ("is_pinned", "<i4"),  # whether any task may not use every CPU
        ("has_slices", "<i4"),  # whether tasks have slices of their own
        ("has_idle", "<i4"),  # whether any task is SCHED_IDLE
        ("stopped", "<i4"),  # closed workers begin no job any more
        ("slice_ns", "<i8"),
        ("short_ns", "<i8"),  # interactive: a longer burst is a long one, and the slice of a short one
        ("patience", "<i8"),
        ("tick_ns", "<i8"),
        ("switch_ns", "<i8"),
        ("warm_ns", "<i8"),
        ("balance_ns", "<i8"),
        ("steal_thousandths", "<i8"),  # how often a CPU that runs out of tasks looks for one elsewhere at once
        ("dispatch_ns", "<i8"),  # CPU time of what releases a job
        ("fork_ns", "<i8"),  # CPU time of what forks a life
        ("others_gap_ns", "<i8"),  # mean time between two tasks of others on the machine; 0 for none
        ("others_ns", "<i8"),  # mean CPU time of one
        ("others_at_ns", "<i8"),  # when the next one comes
        ("own_semaphores", "<i8"),  # index of the first task's
        ("start_ns", "<i8"),  # ticks are counted from here
        ("now_ns", "<i8"),
        ("events", "<i8"),
        ("released", "<i8"),  # jobs of ``order`` so far
        ("changed", "<i8"),  # rows of ``changes`` so far
        ("outstanding", "<i8"),  # jobs that were released or begun and have not ended
        ("timers", "<i8"),
        ("shorts", "<i8"),
        ("longs", "<i8"),
        ("sequence", "<i8"),
        ("drawn", "<i8"),
        ("vtime_now", "<i8"),
        ("asked", "<i8"),  # whether a CPU is to be taken by a task of others at this moment
        ("waker", "<i8"),  # the CPU from which tasks are woken at this moment; -1 if that is their own
        ("idle", "<i8"),  # CPUs without a task when they last chose
        ("pending", "<i8"),
        ("ready", "<i8"),
        ("traced", "<i8"),
    ],
    align=True,
)

#: What happened, in a trace: a task blocks or completes, and ``phase`` is what it is in then; a CPU changes from the
#: task ``before`` to another, with -1 for none; a task is woken, or arrives.
LEFT, SWITCHED, WOKEN, ARRIVED = range(4)
TRACED = np.dtype(
    [("time_ns", "<i8"), ("kind", "<i4"), ("cpu", "<i4"), ("before", "<i4"), ("task", "<i4"), ("phase", "<i8")]
)


class State(NamedTuple):
    """A machine and its tasks at one moment.

    Heaps have rows of key, order among equal keys, and task. A semaphore is a row of its count and the first and the
    last task that waits for it. There are three of each class, then one for the devices of each queue, then one of each
    task.
    """

    machine: NDArray[np.void]  # (1,) of MACHINE
    tasks: NDArray[np.void]  # (tasks,) of TASK
    cpus: NDArray[np.void]  # (CPUs,) of CPU
    event_keys: NDArray[np.int64]  # (CPUs,): when the current task's burst or slice ends
    timers: NDArray[np.int64]  # heap, by moment; parts of graphs have numbers behind those of all tasks
    shorts: NDArray[np.int64]  # heap: the queue of fifo, and of interactive's short bursts
    longs: NDArray[np.int64]  # heap: the queue of vtime, and of interactive's long bursts
    semaphores: NDArray[np.int64]
    pending: NDArray[np.int64]  # CPUs that have to choose anew, in order
    ready: NDArray[np.int64]  # tasks that become runnable at this moment, in order
    program: NDArray[np.int64]
    classes: NDArray[np.void]  # (classes,) of CLASS
    jobs: NDArray[np.void]  # (jobs,) of JOB
    order: NDArray[np.int32]  # jobs of open classes by release
    changes: NDArray[np.int64]  # moment, class and active workers; class -1 is the end of the run
    records: NDArray[np.void]  # (jobs,) of RECORD: what became of each job
    allowed: NDArray[np.uint8]  # (kinds of affinity, CPUs)
    time_ns: NDArray[np.int64]  # (tasks, 8), by phase
    histograms: NDArray[np.uint32]  # (tasks, 2, TASK_BUCKETS): waits, bursts
    samples: NDArray[np.uint32]  # (CPUs, 3, FINE_BUCKETS): wakeup wait, preempt wait, burst TAT
    sums_ns: NDArray[np.int64]  # (CPUs, 3, 2): sum and largest
    preemptions: NDArray[np.int64]  # (groups, groups, 3): count, sum and largest of waits, by victim and preemptor
    trace: NDArray[np.void]  # (events that are kept,) of TRACED


def histograms_for(tasks: int, cpus: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Empty histograms of tasks and of CPUs."""
    return (
        np.zeros((tasks, 2, TASK_BUCKETS), np.uint32),
        np.zeros((cpus, len(SAMPLE_KINDS), FINE_BUCKETS), np.uint32),
    )
