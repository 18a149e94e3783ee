"""A part of a job's graph that has ended in; those that begin once its result is with them out.

A part on the CPUs is a task that arrives when the last result that it needs is there. A part on a device is no task of
the scheduler's and needs no CPU: it waits for its device, has it for its time, and hands on what it has made. Only its
place in ``tasks`` is used, which stays as one that is not alive. The timers of parts are in the heap of sleepers, as
numbers behind those of all tasks.

What a run without graphs never does is kept apart from the engine's one function, which is slower the larger it is.
"""

from schedtel.simulator.compiling import apart, inlined
from schedtel.simulator.queues import first_waiting, make_ready, post, set_timer, wait_for
from schedtel.simulator.state import PEER, POST, SEND, State


@inlined
def scaled_time(s: State, k: int, time: int) -> int:
    """How long what takes a time of the graph takes in this job: the larger its work, the longer."""
    return int(s.tasks[k].work_ns * time // s.classes[s.tasks[k].group].total)


@inlined
def set_part_timer(s: State, part: int, moment: int) -> None:
    set_timer(s, s.tasks.shape[0] + part, moment)


@apart
def send(s: State, k: int, node: int, time: int, now: int) -> None:
    """What a task or a part has made goes to a part of the same job: at once, or for some time to another memory."""
    task = s.tasks[k]
    part = s.jobs[task.job].slot + node
    s.tasks[part].job = task.job
    s.tasks[part].work_ns = task.work_ns
    s.tasks[part].peer = k if task.node == 0 else task.peer
    transfer_ns = scaled_time(s, k, time)
    if transfer_ns > 0:
        set_part_timer(s, part, now + transfer_ns)
    else:
        arrive(s, part, now)


@inlined
def arrive(s: State, part: int, now: int) -> None:
    """A result that a part needs is there. With the last one it can begin."""
    task = s.tasks[part]
    task.missing -= 1
    if task.missing > 0:
        return
    if task.device < 0:
        make_ready(s, part)
        return
    task.wait_since_ns = now
    if s.semaphores[task.device, 0] > 0:
        s.semaphores[task.device, 0] -= 1
        begin_on_device(s, part, now)
    else:
        wait_for(s, task.device, part)


@inlined
def begin_on_device(s: State, part: int, now: int) -> None:
    task = s.tasks[part]
    task.burst_since_ns = now
    set_part_timer(s, part, now + max(1, scaled_time(s, part, s.program[task.pc, 1])))


@inlined
def end_on_device(s: State, part: int, now: int) -> None:
    """The part that has waited longest has the device next, and what was made is handed on."""
    task = s.tasks[part]
    task.ran_ns = now
    waiting = first_waiting(s, task.device)
    if waiting >= 0:
        begin_on_device(s, waiting, now)
    else:
        s.semaphores[task.device, 0] += 1
    task.pc += 1
    while s.program[task.pc, 0] == SEND:
        send(s, part, s.program[task.pc, 1], s.program[task.pc, 2], now)
        task.pc += 1
    if s.program[task.pc, 0] == POST:
        post(s, part, PEER)


@apart
def expire_part(s: State, part: int, now: int) -> None:
    """A part's timer is over: that of a transfer to it, or else that of its time on a device."""
    if s.tasks[part].missing > 0:
        arrive(s, part, now)
    else:
        end_on_device(s, part, now)
