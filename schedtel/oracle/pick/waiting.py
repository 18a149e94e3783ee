"""Events in; who waits on which CPU, since when, and who of a higher class goes first, out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import count

from schedtel.oracle.pick.steps import MIGRATE, PREEMPTED, RUNNABLE, SWITCH, Step

#: Priorities below this are not of the fair class (include/linux/sched/prio.h: MAX_RT_PRIO).
FIRST_FAIR = 100


@dataclass(frozen=True, slots=True)
class Wait:
    """Since when a thread waits, and whether a wakeup began that; and its priority."""

    since_ns: int
    was_woken: bool
    prio: int


class Waiting:
    """Who runs and who waits on each CPU."""

    def __init__(self) -> None:
        self.running: dict[int, int] = {}
        self._waits: defaultdict[int, dict[int, Wait]] = defaultdict(dict)
        self._where: dict[int, int] = {}
        self._prios: dict[int, int] = {}
        #: The order among real-time threads of a CPU, lowest first.
        self._ranks: dict[int, tuple[int, int]] = {}
        self._numbers = count(1)

    def on(self, cpu: int) -> dict[int, Wait]:
        """The threads that wait on a CPU."""
        return self._waits[cpu]

    def first_of_a_higher_class(self, cpu: int) -> int | None:
        """The thread that goes before all of the fair class; None if there is none."""
        ranked = [tid for tid, wait in self._waits[cpu].items() if wait.prio < FIRST_FAIR]
        return min(ranked, key=self._ranks.__getitem__, default=None)

    def ghost(self, step: Step) -> int | None:
        """The thread that was on the CPU of a switch by what is known, and is not the one that leaves."""
        running = self.running.get(step.cpu)
        return running if running not in (None, 0, step.prev_tid) else None

    def begins(self, step: Step) -> bool:
        """Whether a switch is the first one of its CPU; if so, all that is known of the CPU is forgotten."""
        if step.cpu in self.running:
            return False
        for tid in list(self._waits[step.cpu]):
            self._stop(tid)
        return True

    def follow(self, step: Step) -> None:
        """What an event changes."""
        if step.kind == SWITCH:
            self._switch(step)
        elif step.kind == MIGRATE:
            wait = self._stop(step.tid)
            if wait:
                self.begin(step.tid, step.target, wait)
        elif self.running.get(step.target) != step.tid:
            self._prios[step.tid] = step.prio
            if self._where.get(step.tid) != step.target:
                self.begin(step.tid, step.target, Wait(step.time_ns, was_woken=True, prio=step.prio))

    def _switch(self, step: Step) -> None:
        self._stop(step.tid)
        self._stop(step.prev_tid)
        self.running[step.cpu], self._prios[step.tid] = step.tid, step.prio
        if step.prev_tid and step.prev_state in RUNNABLE:
            prio = self._prios.get(step.prev_tid, FIRST_FAIR)
            wait = Wait(step.time_ns, was_woken=False, prio=prio)
            self.begin(step.prev_tid, step.cpu, wait, goes_first=step.prev_state == PREEMPTED)

    def begin(self, tid: int, cpu: int, wait: Wait, *, goes_first: bool = False) -> None:
        """The thread waits from now on; before others of its priority if it ``goes_first``."""
        self._stop(tid)
        self._waits[cpu][tid], self._where[tid] = wait, cpu
        number = next(self._numbers)
        self._ranks[tid] = (wait.prio, -number if goes_first else number)

    def prio(self, tid: int) -> int:
        """The last that is known of a thread's priority."""
        return self._prios.get(tid, FIRST_FAIR)

    def _stop(self, tid: int) -> Wait | None:
        cpu = self._where.pop(tid, None)
        return None if cpu is None else self._waits[cpu].pop(tid)

    def pass_over(self, cpu: int) -> None:
        """A thread of the fair class came although others go first: those are throttled, until they are woken."""
        for tid in [tid for tid, wait in self._waits[cpu].items() if wait.prio < FIRST_FAIR]:
            self._stop(tid)

    def forget(self, tid: int) -> None:
        """The thread has gone without an event."""
        self._stop(tid)
