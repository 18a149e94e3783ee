"""Events one by one in; who runs, waits and sleeps, since when, and what each task has done so far, out.

Where events are missing, what they would have said is forgotten, not guessed: the task that was thought to run on a CPU
where another one leaves is on no CPU and in no queue until an event tells of it. Else it would seem to wait for ever.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TypeAlias

from schedtel.oracle.habits import Habits, Rhythm, Task
from schedtel.oracle.runs import IDLE, NOBODY, UNKNOWN_CPU, Kind, Left, comm_of
from schedtel.oracle.successors import Counts, Past, Successors

#: Tasks that ran on a CPU lately are remembered in their order.
_MOST_RECENT = 12


#: Who runs on a CPU, who came to its queue last and first, and whether others wait: tasks, or numbers of their names.
State: TypeAlias = tuple[int, int, int, bool]


class Cpu:
    """A CPU: who runs, since when, who ran before; its queue and who ran lately, each in their order, oldest first."""

    __slots__ = ("before", "came_ns", "queue", "recent", "running", "state", "switches", "wakeups", "woken", "woken_ns")

    def __init__(self) -> None:
        self.running, self.came_ns = NOBODY, 0
        #: Up to two tasks that ran before, the newest last.
        self.before: Past = ()
        self.queue: dict[int, None] = {}
        self.recent: dict[int, None] = {}
        self.woken: set[int] = set()
        #: Wakeups of tasks to its queue: the times between two, and when the last one was.
        self.wakeups, self.woken_ns = Rhythm(), 0
        self.switches = 0
        #: What it was right after the last switch.
        self.state: State | None = None

    def now(self) -> State:
        """Its state."""
        newest, oldest = next(reversed(self.queue), NOBODY), next(iter(self.queue), NOBODY)
        return self.running, newest, oldest, len(self.queue) > 2


class Machine:
    """All tasks and CPUs of a run.

    :param roles: the names of the tasks.
    """

    def __init__(self, roles: tuple[str, ...]) -> None:
        comms = [comm_of(role) for role in roles]
        kin: defaultdict[str, Habits] = defaultdict(Habits)
        self.tasks = [Task(comm, kin[comm]) for comm in comms]
        #: The number of each task's name; the last place is that of NOBODY.
        self.names = [*map({comm: at for at, comm in enumerate(dict.fromkeys(comms))}.__getitem__, comms), NOBODY]
        self.cpus: defaultdict[int, Cpu] = defaultdict(Cpu)
        self.successors = Successors()
        #: Task → how often it woke each other one while it ran, and how often it ran.
        self.wakes: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self.runs: Counter[int] = Counter()
        #: Which task came after a state, which name after one of names, and which name after a name.
        self.by_state: defaultdict[State, Counts] = defaultdict(Counts)
        self.by_named_state: defaultdict[State, Counts] = defaultdict(Counts)
        self.by_name: defaultdict[int, Counts] = defaultdict(Counts)

    def switch(self, now_ns: int, cpu: int, previous: int, task: int, left: int, prio: int) -> bool:
        """A task leaves a CPU and another one comes. Returns whether the one that leaves was known to be there."""
        here = self.cpus[cpu]
        is_known = here.running == previous
        if not is_known:
            self._forget(here)
        self._leave(now_ns, cpu, here, previous, left, is_known=is_known)
        self._count(cpu, here, previous, task)
        here.before = (*here.before[-1:], previous)
        here.running, here.came_ns, here.switches = task, now_ns, here.switches + 1
        self._come(now_ns, cpu, task, prio)
        here.state = here.now()
        return is_known

    def _count(self, cpu: int, here: Cpu, previous: int, task: int) -> None:
        """Note who came after whom."""
        self.successors.add(cpu, (*here.before, previous), task)
        self.by_name[self.names[previous]].add(self.names[task])
        if here.state:
            self.by_state[here.state].add(task)
            self.by_named_state[self.named(here.state)].add(self.names[task])

    def named(self, state: State) -> State:
        """A state by names in place of tasks."""
        running, newest, oldest, are_more = state
        return self.names[running], self.names[newest], self.names[oldest], are_more

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
        leaves.ended(blocked=left == Left.BLOCKED)
        if left == Left.BLOCKED:
            leaves.blocked_ns = now_ns
        else:
            self._enqueue(task, cpu, now_ns)

    def _come(self, now_ns: int, cpu: int, task: int, prio: int) -> None:
        comes = self.tasks[task]
        if comes.queued_on != UNKNOWN_CPU:
            comes.note("wait", now_ns - comes.since_ns)
        self._dequeue(task)
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
            woken.note("sleep", now_ns - woken.blocked_ns)
        if woken.woken_ns is not None:
            woken.note("between", now_ns - woken.woken_ns)
        woken.woken_ns, woken.blocked_ns, woken.served_ns, woken.waker = now_ns, None, 0, here.running
        there = self.cpus[target_cpu]
        there.wakeups.add(now_ns - there.woken_ns)
        there.woken_ns = now_ns
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
        here.running, here.before, here.state = NOBODY, (), None
        here.woken.clear()

    def _enqueue(self, task: int, cpu: int, now_ns: int) -> None:
        queued, here = self.tasks[task], self.cpus[cpu]
        queued.queued_on, queued.since_ns, queued.passed_from = cpu, now_ns, here.switches
        here.queue[task] = None

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
