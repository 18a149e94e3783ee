"""A task that has done its burst in; what its job says next out. Nothing here takes time, except what it asks for."""

from schedtel.records.layout import BLOCKED, IOWAIT, NOT_ALIVE, RUNNING
from schedtel.simulator.compiling import inlined
from schedtel.simulator.graphs import send
from schedtel.simulator.policies import begin_burst, begin_job, take_released
from schedtel.simulator.queues import make_ready, post, semaphore_of, set_timer, wait, wait_for
from schedtel.simulator.state import (
    BEGIN,
    DISK,
    DONE,
    EXIT,
    FORK,
    FREE,
    JUMP,
    LOOP,
    NEXT,
    POST,
    RUN,
    SEND,
    SLEEP,
    TAKE,
    WAIT,
    State,
)


@inlined
def proceed(s: State, k: int, now: int) -> int:  # noqa: C901, PLR0912  (numba has no table of functions to inline)
    """Follow the task's instructions to its next burst. Returns the phase that it is in then."""
    task = s.tasks[k]
    phase = 0
    while phase == 0:
        operation, a, b = s.program[task.pc, 0], s.program[task.pc, 1], s.program[task.pc, 2]
        if operation == RUN:
            begin_burst(s, k)
            return RUNNING
        if operation == BEGIN:
            phase = begin(s, k, now)
        elif operation == TAKE:
            phase = take_job(s, k, a)
        elif operation == NEXT:
            phase = next_job(s, k, a, now)
        elif operation == JUMP:
            task.pc = a
        elif operation == LOOP:
            loop(s, k, a, b)
        else:
            task.pc += 1
            if operation in (SLEEP, DISK):
                set_timer(s, k, now + a)
                phase = BLOCKED if operation == SLEEP else IOWAIT
            elif operation == DONE:
                end_job(s, k, now)
            elif operation == WAIT:
                phase = wait(s, k, semaphore_of(s, k, a))
            elif operation == POST:
                post(s, k, a)
            elif operation == FORK:
                fork(s, k, a)
            elif operation == SEND:
                send(s, k, a, b, now)
            elif operation == FREE:
                free_place(s, a)
            elif operation == EXIT:
                phase = NOT_ALIVE
    return phase


@inlined
def loop(s: State, k: int, at: int, times: int) -> None:
    task = s.tasks[k]
    task.loops += 1
    if task.loops < times:
        task.pc = at
    else:
        task.loops = 0
        task.pc += 1


# ---- jobs ----


@inlined
def begin(s: State, k: int, now: int) -> int:
    """A closed worker whose think time was over after the end of the run begins no job, and sleeps for good."""
    if s.machine[0].stopped and not s.classes[s.tasks[k].group].is_open:
        return BLOCKED
    begin_job(s, k, now)
    return 0


@inlined
def end_job(s: State, k: int, now: int) -> None:
    task = s.tasks[k]
    s.records[task.job].ended_ns = now
    s.records[task.job].cpu_ns = task.total_cpu_ns - task.cpu_at_begin_ns
    s.machine[0].outstanding -= 1


@inlined
def take_job(s: State, k: int, group: int) -> int:
    """The next job of an open class, or wait for one. A worker that is woken may find that another was quicker."""
    if s.semaphores[group, 0] > 0:
        take_released(s, k, group)
        return 0
    wait_for(s, group, k)
    return BLOCKED


@inlined
def next_job(s: State, k: int, group: int, now: int) -> int:
    """The next job of a closed worker, which begins once it has thought. A worker that the phase leaves out waits."""
    task, of = s.tasks[k], s.classes[group]
    if s.machine[0].stopped:
        return BLOCKED
    if task.worker >= of.active:
        wait_for(s, s.classes.shape[0] + group, k)
        return BLOCKED
    if task.turn == of.each:
        task.turn = 0
        task.is_again = 1
    task.job = of.first + task.worker * of.each + task.turn
    of.repeated += task.is_again
    task.turn += 1
    task.pc += 1
    think_ns = s.jobs[task.job].at_ns
    task.due_ns = now + think_ns
    if think_ns > 0:
        set_timer(s, k, task.due_ns)
        return BLOCKED
    return 0


# ---- births and deaths ----


@inlined
def fork(s: State, k: int, children: int) -> None:
    """The children of a task's node in the tree of its job arrive."""
    task = s.tasks[k]
    first = task.node * children + 1
    for node in range(first, first + children):
        child = s.jobs[task.job].slot + node
        s.tasks[child].peer = k
        s.tasks[child].job = task.job
        s.tasks[child].work_ns = task.work_ns
        make_ready(s, child)


@inlined
def free_place(s: State, group: int) -> None:
    """A life is over. Where lives had to wait for that, the next one arrives."""
    of = s.classes[group]
    if of.backlog > 0:
        of.backlog -= 1
        make_ready(s, s.jobs[of.first + of.taken].slot)
        of.taken += 1
    else:
        of.alive -= 1
