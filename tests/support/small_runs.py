"""Runs of a dataset, written by hand: events of tasks by their places among the roles."""

import numpy as np

from schedtel.oracle.runs import EVENT, IDLE_ROLE, NOBODY, UNKNOWN_CPU, Kind, Left, Run

US = 1_000


def switch(us, cpu, previous, task, left=Left.BLOCKED, prio=120):
    return us * US, cpu, Kind.SWITCH, task, prio, previous, left, UNKNOWN_CPU


def wakeup(us, cpu, task, target=UNKNOWN_CPU, new=False):
    return us * US, cpu, Kind.WAKEUP_NEW if new else Kind.WAKEUP, task, 120, NOBODY, 0, target


def migrate(us, cpu, task, target):
    return us * US, cpu, Kind.MIGRATE, task, 120, NOBODY, 0, target


def gap(us, cpu):
    return us * US, cpu, Kind.GAP, NOBODY, 0, NOBODY, 0, UNKNOWN_CPU


def run_of(events, tasks=9, workload="web", number=1):
    roles = (IDLE_ROLE, *(f"{'ab'[at % 2]}#{at}" for at in range(1, tasks + 1)))
    return Run(workload, number, roles, np.array([tuple(map(int, event)) for event in events], EVENT))


def drawn_run(seed, switches=700, tasks=6, workload="web", number=1):
    """Two CPUs on which the task that was woken last comes next, most of the time; with gaps."""
    random = np.random.default_rng(seed)
    events, now, running, asleep = [], 0, {0: 0, 1: 0}, set(range(1, tasks + 1))
    queues = {0: [], 1: []}
    for _ in range(switches):
        now += int(random.integers(5, 50))
        cpu = int(random.integers(2))
        for task in [task for task in sorted(asleep) if random.random() < 0.4]:
            asleep.discard(task)
            queues[cpu].append(task)
            events.append(wakeup(now, cpu, task, cpu))
        if random.random() < 0.02:
            events.append(gap(now, cpu))
        following = queues[cpu].pop() if queues[cpu] else 0
        previous = running[cpu]
        if following == previous:
            continue
        blocks = previous == 0 or random.random() < 0.7
        events.append(switch(now, cpu, previous, following, Left.BLOCKED if blocks else Left.PREEMPTED))
        if previous and blocks:
            asleep.add(previous)
        elif previous:
            queues[cpu].insert(0, previous)
        running[cpu] = following
    return run_of(events, tasks, workload, number)
