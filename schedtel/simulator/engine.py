"""A state and a moment in; the state at that moment out.

An event is the end of a burst or of a slice on a CPU, a change of phase, a release of a job, or a timer. Events of one
moment come in this order, those of CPUs and of timers by their number. What becomes runnable at an event is queued
then, in order; at last each CPU that has to choose anew does so.
"""

from collections.abc import Callable

from schedtel.records.layout import RUNNING
from schedtel.simulator.accounts import charge
from schedtel.simulator.compiling import inlined, kept, sources_digest
from schedtel.simulator.fair import balance, draw, kick_idle, renew_deadline
from schedtel.simulator.graphs import expire_part
from schedtel.simulator.instructions import proceed
from schedtel.simulator.policies import ask, become_runnable, choose, hold, leave_cpu, set_event
from schedtel.simulator.queues import choose_anew, first_waiting, make_ready, remove
from schedtel.simulator.state import EEVDF, NEVER, State

_ON_CPU, _CHANGE, _RELEASE, _TIMER, _OTHERS = range(5)


@inlined
def look_at(s: State, c: int, now: int) -> None:
    """The burst or the slice of a CPU's task is over."""
    k = s.cpus[c].current
    if k < 0:  # a task of others has ended
        choose_anew(s, c)
        return
    charge(s, c, now)
    s.machine[0].waker = c
    if s.tasks[k].remaining_ns > 0:
        if s.machine[0].scheduler == EEVDF:
            renew_deadline(s, k)
            balance(s, c, now)
        choose_anew(s, c)
        kick_idle(s, c)
        return
    s.tasks[k].remaining_ns = 0
    phase = proceed(s, k, now)
    if phase == RUNNING:
        set_event(s, c, k)
    else:
        leave_cpu(s, c, phase, now)
        kick_idle(s, c)


@inlined
def change_phase(s: State) -> None:
    """Another number of workers of a closed class runs from now on, or none begins a job any more."""
    machine = s.machine[0]
    group, active = s.changes[machine.changed, 1], s.changes[machine.changed, 2]
    machine.changed += 1
    if group < 0:
        machine.stopped = 1
        return
    s.classes[group].active = active
    k = first_waiting(s, s.classes.shape[0] + group)
    while k >= 0:
        make_ready(s, k)
        k = first_waiting(s, s.classes.shape[0] + group)


@inlined
def release(s: State, now: int) -> None:
    """A job of an open class is due: a life begins, or the job waits for a worker, and the first to wait is woken."""
    machine = s.machine[0]
    job = s.order[machine.released]
    machine.released += 1
    machine.outstanding += 1
    s.records[job].released_ns = now
    group = s.jobs[job].group
    of = s.classes[group]
    if machine.dispatch_ns > 0:
        machine.waker = 0
        ask(s, 0, machine.dispatch_ns)
    if of.is_life and machine.fork_ns > 0:
        machine.waker = s.cpus.shape[0] - 1
        ask(s, machine.waker, machine.fork_ns)
    if of.is_life:
        if of.alive < of.workers:
            of.alive += 1
            of.taken += 1
            make_ready(s, s.jobs[job].slot)
        else:
            of.backlog += 1
        return
    s.semaphores[group, 0] += 1
    worker = first_waiting(s, group)
    if worker >= 0:
        make_ready(s, worker)


@inlined
def expire(s: State, now: int) -> None:
    machine = s.machine[0]
    k = s.timers[0, 2]
    remove(s.timers, machine.timers, 0)
    machine.timers -= 1
    if k < s.tasks.shape[0]:
        make_ready(s, k)
    else:
        expire_part(s, k - s.tasks.shape[0], now)


@inlined
def disturb(s: State, now: int) -> None:
    """A task of others takes some CPU. Times between two, and its own, are drawn evenly from 0 to twice their mean."""
    machine = s.machine[0]
    ask(s, draw(s, s.cpus.shape[0]), 1 + draw(s, 2 * machine.others_ns))
    machine.others_at_ns = now + 1 + draw(s, 2 * machine.others_gap_ns)


@inlined
def settle(s: State, now: int) -> None:
    """Let tasks of others take CPUs, queue what has become runnable, and have each CPU choose that has to."""
    machine = s.machine[0]
    if machine.asked:
        machine.asked = 0
        for c in range(s.cpus.shape[0]):
            if s.cpus[c].asked_ns > 0:
                hold(s, c, now)
    at = 0
    while at < machine.ready:
        become_runnable(s, s.ready[at], now)
        at += 1
    machine.ready = 0
    at = 0
    while at < machine.pending:
        choose(s, s.pending[at], now)
        at += 1
    machine.pending = 0


@inlined
def first_event(s: State) -> tuple[int, int, int]:
    """Key and kind of the event that comes first, and the CPU where it is, if it is on one.

    Key and CPU are found in one search. One for the least key alone would be compiled for several keys at a time, and a
    processor waits when it loads several of which one has just been stored.
    """
    machine = s.machine[0]
    key, kind, first = NEVER, _ON_CPU, 0
    for c in range(s.event_keys.shape[0]):
        if s.event_keys[c] < key:
            key, first = s.event_keys[c], c
    if machine.changed < s.changes.shape[0] and 2 * s.changes[machine.changed, 0] + 1 < key:
        key, kind = 2 * s.changes[machine.changed, 0] + 1, _CHANGE
    if machine.released < s.order.shape[0] and 2 * s.jobs[s.order[machine.released]].at_ns + 1 < key:
        key, kind = 2 * s.jobs[s.order[machine.released]].at_ns + 1, _RELEASE
    if machine.timers > 0 and 2 * s.timers[0, 0] + 1 < key:
        key, kind = 2 * s.timers[0, 0] + 1, _TIMER
    if 2 * machine.others_at_ns + 1 < key:
        key, kind = 2 * machine.others_at_ns + 1, _OTHERS
    return key, kind, first


@inlined
def step(s: State, until: int) -> bool:
    """The next event, if it comes before ``until``, or ends a burst at it. Returns whether there was one."""
    machine = s.machine[0]
    key, kind, c = first_event(s)
    if key > 2 * until:
        return False
    now = key >> 1
    machine.now_ns = now
    machine.events += 1
    machine.waker = -1
    if kind == _ON_CPU:
        look_at(s, c, now)
    elif kind == _CHANGE:
        change_phase(s)
    elif kind == _RELEASE:
        release(s, now)
    elif kind == _TIMER:
        expire(s, now)
    else:
        disturb(s, now)
    return True


@inlined
def run(s: State, until: int) -> bool:
    """Let the machine run. Returns whether it has done all that was planned, and so stopped earlier.

    What was changed in the state since it last ran is settled first.
    """
    machine, goes_on = s.machine[0], True
    while goes_on:
        settle(s, machine.now_ns)
        if machine.stopped and machine.outstanding == 0:
            return True
        goes_on = step(s, until)
    machine.now_ns = until
    return False


def _keyed(digest: int) -> Callable[[State, int], bool]:
    def advance(state: State, until_ns: int) -> bool:
        return run(state, until_ns) if digest else False

    return advance


#: Let the machine of a state run until a moment, or until its last job has ended after the end of the run: then this
#: returns True, and ``now_ns`` of the state is when. The first call of a machine compiles for some seconds.
advance = kept(_keyed(sources_digest()))
