"""Chunks in; transitions out, each drawn by its priority (T. Schaul et al., "Prioritized Experience Replay", 2016).

A transition goes from an observation over some steps to a later one. The priorities are the leaves of a tree whose
inner nodes are sums, so one is drawn, or changed, in as many steps as the tree has levels.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedtel.simulator.compiling import inlined, kept, sources_digest
from schedtel.training.learner.experience import Chunk

#: How much the priority follows the error, and how much a drawn transition is weighed against that.
_BY_ERROR, _AGAINST = 0.6, 0.4
#: So much error is added: nothing has no priority.
_LEAST = 1e-3


class Memory(NamedTuple):
    """Transitions. Its capacity is a power of two."""

    observations: NDArray[np.float32]  # (capacity, numbers)
    later: NDArray[np.float32]  # (capacity, numbers): what was observed some steps later
    later_masks: NDArray[np.bool_]  # (capacity, actions)
    actions: NDArray[np.int64]
    rewards: NDArray[np.float32]  # of the steps in between, discounted
    discounts: NDArray[np.float32]  # what a value of the later observation counts; 0 where the episode has ended
    tree: NDArray[np.float64]  # (2 capacity,): leaves from ``capacity`` on, the root at 1


class Batch(NamedTuple):
    """Some transitions: where they are in the memory, how much each counts, and its arrays."""

    places: NDArray[np.int64]
    weights: NDArray[np.float32]
    observations: NDArray[np.float32]
    later: NDArray[np.float32]
    later_masks: NDArray[np.bool_]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float32]
    discounts: NDArray[np.float32]


#: What a batch takes from the memory.
_DRAWN = Batch._fields[2:]


@inlined
def give_priority(tree: NDArray[np.float64], place: int, priority: float) -> None:
    at = (tree.shape[0] >> 1) + place
    tree[at] = priority
    at >>= 1
    while at >= 1:
        tree[at] = tree[2 * at] + tree[2 * at + 1]
        at >>= 1


@inlined
def copy(m: Memory, place: int, c: Chunk, e: int, begin: int, end: int) -> None:
    """The observations between which a transition goes."""
    for number in range(m.observations.shape[1]):
        m.observations[place, number] = c.observations[begin, e, number]
        m.later[place, number] = c.observations[end, e, number]
    for action in range(m.later_masks.shape[1]):
        m.later_masks[place, action] = c.masks[end, e, action]
    m.actions[place] = c.actions[begin, e]


@inlined
def put(m: Memory, place: int, c: Chunk, e: int, begin: int, ahead: int, discount: float, truncates: bool) -> bool:
    """The transition from a step on; returns whether there is one."""
    end, total, factor, is_over = begin, 0.0, 1.0, False
    while end < c.rewards.shape[0] and end - begin < ahead and not is_over:
        is_over = c.ended[end, e]
        if is_over and truncates:
            break  # what came after the last step was not observed
        total += factor * c.rewards[end, e]
        factor *= discount
        end += 1
    if end == begin:
        return False
    m.rewards[place] = np.float32(total)
    m.discounts[place] = np.float32(0.0 if is_over and not truncates else factor)
    copy(m, place, c, e, begin, end)
    return True


#: Memory, place, chunk, steps, discount, whether episodes only run out of time, and a priority in; how many were made.
Write = Callable[[Memory, int, Chunk, int, float, bool, float], int]
#: Tree, numbers from 0 to 1, places and priorities: the last two are written.
Draw = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]], None]
#: Tree, places and their new priorities.
Change = Callable[[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]], None]


def _keyed(digest: int) -> tuple[Write, Draw, Change]:  # noqa: C901  (three functions)
    def write(m: Memory, place: int, c: Chunk, ahead: int, discount: float, truncates: bool, priority: float) -> int:
        steps, capacity, made = c.rewards.shape[0] if digest else 0, m.actions.shape[0], 0
        for begin in range(steps):
            for e in range(c.rewards.shape[1]):
                if put(m, place, c, e, begin, ahead, discount, truncates):
                    give_priority(m.tree, place, priority)
                    place = (place + 1) % capacity
                    made += 1
        return made

    def draw(
        tree: NDArray[np.float64],
        numbers: NDArray[np.float64],
        places: NDArray[np.int64],
        priorities: NDArray[np.float64],
    ) -> None:
        capacity, count = tree.shape[0] >> 1, numbers.shape[0] if digest else 0
        for n in range(count):
            rest, at = (n + numbers[n]) / count * tree[1], 1
            while at < capacity:
                at *= 2
                if rest >= tree[at] and tree[at + 1] > 0:
                    rest -= tree[at]
                    at += 1
            places[n] = at - capacity
            priorities[n] = tree[at]

    def change(tree: NDArray[np.float64], places: NDArray[np.int64], priorities: NDArray[np.float64]) -> None:
        for n in range(places.shape[0] if digest else 0):
            give_priority(tree, places[n], priorities[n])

    return write, draw, change


_write, _draw, _change = _keyed(sources_digest(Path(__file__).parent))
write: Write = kept(_write)
draw: Draw = kept(_draw)
change: Change = kept(_change)


class Replay:
    """A memory of the last transitions.

    :param capacity: how many, a power of two.
    :param ahead: a transition goes over so many steps, and fewer at the end of a chunk.
    :param discount: of a step.
    :param truncates: whether episodes end only since their time is over.
    """

    def __init__(
        self, capacity: int, numbers: int, actions: int, *, ahead: int, discount: float, truncates: bool, seed: int
    ) -> None:
        self.memory = Memory(
            np.zeros((capacity, numbers), np.float32),
            np.zeros((capacity, numbers), np.float32),
            np.zeros((capacity, actions), np.bool_),
            np.zeros(capacity, np.int64),
            np.zeros(capacity, np.float32),
            np.zeros(capacity, np.float32),
            np.zeros(2 * capacity, np.float64),
        )
        self.size = 0
        self._place, self._highest = 0, 1.0
        self._ahead, self._discount, self._truncates = ahead, discount, truncates
        self._random = np.random.default_rng(seed)

    def add(self, chunk: Chunk) -> None:
        """Keep the transitions of a chunk, with the highest priority that there was."""
        capacity = len(self.memory.actions)
        made = write(self.memory, self._place, chunk, self._ahead, self._discount, self._truncates, self._highest)
        self._place = (self._place + made) % capacity
        self.size = min(capacity, self.size + made)

    def sample(self, count: int) -> Batch:
        """Draw transitions."""
        memory, places, priorities = self.memory, np.empty(count, np.int64), np.empty(count)
        draw(memory.tree, self._random.random(count), places, priorities)
        weights = (self.size * priorities / memory.tree[1]) ** -_AGAINST
        drawn = (getattr(memory, name).take(places, axis=0, mode="clip") for name in _DRAWN)  # quicker than an index
        return Batch(places, (weights / weights.max()).astype(np.float32), *drawn)

    def learn(self, places: NDArray[np.int64], errors: NDArray[np.float32]) -> None:
        """Give transitions the priority of their errors."""
        priorities = (np.abs(errors).astype(np.float64) + _LEAST) ** _BY_ERROR
        change(self.memory.tree, places, priorities)
        self._highest = max(self._highest, float(priorities.max()))
