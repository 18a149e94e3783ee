"""Events alone in; the thread that EEVDF would choose next out, by times and priorities.

It is EEVDF from the beginning: virtual time grows by what was seen to run, a thread that is woken is put at the mean
less its lag. What no event tells is left out: groups and their weights, slices that a thread has asked for, and where
threads stood when tracing began. So all threads of a CPU are on one queue here.
"""

from __future__ import annotations

from collections import defaultdict

from schedtel.oracle.pick.eevdf import Entity, Lag, Queue, choose
from schedtel.oracle.pick.steps import MIGRATE, RUNNABLE, SWITCH, Step
from schedtel.oracle.pick.waiting import FIRST_FAIR

#: kernel/sched/core.c: sched_prio_to_weight, of nice -20 to 19.
_WEIGHTS = (
    *(88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916),
    *(9548, 7620, 6100, 4904, 3906, 3121, 2501, 1991, 1586, 1277),
    *(1024, 820, 655, 526, 423, 335, 272, 215, 172, 137),
    *(110, 87, 70, 56, 45, 36, 29, 23, 18, 15),
)
_USUAL = 1024
#: kernel/sched/fair.c: normalized_sysctl_sched_base_slice, times a factor by the number of CPUs, up to 8.
_BASE_SLICE_NS, _MOST_CPUS = 700_000, 8


class WithoutBooks:
    """A queue of each CPU, made of events.

    :param cpus: how many CPUs the machine has, by which the kernel sets the length of a slice.
    """

    def __init__(self, cpus: int) -> None:
        self._slice_ns = _BASE_SLICE_NS * min(max(cpus, 1), _MOST_CPUS).bit_length()
        self._queues: defaultdict[int, Queue] = defaultdict(Queue)
        self._threads: dict[int, Entity] = {}
        self._lags: dict[int, int] = {}
        self._came_ns: dict[int, int] = {}
        self._last: dict[int, int] = {}

    def pick(self, step: Step) -> int | None:
        """The thread that is chosen at a switch; None where none is known to wait."""
        self._has_run(step)
        queue, leaves = self._queues[step.cpu], self._threads.get(step.prev_tid)
        while queue.entities:
            barred = {step.prev_tid} if step.prev_tid in queue.entities else set()
            chosen = choose(queue, leaves if leaves and leaves.number in queue.entities else None, barred)
            if chosen is None or not chosen.is_delayed:
                return chosen.number if chosen else None
            self._take_off(chosen, queue)
        return None

    def _has_run(self, step: Step) -> None:
        """The thread that leaves: what it ran, and whether it stays."""
        entity, queue = self._threads.get(step.prev_tid), self._queues[step.cpu]
        if entity is None:
            return
        self._put(entity, step.cpu)
        if self._last.get(step.cpu) == step.prev_tid:
            entity.vruntime += (step.time_ns - self._came_ns[step.cpu]) * _USUAL // entity.weight
            if entity.vruntime >= entity.deadline:
                entity.deadline = entity.vruntime + self._slice_ns * _USUAL // entity.weight
        if step.prev_state in RUNNABLE:
            queue.entities[entity.number] = queue.entities.pop(entity.number)  # behind its equals
        elif Lag(queue).is_eligible(entity):
            self._take_off(entity, queue)
        else:
            entity.is_delayed = True

    def follow(self, step: Step) -> None:
        """What an event changes, after the choice."""
        if step.kind == SWITCH:
            self._came_ns[step.cpu], self._last[step.cpu] = step.time_ns, step.tid
            self._is_queued(step.tid, step.prio, step.cpu)
        elif step.kind == MIGRATE:
            entity = self._threads.get(step.tid)
            if entity and entity.number in self._queues[entity.queue].entities:
                was_delayed = entity.is_delayed
                self._take_off(entity, self._queues[entity.queue])
                if not was_delayed:
                    self._put(entity, step.target)
        else:
            self._is_queued(step.tid, step.prio, step.target)

    def _is_queued(self, tid: int, prio: int, cpu: int) -> None:
        if not tid or prio < FIRST_FAIR:
            return
        entity = self._threads.setdefault(tid, Entity(tid, tid))
        entity.weight = _WEIGHTS[min(max(prio - FIRST_FAIR, 0), len(_WEIGHTS) - 1)]
        if entity.is_delayed and Lag(self._queues[entity.queue]).is_eligible(entity):
            self._take_off(entity, self._queues[entity.queue])
        entity.is_delayed = False
        self._put(entity, cpu)

    def _put(self, entity: Entity, cpu: int) -> None:
        """Put a thread on the queue of a CPU, unless it is there: at the mean, less its lag (``place_entity()``)."""
        queue = self._queues[cpu]
        if entity.number in queue.entities:
            return
        if entity.number in self._queues[entity.queue].entities:
            self._take_off(entity, self._queues[entity.queue])
        weight, lag = sum(one.weight for one in queue.entities.values()), self._lags.get(entity.number, 0)
        entity.vruntime = self._mean(queue) - (lag * (weight + entity.weight) // weight if weight else 0)
        entity.deadline = entity.vruntime + self._slice_ns * _USUAL // entity.weight
        entity.queue = cpu
        queue.entities[entity.number] = entity

    def _take_off(self, entity: Entity, queue: Queue) -> None:
        """Take a thread off its queue, and keep its lag, up to two slices (``update_entity_lag()``)."""
        limit = 2 * self._slice_ns * _USUAL // entity.weight
        lag = max(-limit, min(limit, self._mean(queue) - entity.vruntime))
        self._lags[entity.number] = min(lag, 0) if entity.is_delayed else lag
        entity.is_delayed = False
        del queue.entities[entity.number]

    @staticmethod
    def _mean(queue: Queue) -> int:
        entities = queue.entities.values()
        weight = sum(one.weight for one in entities)
        return sum(one.weight * one.vruntime for one in entities) // weight if weight else 0
