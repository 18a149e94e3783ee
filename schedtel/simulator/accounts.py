"""An event of a task or a CPU in; times, counts and samples out, as bpf/machine/ counts them."""

from schedtel.records.layout import FINE_BUCKETS, PREEMPT_WAIT, TASK_BUCKET_SHIFT
from schedtel.simulator.compiling import inlined
from schedtel.simulator.state import NICE_0_WEIGHT, State

_BURST_TAT = 2


@inlined
def bucket_of(ns: int) -> int:
    """The fine bucket of a duration: units of 64 ns, 16 buckets an octave (schedtel/records/histogram.py)."""
    units = ns >> 6
    rest = units | 16
    # The number of the highest bit, by halving. These are no branches to the compiler: durations vary, and a branch
    # that is mispredicted takes longer than all of this.
    step = 32 if rest >= 1 << 32 else 0
    rest, highest = rest >> step, step
    step = 16 if rest >= 1 << 16 else 0
    rest, highest = rest >> step, highest + step
    step = 8 if rest >= 1 << 8 else 0
    rest, highest = rest >> step, highest + step
    step = 4 if rest >= 1 << 4 else 0
    rest, highest = rest >> step, highest + step
    step = 2 if rest >= 1 << 2 else 0
    rest, highest = rest >> step, highest + step
    exponent = highest + (1 if rest >= 2 else 0) - 4
    bucket = exponent * 16 + (units >> exponent)
    return bucket if bucket < FINE_BUCKETS else FINE_BUCKETS - 1


@inlined
def account(s: State, k: int, now: int) -> None:
    """The task's time up to now, as time of its phase."""
    task = s.tasks[k]
    s.time_ns[k, task.phase] += now - task.since_ns
    task.since_ns = now


@inlined
def sample(s: State, c: int, kind: int, bucket: int, ns: int) -> None:
    s.samples[c, kind, bucket] += 1
    s.sums_ns[c, kind, 0] += ns
    s.sums_ns[c, kind, 1] = max(s.sums_ns[c, kind, 1], ns)


@inlined
def end_wait(s: State, k: int, c: int, now: int) -> None:
    """A wait ends on a CPU. After a preemption it is also one of the pair of groups."""
    task = s.tasks[k]
    wait = now - task.wait_since_ns
    bucket = bucket_of(wait)
    kind = 1 if task.phase == PREEMPT_WAIT else 0
    sample(s, c, kind, bucket, wait)
    s.histograms[k, 0, bucket >> TASK_BUCKET_SHIFT] += 1
    task.max_wait_ns = max(task.max_wait_ns, wait)
    if kind and task.preemptor >= 0:
        victim, preemptor = task.group, task.preemptor
        s.preemptions[victim, preemptor, 0] += 1
        s.preemptions[victim, preemptor, 1] += wait
        s.preemptions[victim, preemptor, 2] = max(s.preemptions[victim, preemptor, 2], wait)


@inlined
def end_burst(s: State, k: int, c: int, now: int) -> None:
    task = s.tasks[k]
    tat = now - task.burst_since_ns
    bucket = bucket_of(tat)
    sample(s, c, _BURST_TAT, bucket, tat)
    s.histograms[k, 1, bucket >> TASK_BUCKET_SHIFT] += 1
    task.bursts += 1
    task.burst_tat_sum_ns += tat


@inlined
def scaled(ns: int, weight: int) -> int:
    """CPU time as virtual time."""
    return ns if weight == NICE_0_WEIGHT else ns * NICE_0_WEIGHT // weight


@inlined
def work_in(s: State, span_ns: int) -> int:
    """The work that a busy CPU does in some time."""
    machine = s.machine[0]
    if not machine.is_shared:
        return span_ns
    return span_ns * s.cpus.shape[0] // max(1, s.cpus.shape[0] - machine.idle)


@inlined
def time_for(s: State, work_ns: int) -> int:
    """The time that a busy CPU takes for some work, if no other becomes idle or busy meanwhile."""
    machine = s.machine[0]
    if not machine.is_shared:
        return work_ns
    return -(-work_ns * max(1, s.cpus.shape[0] - machine.idle) // s.cpus.shape[0])


@inlined
def noticed(s: State, moment: int) -> int:
    """The tick at which the kernel notices that a slice was over at a moment."""
    machine = s.machine[0]
    ticks = (moment - machine.start_ns + machine.tick_ns - 1) // machine.tick_ns
    return int(machine.start_ns + ticks * machine.tick_ns)


@inlined
def charge(s: State, c: int, now: int) -> None:
    """The current task's time up to now: as CPU time, as virtual time, and as work where it was work."""
    cpu = s.cpus[c]
    task = s.tasks[cpu.current]
    ran = now - cpu.charged_ns
    began = max(cpu.charged_ns, cpu.starts_ns)
    if now > began:
        task.remaining_ns -= work_in(s, now - began)
    virtual = scaled(ran, task.weight)
    task.vruntime += virtual
    task.total_cpu_ns += ran
    task.used_ns += ran
    cpu.weighted_sum += virtual * task.weight
    cpu.charged_ns = now


@inlined
def trace(s: State, kind: int, c: int, before: int, k: int, phase: int) -> None:
    """Keep an event, while there is room."""
    machine = s.machine[0]
    if machine.traced < s.trace.shape[0]:
        row = s.trace[machine.traced]
        row.time_ns = machine.now_ns
        row.kind = kind
        row.cpu = c
        row.before = before
        row.task = k
        row.phase = phase
        machine.traced += 1
