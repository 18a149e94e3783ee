"""A task or a CPU in; what the machine's scheduler does with it out. Here the schedulers meet."""

from schedtel.records.layout import NOT_ALIVE, PREEMPT_WAIT, RUNNING, WAKEUP_WAIT
from schedtel.simulator import fair, shared
from schedtel.simulator.accounts import account, charge, end_burst, end_wait, noticed, scaled, time_for, trace
from schedtel.simulator.compiling import inlined
from schedtel.simulator.queues import append, choose_anew
from schedtel.simulator.state import ARRIVED, BEGIN, EEVDF, LEFT, NEVER, RUN, SWITCHED, TAKE, WOKEN, State

# ---- a task becomes runnable ----


@inlined
def is_free(s: State, c: int) -> bool:
    """Whether a woken task would have the CPU at once: it is idle, or the fair class has only SCHED_IDLE there."""
    cpu, machine = s.cpus[c], s.machine[0]
    if not cpu.busy:
        return not cpu.pending
    return bool(machine.has_idle and cpu.current >= 0 and fair.has_only_idle(s, c))


@inlined
def idle_cpu(s: State, k: int) -> int:
    """The task's last CPU if it is free, or else the first free one; -1 for none: ``select_idle_sibling()``."""
    if s.machine[0].idle == 0 and not s.machine[0].has_idle:
        return -1
    task = s.tasks[k]
    last, row = task.cpu, task.pinned
    if last >= 0 and s.allowed[row, last] and is_free(s, last):
        return int(last)
    for c in range(s.cpus.shape[0]):
        if s.allowed[row, c] and is_free(s, c):
            return c
    return -1


@inlined
def least_loaded(s: State, k: int, but: int) -> int:
    """The CPU with the least weight in its queue that the task may use, but for one; -1 for none."""
    best, least, row = -1, NEVER, s.tasks[k].pinned
    for c in range(s.cpus.shape[0]):
        if s.cpus[c].weight_sum < least and s.allowed[row, c] and c != but:
            best, least = c, s.cpus[c].weight_sum
    return best


@inlined
def first_cpu(s: State, k: int) -> int:
    """Where a new task begins: with its parent, or where clearly less is: ``sched_balance_find_dst_group()``."""
    parents = s.machine[0].waker
    other = least_loaded(s, k, parents)
    if other < 0 or parents < 0 or not s.allowed[s.tasks[k].pinned, parents]:
        return int(other if other >= 0 else parents)
    return int(other if fair.is_clearly_less(s, other, parents) else parents)


@inlined
def busy_cpu(s: State, k: int, is_new: bool) -> int:
    """Where a task of the fair class queues while no CPU is free."""
    last, waker, row = s.tasks[k].cpu, s.machine[0].waker, s.tasks[k].pinned
    if is_new or last < 0 or not s.allowed[row, last]:
        return first_cpu(s, k)
    if waker >= 0 and waker != last and s.allowed[row, waker] and fair.attracts(s, k, waker, last):
        return int(waker)
    return int(last)


@inlined
def become_runnable(s: State, k: int, now: int) -> None:
    """A new task arrives, or a blocked one is woken, and queues."""
    task, scheduler = s.tasks[k], s.machine[0].scheduler
    is_new = task.phase == NOT_ALIVE
    if is_new:
        task.arrival_ns = task.since_ns = now
        if scheduler != EEVDF:
            task.vruntime = s.machine[0].vtime_now
    else:
        account(s, k, now)
        task.wakeups += 1
    task.phase = WAKEUP_WAIT
    task.wait_since_ns = task.burst_since_ns = now
    task.used_ns = 0
    if task.is_delayed and not s.allowed[task.pinned, task.cpu]:
        fair.leave_late(s, task.cpu, k)
    # One that sleeps in its queue is woken there: ttwu_runnable() in kernel/sched/core.c.
    c = task.cpu if task.is_delayed else idle_cpu(s, k)
    trace(s, ARRIVED if is_new else WOKEN, c, -1, k, 0)
    if scheduler == EEVDF:
        span = scaled(fair.slice_of(s, k), task.weight)
        # A new task has half a slice to its first deadline: PLACE_DEADLINE_INITIAL of kernel/sched/features.h.
        fair.enqueue(s, c if c >= 0 else busy_cpu(s, k, is_new), k, span >> 1 if is_new else span, now)
    elif c >= 0:
        s.cpus[c].local = k
        choose_anew(s, c)
    else:
        shared.enqueue(s, k)


# ---- a CPU changes its task ----


@inlined
def set_event(s: State, c: int, k: int) -> None:
    """When the CPU is next looked at: at the end of the burst, or of the slice."""
    cpu = s.cpus[c]
    burst_end = max(cpu.charged_ns, cpu.starts_ns) + time_for(s, s.tasks[k].remaining_ns)
    key = 2 * burst_end
    if burst_end > cpu.slice_end_ns:  # most are not, and need no division
        key = min(key, 2 * noticed(s, cpu.slice_end_ns) + 1)
    s.event_keys[c] = key


@inlined
def begin_slice(s: State, c: int, k: int, now: int, is_kept: bool) -> None:
    """The task has a slice from now on."""
    is_fair = s.machine[0].scheduler == EEVDF
    end = fair.slice_end(s, c, k, now, is_kept) if is_fair else shared.slice_end(s, c, k, now, is_kept)
    if s.cpus[c].interrupted == k:  # a task of sched_ext goes on with what it had left
        end = noticed(s, s.cpus[c].slice_end_ns) + now - s.tasks[k].wait_since_ns
        s.cpus[c].interrupted = -1
    s.cpus[c].slice_end_ns = max(end, now + 1)
    set_event(s, c, k)


@inlined
def overhead(s: State, c: int, k: int, now: int) -> int:
    """What a switch costs: itself, and after a migration what the task had in its last CPU's cache and still needs.

    A cache loses what a task had in it evenly over ``warm_ns``.
    """
    machine, task = s.machine[0], s.tasks[k]
    cost = machine.switch_ns
    if task.cpu >= 0 and task.cpu != c:
        age = now - task.ran_ns
        if age < machine.warm_ns:
            cost += task.migration_ns - task.migration_ns * age // machine.warm_ns
    return int(cost)


@inlined
def begin_work(s: State, k: int, now: int) -> None:
    """Give the task its next burst if its job says so at once; else it does so once the switch is over."""
    task = s.tasks[k]
    if task.remaining_ns == 0 and s.program[task.pc, 0] == TAKE and s.semaphores[s.program[task.pc, 1], 0] > 0:
        take_released(s, k, s.program[task.pc, 1])
    if task.remaining_ns == 0 and s.program[task.pc, 0] == BEGIN and not s.machine[0].stopped:
        begin_job(s, k, now)
    if task.remaining_ns == 0 and s.program[task.pc, 0] == RUN:
        begin_burst(s, k)


@inlined
def take_released(s: State, k: int, group: int) -> None:
    """The task has the first job of an open class that is released and not taken."""
    task, of = s.tasks[k], s.classes[group]
    s.semaphores[group, 0] -= 1
    task.job = of.first + of.taken
    of.taken += 1
    task.pc += 1


@inlined
def begin_job(s: State, k: int, now: int) -> None:
    task = s.tasks[k]
    job = task.job
    if not s.classes[task.group].is_open:
        s.records[job].released_ns = task.due_ns
        s.records[job].ended_ns = 0
        s.machine[0].outstanding += 1
    s.records[job].started_ns = now
    task.work_ns = s.jobs[job].work_ns
    task.cpu_at_begin_ns = task.total_cpu_ns
    task.pc += 1


@inlined
def begin_burst(s: State, k: int) -> None:
    task = s.tasks[k]
    part, parts = s.program[task.pc, 1], s.program[task.pc, 2]
    # Most bursts are the whole job, and a division takes as long as many other steps together.
    task.remaining_ns = task.work_ns if part == parts else max(1, task.work_ns * part // parts)
    task.pc += 1


@inlined
def take_cpu(s: State, c: int, k: int, now: int) -> None:
    cpu, task = s.cpus[c], s.tasks[k]
    account(s, k, now)
    end_wait(s, k, c, now)
    cpu.charged_ns = now
    cost = overhead(s, c, k, now)
    cpu.starts_ns = now + cost
    task.overhead_ns += cost
    if task.first_cpu_ns < 0:
        task.first_cpu_ns = now
    elif task.cpu != c:
        task.migrations += 1
    task.cpu = c
    task.phase = RUNNING
    begin_work(s, k, now)
    begin_slice(s, c, k, now, False)


@inlined
def be_preempted(s: State, k: int, by: int, now: int) -> None:
    task = s.tasks[k]
    account(s, k, now)
    task.phase = PREEMPT_WAIT
    task.wait_since_ns = task.ran_ns = now
    task.involuntary_switches += 1
    task.preemptor = s.tasks[by].group


@inlined
def choose(s: State, c: int, now: int) -> None:
    """Have the CPU run what its scheduler chooses."""
    cpu = s.cpus[c]
    cpu.pending = 0
    if cpu.held_until_ns > now:
        return
    before, was_busy = cpu.current, cpu.busy
    if before >= 0:
        charge(s, c, now)
    chosen = fair.choose(s, c) if s.machine[0].scheduler == EEVDF else shared.choose(s, c)
    if chosen == before and before >= 0:
        begin_slice(s, c, before, now, True)
        return
    if chosen < 0:
        looks_again = s.machine[0].scheduler == EEVDF and fair.has_passed_over(s, c)
        s.event_keys[c] = 2 * noticed(s, now + 1) + 1 if looks_again else NEVER
        if was_busy:
            change_cpu(s, c, -1, now)
        return
    if before >= 0:
        be_preempted(s, before, chosen, now)
    change_cpu(s, c, chosen, now)
    take_cpu(s, c, chosen, now)


@inlined
def become_busy(s: State, c: int, is_busy: int, now: int) -> None:
    """The CPU is busy from now on, or idle. Where CPUs share a speed, the others go on at another one."""
    machine = s.machine[0]
    if machine.is_shared:
        for other in range(s.cpus.shape[0]):
            if other != c and s.cpus[other].current >= 0:
                charge(s, other, now)
    machine.idle += s.cpus[c].busy - is_busy
    s.cpus[c].busy = is_busy
    if machine.is_shared:
        for other in range(s.cpus.shape[0]):
            if other != c and s.cpus[other].current >= 0:
                set_event(s, other, s.cpus[other].current)


@inlined
def change_cpu(s: State, c: int, k: int, now: int) -> None:
    """Account the CPU's time up to now; from now on it runs the task, or is idle."""
    cpu, is_busy = s.cpus[c], 1 if k >= 0 else 0
    trace(s, SWITCHED, c, cpu.current, k, 0)
    if cpu.busy:
        cpu.busy_ns += now - cpu.since_ns
    else:
        cpu.idle_ns += now - cpu.since_ns
    become_busy(s, c, is_busy, now)
    cpu.switches += 1
    cpu.since_ns = now
    cpu.current = k
    cpu.runs_long = 0


@inlined
def leave_cpu(s: State, c: int, phase: int, now: int) -> None:
    """The current task blocks or completes, and the CPU has to choose another."""
    cpu = s.cpus[c]
    k = cpu.current
    task = s.tasks[k]
    account(s, k, now)
    end_burst(s, k, c, now)
    trace(s, LEFT, c, k, -1, phase)
    task.phase = phase
    task.ran_ns = now
    if phase == NOT_ALIVE:
        task.completion_ns = now
    else:
        task.voluntary_switches += 1
    if s.machine[0].scheduler == EEVDF:
        fair.leave(s, c, k, phase == NOT_ALIVE)
    cpu.current = -1
    choose_anew(s, c)


# ---- tasks of others ----


@inlined
def ask(s: State, c: int, span_ns: int) -> None:
    """Have a task that comes before all of the workload's take a CPU for some time, once this event is over."""
    s.cpus[c].asked_ns += span_ns
    s.machine[0].asked = 1


@inlined
def hold(s: State, c: int, now: int) -> None:
    """Such a task takes the CPU for the time that was asked for.

    Afterwards the fair class chooses anew, without regard for the slice of the task that ran: it is in the queue by
    then, as any other. A task of sched_ext with a slice left goes on (``put_prev_task_scx()`` in kernel/sched/ext.c).
    """
    cpu = s.cpus[c]
    span_ns = cpu.asked_ns
    cpu.asked_ns = 0
    if cpu.held_until_ns > now:
        cpu.held_until_ns += span_ns
        s.event_keys[c] = 2 * cpu.held_until_ns + 1
        return
    k = cpu.current
    if k >= 0:
        charge(s, c, now)
        if s.machine[0].scheduler == EEVDF:
            fair.renew_deadline(s, k)
        be_put_aside(s, c, k, now)
    elif not cpu.busy:
        cpu.idle_ns += now - cpu.since_ns
        cpu.since_ns = now
        become_busy(s, c, 1, now)
        cpu.switches += 1
    cpu.held_until_ns = now + span_ns
    s.event_keys[c] = 2 * cpu.held_until_ns + 1


@inlined
def be_put_aside(s: State, c: int, k: int, now: int) -> None:
    cpu, task = s.cpus[c], s.tasks[k]
    account(s, k, now)
    task.phase = PREEMPT_WAIT
    task.wait_since_ns = task.ran_ns = now
    task.involuntary_switches += 1
    task.preemptor = -1
    trace(s, SWITCHED, c, k, -1, 0)
    cpu.current = -1
    cpu.switches += 1
    if s.machine[0].scheduler == EEVDF:
        append(s, c, k)
    else:
        cpu.local = cpu.interrupted = k
