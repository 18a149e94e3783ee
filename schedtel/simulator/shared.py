"""Schedulers with a queue for all CPUs, as bpf/sched_ext/ has them: a task in; a place in the queue out, and back.

A woken task goes to an idle CPU at once, past the queue. At a slice's end the first of the queue runs, and the task
that ran goes to the queue; where the queue is empty, it goes on.
"""

import numpy as np
from numpy.typing import NDArray

from schedtel.simulator.compiling import inlined
from schedtel.simulator.queues import choose_anew, is_before, remove, rise
from schedtel.simulator.state import FIFO, INTERACTIVE, VTIME, State


@inlined
def is_long(s: State, k: int) -> bool:
    """Whether interactive serves the task after all that have used less since they slept."""
    return s.tasks[k].used_ns >= s.machine[0].short_ns


@inlined
def push(s: State, k: int) -> None:
    """Queue a task: by its virtual time, of which a sleeper saves up a slice at most, or behind all others."""
    machine, task = s.machine[0], s.tasks[k]
    machine.sequence += 1
    if machine.scheduler == VTIME or (machine.scheduler == INTERACTIVE and is_long(s, k)):
        task.vruntime = max(task.vruntime, machine.vtime_now - machine.slice_ns)
        rise(s.longs, machine.longs, task.vruntime, machine.sequence, k)
        machine.longs += 1
    else:
        rise(s.shorts, machine.shorts, machine.sequence, machine.sequence, k)
        machine.shorts += 1


@inlined
def first_for(s: State, heap: NDArray[np.int64], size: int, c: int) -> int:
    """Where in the heap the first task is that may run on a CPU; -1 for none."""
    if not s.machine[0].is_pinned:
        return 0 if size > 0 else -1
    best = -1
    for at in range(size):
        if s.allowed[s.tasks[heap[at, 2]].pinned, c] and (best < 0 or is_before(heap, at, best)):
            best = at
    return best


@inlined
def pop_short(s: State, c: int) -> int:
    machine = s.machine[0]
    at = first_for(s, s.shorts, machine.shorts, c)
    if at < 0:
        return -1
    k = s.shorts[at, 2]
    remove(s.shorts, machine.shorts, at)
    machine.shorts -= 1
    return int(k)


@inlined
def pop_long(s: State, c: int) -> int:
    machine = s.machine[0]
    at = first_for(s, s.longs, machine.longs, c)
    if at < 0:
        return -1
    k = s.longs[at, 2]
    remove(s.longs, machine.longs, at)
    machine.longs -= 1
    return int(k)


@inlined
def pop(s: State, c: int) -> int:
    """The next task for a CPU; -1 for none. After so many short ones in a row, interactive takes a long one."""
    scheduler, cpu = s.machine[0].scheduler, s.cpus[c]
    if scheduler == VTIME:
        return pop_long(s, c)
    cpu.short_in_a_row += 1
    may_be_short = scheduler == FIFO or cpu.short_in_a_row <= s.machine[0].patience
    k = pop_short(s, c) if may_be_short else -1
    if k < 0:
        cpu.short_in_a_row = 0
        k = pop_long(s, c)
        if k < 0 and not may_be_short:
            k = pop_short(s, c)
    return k


@inlined
def choose(s: State, c: int) -> int:
    """The task that runs from now on; -1 for none. What ran before is in the queue if it has to wait."""
    cpu = s.cpus[c]
    before, chosen = cpu.current, cpu.local
    cpu.local = -1
    if chosen < 0:
        chosen = pop(s, c)
    if chosen < 0:
        return int(before)
    if before >= 0:
        push(s, before)
    return int(chosen)


@inlined
def enqueue(s: State, k: int) -> None:
    """Queue a runnable task where no CPU is idle. With interactive, it takes the first CPU that runs a long burst."""
    push(s, k)
    if s.machine[0].scheduler == INTERACTIVE and not is_long(s, k):
        for c in range(s.cpus.shape[0]):
            if s.cpus[c].runs_long and not s.cpus[c].pending and s.allowed[s.tasks[k].pinned, c]:
                choose_anew(s, c)
                break


@inlined
def slice_end(s: State, c: int, k: int, now: int, is_kept: bool) -> int:
    """When the task that gets the CPU now has used its slice."""
    machine, cpu = s.machine[0], s.cpus[c]
    if is_kept:  # the kernel gives it another slice, and its scheduler is not asked
        return int(now + machine.slice_ns)
    machine.vtime_now = max(machine.vtime_now, s.tasks[k].vruntime)
    cpu.runs_long = 1 if machine.scheduler == INTERACTIVE and is_long(s, k) else 0
    is_short = machine.scheduler == INTERACTIVE and not cpu.runs_long
    return int(now + (machine.short_ns if is_short else machine.slice_ns))
