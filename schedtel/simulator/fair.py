"""The fair class, as EEVDF of Linux 6.18 (kernel/sched/fair.c): a queue in; the task that is to run out.

Each CPU has a queue. A task is eligible if its virtual time is not ahead of the queue's average V; of the eligible ones
the earliest virtual deadline runs. I. Stoica, H. Abdel-Wahab: "Earliest Eligible Virtual Deadline First", 1995.
"""

from schedtel.simulator.accounts import charge, noticed, scaled
from schedtel.simulator.compiling import inlined
from schedtel.simulator.load import SCALE, attach, bring_up_cpu, bring_up_task, detach
from schedtel.simulator.queues import append, choose_anew, unlink
from schedtel.simulator.state import IDLE_WEIGHT, NEVER, NICE_0_WEIGHT, State

#: The zero of virtual time moves when the average is so far from it, so that sums stay far from 64 bits.
_FAR = 1 << 30
#: Of a chance in thousandths.
_ALWAYS = 1000


@inlined
def slice_of(s: State, k: int) -> int:
    """A task's slice: until it runs for the first time, that of any task, for it sets its own itself."""
    return int(s.tasks[k].slice_ns if s.tasks[k].first_cpu_ns >= 0 else s.machine[0].slice_ns)


@inlined
def average(s: State, c: int) -> int:
    """V: the average virtual time of the queue and the current task, by weight."""
    cpu = s.cpus[c]
    return cpu.zero + (cpu.weighted_sum // cpu.weight_sum if cpu.weight_sum > 0 else 0)


@inlined
def is_eligible(s: State, c: int, k: int) -> bool:
    cpu = s.cpus[c]
    return (s.tasks[k].vruntime - cpu.zero) * cpu.weight_sum <= cpu.weighted_sum


@inlined
def join(s: State, c: int, k: int, span: int) -> None:
    """Place a task in a queue so that its lag is what it was: ``place_entity()`` in kernel/sched/fair.c.

    :param span: its virtual deadline is so far from its virtual time.
    """
    cpu, task = s.cpus[c], s.tasks[k]
    attach(s, c, k)
    if cpu.weight_sum > 0:
        if cpu.weighted_sum > _FAR * cpu.weight_sum:
            shift = cpu.weighted_sum // cpu.weight_sum
            cpu.zero += shift
            cpu.weighted_sum -= shift * cpu.weight_sum
        # The task itself moves the average towards it: what it has now makes up for that.
        lag = task.lag * (cpu.weight_sum + task.weight) // cpu.weight_sum
        task.vruntime = average(s, c) - lag
    else:
        task.vruntime = cpu.zero
        cpu.weighted_sum = 0
    task.deadline = task.vruntime + span
    cpu.weighted_sum += (task.vruntime - cpu.zero) * task.weight
    cpu.weight_sum += task.weight


@inlined
def part(s: State, c: int, k: int) -> None:
    """Take a task out of the sums, with the lag that it has: ``update_entity_lag()``."""
    cpu, task = s.cpus[c], s.tasks[k]
    bring_up_cpu(s, c)
    bring_up_task(s, k, task.weight)
    v = average(s, c)
    limit = scaled(max(2 * task.slice_ns, s.machine[0].tick_ns), task.weight)
    task.lag = min(max(v - task.vruntime, -limit), limit)
    cpu.weighted_sum -= (task.vruntime - cpu.zero) * task.weight
    cpu.weight_sum -= task.weight
    if cpu.weight_sum == 0:
        cpu.zero = v


@inlined
def preferred(s: State, c: int, protect: bool) -> int:
    """The task that comes first: ``__pick_eevdf()``. Of equal deadlines, the one that came first to the queue."""
    cpu = s.cpus[c]
    current, best, deadline, k = cpu.current, -1, NEVER, cpu.head
    if current >= 0:
        if not is_eligible(s, c, current):
            current = -1
        elif protect and s.tasks[current].vruntime < cpu.protected:
            return int(current)
    while k >= 0:
        if s.tasks[k].deadline < deadline and is_eligible(s, c, k):
            best, deadline = k, s.tasks[k].deadline
        k = s.tasks[k].next
    if current >= 0 and s.tasks[current].deadline < deadline:
        best = current
    if best < 0:  # not while sums fit 64 bits: only with thousands of the heaviest tasks, and slices of seconds
        best = cpu.current if cpu.current >= 0 else cpu.head
    return int(best)


@inlined
def pick(s: State, c: int) -> int:
    """The task that should run; -1 for none. One that sleeps and comes first leaves the queue: ``pick_next_entity()``.

    It has then waited until it was not ahead of the average, and has no lag: DELAY_ZERO of kernel/sched/features.h.
    """
    cpu = s.cpus[c]
    while cpu.current >= 0 or cpu.head >= 0:
        k = preferred(s, c, True)
        if not s.tasks[k].is_delayed:
            return int(k)
        leave_late(s, c, k)
    return -1


@inlined
def stay(s: State, c: int, k: int) -> bool:
    """Whether a task that blocks stays in its queue, since it is ahead of the average: DELAY_DEQUEUE."""
    cpu = s.cpus[c]
    if is_eligible(s, c, k):
        return False
    append(s, c, k)
    cpu.length -= 1
    cpu.delayed += 1
    s.tasks[k].is_delayed = 1
    return True


@inlined
def end_delay(s: State, c: int, k: int) -> None:
    """A task that sleeps in its queue is one that waits there."""
    s.cpus[c].length += 1
    s.cpus[c].delayed -= 1
    s.tasks[k].is_delayed = 0


@inlined
def leave_late(s: State, c: int, k: int) -> None:
    """A task that sleeps leaves the queue, with what it is ahead of the average at most."""
    end_delay(s, c, k)
    part(s, c, k)
    unlink(s, c, k)
    s.tasks[k].lag = min(0, s.tasks[k].lag)


@inlined
def resume(s: State, c: int, k: int, span: int) -> None:
    """A task is woken that sleeps in its queue: ``requeue_delayed_entity()``. Its lag is not above 0 afterwards."""
    end_delay(s, c, k)
    if average(s, c) > s.tasks[k].vruntime:
        part(s, c, k)
        s.tasks[k].lag = 0
        join(s, c, k, span)


# ---- where a task is queued ----


@inlined
def has_only_idle(s: State, c: int) -> bool:
    """Whether all in the queue are SCHED_IDLE, which have the least weight of all: ``sched_idle_cpu()``."""
    cpu = s.cpus[c]
    return bool(cpu.weight_sum == IDLE_WEIGHT * (cpu.length + cpu.delayed + (cpu.current >= 0)))


@inlined
def attracts(s: State, k: int, waker: int, last: int) -> bool:
    """Whether a task is woken on the CPU of what wakes it: ``wake_affine_weight()``.

    It is if the load there would be less, where half of imbalance_pct (117) favours that.
    """
    bring_up_cpu(s, waker)
    bring_up_cpu(s, last)
    load = s.tasks[k].load
    return bool(100 * (s.cpus[waker].load + load) < 108 * (s.cpus[last].load - load))


@inlined
def is_clearly_less(s: State, other: int, local: int) -> bool:
    """Whether a new task begins on another CPU than its parent's: that has one task at most, or clearly less load."""
    cpu, own = s.cpus[other], s.cpus[local]
    bring_up_cpu(s, other)
    bring_up_cpu(s, local)
    if cpu.length + (cpu.current >= 0) <= 1 and own.length + own.busy > 1:
        return True
    # imbalance_pct, of the load and of the weight of nice 0
    return bool(100 * own.load > 117 * cpu.load and cpu.load < own.load + 174 * SCALE)


@inlined
def first_movable(s: State, source: int, c: int, most: int) -> int:
    """The first task of a queue that may run on a CPU and has a weight of ``most`` or less; -1 for none."""
    k = s.cpus[source].head
    while k >= 0 and (s.tasks[k].is_delayed or not (s.allowed[s.tasks[k].pinned, c] and s.tasks[k].weight <= most)):
        k = s.tasks[k].next
    return int(k)


@inlined
def longest_queue(s: State, c: int) -> int:
    """The CPU that runs a task and has the longest queue of those that have a task for another; -1 for none."""
    best, length, is_pinned = -1, 0, s.machine[0].is_pinned
    for other in range(s.cpus.shape[0]):
        is_used = s.cpus[other].current >= 0 or s.cpus[other].held_until_ns > s.machine[0].now_ns
        if s.cpus[other].length > length and is_used:
            if is_pinned and first_movable(s, other, c, NEVER) < 0:
                continue  # sched_balance_rq() goes on to the next queue, too (LBF_ALL_PINNED)
            best, length = other, s.cpus[other].length
    return best


@inlined
def steal(s: State, c: int) -> int:
    """A task that waits on another CPU, as new-idle balancing takes it: the first that may run here; -1 for none."""
    busiest = longest_queue(s, c)
    if busiest < 0:
        return -1
    return move(s, busiest, c, NEVER)


@inlined
def move(s: State, source: int, c: int, most: int) -> int:
    """Move the first task of a queue that may run here and has a weight of ``most`` or less; -1 for none."""
    k = first_movable(s, source, c, most)
    if k >= 0:
        transfer(s, k, source, c)
    return k


@inlined
def transfer(s: State, k: int, source: int, c: int) -> None:
    """Move a task that waits from one queue to another, with the lag that it has."""
    for place in (source, c):
        if s.cpus[place].current >= 0:
            charge(s, place, s.machine[0].now_ns)
    span = s.tasks[k].deadline - s.tasks[k].vruntime
    part(s, source, k)
    unlink(s, source, k)
    join(s, c, k, span)
    append(s, c, k)


@inlined
def draw(s: State, below: int) -> int:
    """A number from 0 to before ``below``, the same in every run (MMIX's generator: D. E. Knuth, 1997)."""
    machine = s.machine[0]
    machine.drawn = machine.drawn * 6364136223846793005 + 1442695040888963407
    return int((machine.drawn >> 33 & 0x7FFFFFFF) % below)


@inlined
def looks_at_once(s: State) -> bool:
    """Whether a CPU that runs out looks for one elsewhere: by chance since 6.18.5, ``sched_balance_newidle()``.

    The kernel does so as often as it was of use (NI_RANDOM of kernel/sched/features.h); here the chance is fixed.
    """
    return bool(s.machine[0].steal_thousandths >= _ALWAYS or draw(s, _ALWAYS) < s.machine[0].steal_thousandths)


@inlined
def has_passed_over(s: State, c: int) -> bool:
    """Whether an idle CPU did not look, and a task waits for it: it will at the next tick, ``nohz_balancer_kick()``."""
    return bool(s.machine[0].steal_thousandths < _ALWAYS and longest_queue(s, c) >= 0)


@inlined
def balance(s: State, c: int, now: int) -> None:
    """Now and then, a busy CPU takes a task from the heaviest queue, if that is heavier by at least this task.

    So three tasks on two CPUs take turns at being alone: ``sched_balance_rq()`` in kernel/sched/fair.c. The time to the
    next attempt is drawn: with a fixed one, which task waits at that moment would be the same each time.
    """
    cpu, heaviest, most = s.cpus[c], -1, 0
    if now < cpu.balance_at_ns:
        return
    cpu.balance_at_ns = now + s.machine[0].balance_ns // 2 + draw(s, s.machine[0].balance_ns)
    for distance in range(1, s.cpus.shape[0]):
        other = (c + distance) % s.cpus.shape[0]
        if s.cpus[other].length > 0 and s.cpus[other].weight_sum - cpu.weight_sum > most:
            heaviest, most = other, s.cpus[other].weight_sum - cpu.weight_sum
    if heaviest >= 0:
        move(s, heaviest, c, most)


@inlined
def kick_idle(s: State, c: int) -> None:
    """When a burst or a slice ends on a CPU with a queue, idle ones look whether they may take of it.

    In the kernel they do so at the next tick: ``nohz_balancer_kick()``.
    One can be idle then where a task was woken in the queue in which it slept, or where tasks are kept from CPUs: what
    preempted one of them may not run there.
    """
    if s.machine[0].idle > 0 and s.cpus[c].length > 0 and s.machine[0].steal_thousandths >= _ALWAYS:
        for other in range(s.cpus.shape[0]):
            if s.cpus[other].current < 0:
                choose_anew(s, other)


@inlined
def choose(s: State, c: int) -> int:
    """The task that runs from now on; -1 for none. What ran before is in the queue if it has to wait."""
    cpu = s.cpus[c]
    before = cpu.current
    chosen = pick(s, c)
    if chosen < 0 and (not cpu.busy or looks_at_once(s)):
        chosen = steal(s, c)
    if chosen >= 0 and chosen != before:
        if before >= 0:
            append(s, c, before)
        unlink(s, c, chosen)
    return int(chosen)


@inlined
def renew_deadline(s: State, k: int) -> bool:
    """Whether the task has used up its slice; then it has a new deadline: ``update_deadline()``."""
    task = s.tasks[k]
    if task.vruntime < task.deadline:
        return False
    task.deadline = task.vruntime + scaled(task.slice_ns, task.weight)
    return True


@inlined
def leave(s: State, c: int, k: int, is_over: bool) -> None:
    """The current task blocks, or its life is over."""
    renew_deadline(s, k)
    if is_over or not stay(s, c, k):
        part(s, c, k)
    if is_over:
        detach(s, k)


@inlined
def enqueue(s: State, c: int, k: int, span: int, now: int) -> None:
    """A task that is runnable joins a CPU's queue, and may take the CPU: ``check_preempt_wakeup_fair()``."""
    cpu, task = s.cpus[c], s.tasks[k]
    current, had_others = cpu.current, cpu.length + cpu.delayed > 0
    if current >= 0:
        charge(s, c, now)
    if task.is_delayed:
        resume(s, c, k, span)
    else:
        join(s, c, k, span)
        append(s, c, k)
    if current < 0:
        choose_anew(s, c)
        return
    runs = s.tasks[current]
    # update_curr() has the CPU choose anew once the slice is over, unless nobody else was in the queue until now.
    takes_cpu = (renew_deadline(s, current) or runs.vruntime >= cpu.protected) and had_others
    if runs.is_idle and not task.is_idle:
        takes_cpu = True
        cpu.protected = runs.vruntime
    elif not task.is_batch or task.first_cpu_ns < 0:
        # A shorter slice than the current task's ends the protection that this has for its own.
        is_short = slice_of(s, k) < runs.slice_ns
        if preferred(s, c, not is_short) == k:
            takes_cpu = True
            if is_short:
                cpu.protected = runs.vruntime
    if takes_cpu:
        choose_anew(s, c)
    elif runs.vruntime >= cpu.protected:
        cpu.slice_end_ns = now + 1
        s.event_keys[c] = min(s.event_keys[c], 2 * noticed(s, now + 1) + 1)


@inlined
def slice_end(s: State, c: int, k: int, now: int, is_kept: bool) -> int:
    """When the task that gets the CPU now has used its slice, or the shortest slice of a task that waits for it.

    One that keeps the CPU has no new protection (``set_next_entity()`` is not called): the next tick looks at it again,
    or the end of its slice where slices end exactly.
    """
    cpu, task = s.cpus[c], s.tasks[k]
    if is_kept and s.machine[0].tick_ns > 1 and task.vruntime >= cpu.protected:
        if cpu.length + cpu.delayed > 0:
            return now
        return int(now + task.slice_ns)
    cpu.protected = task.deadline
    if s.machine[0].has_slices:
        least, other = task.slice_ns, cpu.head
        while other >= 0:
            least = min(least, slice_of(s, other))
            other = s.tasks[other].next
        cpu.protected = min(task.deadline, task.vruntime + scaled(least, task.weight))
    virtual = cpu.protected - task.vruntime
    if task.weight == NICE_0_WEIGHT:
        return int(now + virtual)
    return int(now - (-virtual * task.weight) // NICE_0_WEIGHT)
