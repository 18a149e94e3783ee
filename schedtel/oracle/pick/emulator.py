"""Events and their books, one after the other, in; the thread that EEVDF chooses next on a CPU out.

It does what ``pick_task_fair()`` and what it calls do (kernel/sched/fair.c), on what was told of each entity last. What
changes without an event is followed: a sleeper that stays on its queue until it is chosen, the groups above it, and
buddies, the groups that are favoured because one of their threads has gone to sleep.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from schedtel.oracle.pick.eevdf import Entity, Lag, Queue, choose
from schedtel.oracle.pick.steps import Book

#: Each turn of a choice takes an entity off a queue; damaged books may say that groups contain each other.
_MOST_TURNS, _MOST_LEVELS = 4096, 64


class Emulator:
    """The queues of all CPUs."""

    def __init__(self) -> None:
        self._entities: dict[int, Entity] = {}
        self._queues: defaultdict[int, Queue] = defaultdict(Queue)
        self._threads: dict[int, Entity] = {}
        self._tops: dict[int, int] = {}

    # ---- what is told ----

    def tell(self, books: Iterable[Book], cpu: int) -> None:
        """Take over the books of one thread, which are of a queue of this CPU, the thread's own first."""
        below: Book | None = None
        for book in books:
            entity = self._entities.get(book.entity)
            if entity is None:
                entity = self._entities[book.entity] = Entity(book.entity)
            self._take_over(entity, book)
            if book.level == 0:
                entity.tid, entity.inner = book.tid, None
                self._threads[book.tid] = entity
            elif below and below.parent == book.entity:
                entity.inner = below.queue
            if book.parent is None:
                self._tops[cpu] = book.queue
            below = book

    def _take_over(self, entity: Entity, book: Book) -> None:
        was = (entity.vruntime, entity.deadline, entity.weight)
        if entity.queue != book.queue or not book.on_rq:
            self._take_off(entity)
        elif was != (book.vruntime, book.deadline, book.weight):
            self._queues[entity.queue].entities.pop(entity.number, None)
        entity.queue, entity.parent = book.queue, book.parent
        entity.vruntime, entity.deadline, entity.weight = book.vruntime, book.deadline, book.weight
        entity.is_protected, entity.is_delayed = book.is_protected, book.is_delayed
        if book.on_rq:  # one that has changed was taken off and comes behind its equals
            self._queues[book.queue].entities.setdefault(book.entity, entity)

    def begin(self, cpu: int) -> None:
        """Nothing is known of a CPU: what was told before its first switch may be out of date."""
        left = [self._tops.pop(cpu)] if cpu in self._tops else []
        while left:
            queue = self._queues.pop(left.pop(), Queue())
            left += [entity.inner for entity in queue.entities.values() if entity.inner is not None]

    def tell_buddies(self, books: Iterable[Book]) -> None:
        """Take over which entities are favoured, as it is after the choice."""
        for book in books:
            queue = self._queues[book.queue]
            if book.is_buddy:
                queue.buddy = book.entity
            elif queue.buddy == book.entity:
                queue.buddy = None

    def put_back(self, books: Iterable[Book]) -> None:
        """The thread of these books has stopped running: it and its groups come behind their equals."""
        for book in books:
            entities = self._queues[book.queue].entities
            if book.on_rq and book.entity in entities:
                entities[book.entity] = entities.pop(book.entity)

    def fell_asleep(self, books: Iterable[Book]) -> None:
        """Of a thread that has gone to sleep: favour the group in which others are left (``dequeue_entities()``)."""
        for book in books:
            if book.on_rq:  # it, or its group, stays until it is chosen
                return
            if self._queues[book.queue].entities:
                self._favour(book.parent)
                return

    def forget(self, tid: int) -> None:
        """Take a thread off its queue: it has left without an event."""
        entity = self.entity_of(tid)
        if entity and entity.number in self._queues[entity.queue].entities:
            self._dequeue(entity)

    def entity_of(self, tid: int) -> Entity | None:
        """What was told of a thread last; None if nothing was."""
        return self._threads.get(tid)

    def is_favoured(self, entity: Entity) -> bool:
        """Whether its queue chooses the entity out of turn."""
        return self._queues[entity.queue].buddy == entity.number

    def rivals(self, one: Entity, other: Entity) -> tuple[Entity, Entity] | None:
        """The two, or their groups, on the queue where the choice between them was made; None if there is none."""
        mine, theirs = self._chain(one), self._chain(other)
        shared = next((queue for queue in mine if queue in theirs), None)
        return None if shared is None else (mine[shared], theirs[shared])

    def _chain(self, entity: Entity) -> dict[int, Entity]:
        """By queue, from the thread upward: the entity on it."""
        found: dict[int, Entity] = {}
        above: Entity | None = entity
        while above and above.queue not in found:
            found[above.queue] = above
            above = self._entities.get(above.parent) if above.parent is not None else None
        return found

    # ---- the choice ----

    def pick(self, cpu: int, running: Iterable[int] = (), barred: int | None = None) -> Entity | None:
        """The thread that is chosen on a CPU; None where no thread of the fair class is known to wait.

        :param running: the entities of the thread that leaves, and of its groups.
        :param barred: an entity that is known not to be chosen, since there was a switch away from it.
        """
        current = set(running)
        for _ in range(_MOST_TURNS):
            entity = self._descend(cpu, current, self._barred(barred))
            if entity is None:
                return None
            if entity.is_delayed:
                self._dequeue(entity)
            elif entity.tid is None:  # a group that has nothing to run: it has gone, and no event told
                self._take_off(entity)
            else:
                return entity
        return None

    def _descend(self, cpu: int, current: set[int], barred: set[int]) -> Entity | None:
        """From the CPU's own queue down to a thread, to a sleeper, or to a group without any."""
        entity, queue = None, self._tops.get(cpu)
        for _ in range(_MOST_LEVELS):
            chosen = self._choose(queue, current, barred) if queue is not None else None
            if chosen is None or chosen.is_delayed:
                return chosen or entity
            entity, queue = chosen, chosen.inner
        return entity

    def _choose(self, number: int, current: set[int], barred: set[int]) -> Entity | None:
        queue = self._queues[number]
        running = next((queue.entities[own] for own in current if own in queue.entities), None)
        if running and not running.is_protected and queue.buddy == running.number and len(queue.entities) > 1:
            queue.buddy = None  # its time is up (update_curr())
        return choose(queue, running, barred)

    def _barred(self, number: int | None) -> set[int]:
        """The entity, and the groups in which it is alone."""
        found: set[int] = set()
        while number in self._entities and number not in found:
            found.add(number)
            entity = self._entities[number]
            if self._queues[entity.queue].entities.keys() - found:
                break
            number = entity.parent
        return found

    # ---- what follows without an event ----

    def _take_off(self, entity: Entity) -> None:
        queue = self._queues[entity.queue]
        queue.entities.pop(entity.number, None)
        if queue.buddy == entity.number:
            queue.buddy = None

    def _dequeue(self, entity: Entity) -> None:
        """A sleeper was chosen, and goes. A group that is left empty goes, too, or waits for that where it has had more
        than its share; one that is not is favoured.
        """
        for _ in range(_MOST_LEVELS):
            self._take_off(entity)
            entity.is_delayed = False
            if self._queues[entity.queue].entities:
                self._favour(entity.parent)
                return
            group = self._entities.get(entity.parent) if entity.parent is not None else None
            if group is None or group.number not in self._queues[group.queue].entities:
                return
            if not Lag(self._queues[group.queue]).is_eligible(group):
                group.is_delayed = True
                return
            entity = group

    def _favour(self, number: int | None) -> None:
        for _ in range(_MOST_LEVELS):
            group = self._entities.get(number) if number is not None else None
            if group is None:
                return
            self._queues[group.queue].buddy = group.number
            number = group.parent
