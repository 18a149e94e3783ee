"""Events one by one in; who runs, waits and sleeps, since when, and what each task has done so far, out.

Where events are missing, what they would have said is forgotten, not guessed: the task that was thought to run on a CPU
where another one leaves is on no CPU and in no queue until an event tells of it. Else it would seem to wait for ever.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict

from schedtel.oracle.runs import IDLE, NOBODY, UNKNOWN_CPU, Kind, Left, comm_of
from schedtel.oracle.successors import Past, Successors

#: Weight of the newest of a task's times in their mean.
_NEWEST = 0.3
#: CPU time is forgotten with this time constant.
MEMORY_NS = 20_000_000.0
#: Tasks that ran on a CPU lately are remembered in their order.
_MOST_RECENT = 12


class Task:
    """What the events so far say of a task. Times are nanoseconds; None where nothing is known."""

    __slots__ = (
        *("comm", "cpu", "prio", "queued_on", "running_on", "since_ns", "ran_ns", "blocked_ns", "woken_ns"),
        *("run_ns", "sleep_ns", "between_ns", "blocks", "used_ns", "used_at_ns"),
    )

    def __init__(self, comm: str) -> None:
        self.comm, self.prio = comm, 120
        self.cpu = self.queued_on = self.running_on = UNKNOWN_CPU
        #: Since when it has waited, when it ran last, when it blocked, when it was woken.
        self.since_ns = 0
        self.ran_ns: int | None = None
        self.blocked_ns: int | None = None
        self.woken_ns: int | None = None
        #: Moving means: of a run, of a sleep, from a wakeup to the next; and how many of its runs end by blocking.
        self.run_ns: float | None = None
        self.sleep_ns: float | None = None
        self.between_ns: float | None = None
        self.blocks = 0.5
        self.used_ns, self.used_at_ns = 0.0, 0

    def share(self, now_ns: int) -> float:
        """Share of a CPU that it had lately, from 0 to 1."""
        return self.used_ns * math.exp((self.used_at_ns - now_ns) / MEMORY_NS) / MEMORY_NS

    def ran(self, length_ns: int, now_ns: int) -> None:
        self.run_ns = _moved(self.run_ns, length_ns)
        self.used_ns = self.used_ns * math.exp((self.used_at_ns - now_ns) / MEMORY_NS) + min(length_ns, MEMORY_NS)
        self.used_at_ns = now_ns


def _moved(mean: float | None, value: float) -> float:
    return value if mean is None else mean + _NEWEST * (value - mean)


class Cpu:
    """A CPU: who runs, since when, who ran before; its queue and who ran lately, each in their order, oldest first."""

    __slots__ = ("before", "came_ns", "queue", "recent", "running", "woken")

    def __init__(self) -> None:
        self.running, self.came_ns = NOBODY, 0
        #: Up to two tasks that ran before, the newest last.
        self.before: Past = ()
        self.queue: dict[int, None] = {}
        self.recent: dict[int, None] = {}
        self.woken: set[int] = set()


class Machine:
    """All tasks and CPUs of a run.

    :param roles: the names of the tasks.
    """

    def __init__(self, roles: tuple[str, ...]) -> None:
        self.tasks = [Task(comm_of(role)) for role in roles]
        self.cpus: defaultdict[int, Cpu] = defaultdict(Cpu)
        self.successors = Successors()
        #: Task → how often it woke each other one while it ran, and how often it ran.
        self.wakes: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self.runs: Counter[int] = Counter()

    def switch(self, now_ns: int, cpu: int, previous: int, task: int, left: int, prio: int) -> bool:
        """A task leaves a CPU and another one comes. Returns whether the one that leaves was known to be there."""
        here = self.cpus[cpu]
        is_known = here.running == previous
        if not is_known:
            self._forget(here)
        self._leave(now_ns, cpu, here, previous, left, is_known=is_known)
        self.successors.add(cpu, (*here.before, previous), task)
        here.before = (*here.before[-1:], previous)
        here.running, here.came_ns = task, now_ns
        self._come(cpu, task, prio)
        return is_known

    def _leave(self, now_ns: int, cpu: int, here: Cpu, task: int, left: int, *, is_known: bool) -> None:
        leaves = self.tasks[task]
        self.runs[task] += 1
        if is_known:
            leaves.ran(now_ns - here.came_ns, now_ns)
            self.wakes[task].update(here.woken)
        here.woken.clear()
        here.recent.pop(task, None)
        here.recent[task] = None
        if len(here.recent) > _MOST_RECENT:
            del here.recent[next(iter(here.recent))]
        self._dequeue(task)
        leaves.running_on, leaves.ran_ns, leaves.cpu = UNKNOWN_CPU, now_ns, cpu
        if task == IDLE:
            return
        leaves.blocks += 0.2 * ((left == Left.BLOCKED) - leaves.blocks)
        if left == Left.BLOCKED:
            leaves.blocked_ns = now_ns
        else:
            self._enqueue(task, cpu, now_ns)

    def _come(self, cpu: int, task: int, prio: int) -> None:
        self._dequeue(task)
        comes = self.tasks[task]
        comes.blocked_ns = None
        comes.prio = prio
        if task != IDLE:
            comes.running_on = comes.cpu = cpu

    def wakeup(self, now_ns: int, cpu: int, task: int, target_cpu: int) -> None:
        """A task is woken. One that runs or waits already stays as it is, but for its queue."""
        woken = self.tasks[task]
        if task == IDLE or woken.running_on != UNKNOWN_CPU:
            return
        here = self.cpus[cpu]
        if here.running > IDLE:
            here.woken.add(task)
        if target_cpu == UNKNOWN_CPU:
            target_cpu = woken.cpu if woken.cpu != UNKNOWN_CPU else cpu
        if woken.queued_on != UNKNOWN_CPU:
            self._move(task, target_cpu)
            return
        if woken.blocked_ns is not None:
            woken.sleep_ns = _moved(woken.sleep_ns, now_ns - woken.blocked_ns)
        if woken.woken_ns is not None:
            woken.between_ns = _moved(woken.between_ns, now_ns - woken.woken_ns)
        woken.woken_ns, woken.blocked_ns = now_ns, None
        self._enqueue(task, target_cpu, now_ns)

    def migrate(self, task: int, target_cpu: int) -> None:
        """A task that waits goes to another CPU's queue."""
        if self.tasks[task].queued_on != UNKNOWN_CPU and target_cpu != UNKNOWN_CPU:
            self._move(task, target_cpu)

    def gap(self, cpu: int) -> None:
        """Events of a CPU, or of all, are missing: nobody knows who runs there, nor who ran before."""
        for here in self.cpus.values() if cpu == UNKNOWN_CPU else [self.cpus[cpu]]:
            self._forget(here)

    def _forget(self, here: Cpu) -> None:
        if here.running > IDLE:
            self.tasks[here.running].running_on = UNKNOWN_CPU
        here.running, here.before = NOBODY, ()
        here.woken.clear()

    def _enqueue(self, task: int, cpu: int, now_ns: int) -> None:
        self.tasks[task].queued_on, self.tasks[task].since_ns = cpu, now_ns
        self.cpus[cpu].queue[task] = None

    def _dequeue(self, task: int) -> None:
        queued_on = self.tasks[task].queued_on
        if queued_on != UNKNOWN_CPU:
            self.cpus[queued_on].queue.pop(task, None)
            self.tasks[task].queued_on = UNKNOWN_CPU

    def _move(self, task: int, cpu: int) -> None:
        """Put a task at the end of another CPU's queue. It has waited since it was put into the first."""
        if self.tasks[task].queued_on != cpu:
            since_ns = self.tasks[task].since_ns
            self._dequeue(task)
            self._enqueue(task, cpu, since_ns)

    def apply(self, event: tuple[int, ...]) -> bool:
        """One event, as a tuple of the fields of EVENT. Returns whether it fits what was known of its CPU."""
        now_ns, cpu, kind, task, prio, previous, left, target_cpu = event
        if kind == Kind.SWITCH:
            return self.switch(now_ns, cpu, previous, task, left, prio)
        if kind == Kind.MIGRATE:
            self.migrate(task, target_cpu)
        elif kind == Kind.GAP:
            self.gap(cpu)
        else:
            self.wakeup(now_ns, cpu, task, target_cpu)
        return True
