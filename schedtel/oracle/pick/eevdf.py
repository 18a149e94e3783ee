"""The entities of a queue in; the one that EEVDF chooses out, as ``pick_eevdf()`` of kernel/sched/fair.c does."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Entity:
    """A thread, or a group of threads on one CPU, as the scheduler sees it.

    ``tid``: of a thread; None of a group, whose threads and groups are on the queue ``inner``. ``is_protected``: while
    it runs, others wait. ``is_delayed``: it sleeps, and is on its queue until it is chosen.
    """

    number: int
    tid: int | None = None
    queue: int = 0
    parent: int | None = None
    inner: int | None = None
    vruntime: int = 0
    deadline: int = 0
    weight: int = 2
    is_protected: bool = False
    is_delayed: bool = False


@dataclass(slots=True)
class Queue:
    """What is on a queue, in the order in which it came, by number; and which one is chosen next, out of turn."""

    entities: dict[int, Entity] = field(default_factory=dict)
    buddy: int | None = None


class Lag:
    """Whether entities of a queue have had less than their share: the weighted mean of all decides.

    The kernel divides nothing either: it compares products (``vruntime_eligible()``).
    """

    def __init__(self, queue: Queue) -> None:
        entities = queue.entities.values()
        self._sum = sum(entity.weight * entity.vruntime for entity in entities)
        self._weight = sum(entity.weight for entity in entities)

    def is_eligible(self, entity: Entity) -> bool:
        """Whether the entity may be chosen."""
        return self._sum >= entity.vruntime * self._weight


def choose(queue: Queue, current: Entity | None, barred: frozenset[int] | set[int] = frozenset()) -> Entity | None:
    """The entity that runs next; None where there is none.

    Of those that are eligible, the one with the earliest deadline; of two with the same, the one that came first, and
    any before the current one. Before that, a buddy that is eligible, and a current one that is eligible and protected.

    :param current: the one of this queue that runs.
    :param barred: numbers of entities that are known not to be chosen. Protection does not count then.
    """
    if len(queue.entities) == 1 and not barred:
        return next(iter(queue.entities.values()))
    lag = Lag(queue)
    buddy = queue.entities.get(queue.buddy) if queue.buddy is not None else None
    if buddy and buddy.number not in barred and lag.is_eligible(buddy):
        return buddy
    if current and (current.number in barred or not lag.is_eligible(current)):
        current = None
    if current and current.is_protected and not barred:
        return current
    return _earliest(queue, current, barred, lag)


def _earliest(queue: Queue, current: Entity | None, barred: frozenset[int] | set[int], lag: Lag) -> Entity | None:
    others = [entity for number, entity in queue.entities.items() if entity is not current and number not in barred]
    eligible = list(filter(lag.is_eligible, others))
    best = min(eligible, key=lambda entity: entity.deadline, default=None)  # of equals, the first
    if current and (best is None or current.deadline < best.deadline):
        return current
    # Someone is always eligible, but that may be one who is barred.
    return best or min(others, key=lambda entity: entity.vruntime, default=None)
