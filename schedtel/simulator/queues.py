"""Tasks in; the same in an order out: heaps by a key, queues of CPUs, and those that wait for a semaphore."""

import numpy as np
from numpy.typing import NDArray

from schedtel.records.layout import BLOCKED
from schedtel.simulator.compiling import inlined
from schedtel.simulator.state import OWN, PEER, State

# ---- heaps ----


@inlined
def is_after(heap: NDArray[np.int64], at: int, key: int, order: int) -> bool:
    """Whether the entry ``at`` comes after one of this key and order. A branch here could not be predicted."""
    return (heap[at, 0] > key) | ((heap[at, 0] == key) & (heap[at, 1] > order))


@inlined
def is_before(heap: NDArray[np.int64], at: int, other: int) -> bool:
    """Whether the entry ``at`` comes before another."""
    return is_after(heap, other, heap[at, 0], heap[at, 1])


@inlined
def put(heap: NDArray[np.int64], at: int, key: int, order: int, task: int) -> None:
    heap[at, 0] = key
    heap[at, 1] = order
    heap[at, 2] = task


@inlined
def move(heap: NDArray[np.int64], at: int, to: int) -> None:
    heap[to, 0] = heap[at, 0]
    heap[to, 1] = heap[at, 1]
    heap[to, 2] = heap[at, 2]


@inlined
def rise(heap: NDArray[np.int64], at: int, key: int, order: int, task: int) -> None:
    """Put an entry at a free place or above it."""
    while at > 0 and is_after(heap, (at - 1) >> 1, key, order):
        move(heap, (at - 1) >> 1, at)
        at = (at - 1) >> 1
    put(heap, at, key, order, task)


@inlined
def remove(heap: NDArray[np.int64], size: int, at: int) -> None:
    """Take an entry out of a heap of ``size``, which has one less from then on.

    The gap goes down to a leaf, and the last entry rises from there. It comes from a leaf and mostly stays near one, so
    this compares less than letting it sink (R. W. Floyd's way: D. E. Knuth, 1998, section 5.2.3, exercise 18).
    """
    last = size - 1
    key, order, task = heap[last, 0], heap[last, 1], heap[last, 2]
    if at == last:
        return
    child = 2 * at + 1
    while child < last:
        if (child + 1 < last) & is_after(heap, child, heap[child + 1, 0], heap[child + 1, 1]):
            child += 1
        move(heap, child, at)
        at = child
        child = 2 * at + 1
    rise(heap, at, key, order, task)


# ---- the queue of a CPU, in the order in which tasks came ----


@inlined
def append(s: State, cpu: int, task: int) -> None:
    place = s.cpus[cpu]
    s.tasks[task].next = -1
    s.tasks[task].previous = place.tail
    if place.tail >= 0:
        s.tasks[place.tail].next = task
    else:
        place.head = task
    place.tail = task
    place.length += 1


@inlined
def unlink(s: State, cpu: int, task: int) -> None:
    place, before, behind = s.cpus[cpu], s.tasks[task].previous, s.tasks[task].next
    if before >= 0:
        s.tasks[before].next = behind
    else:
        place.head = behind
    if behind >= 0:
        s.tasks[behind].previous = before
    else:
        place.tail = before
    place.length -= 1


# ---- those that wait for a semaphore, first come, first served ----


@inlined
def wait_for(s: State, semaphore: int, task: int) -> None:
    s.tasks[task].behind = -1
    last = s.semaphores[semaphore, 2]
    if last >= 0:
        s.tasks[last].behind = task
    else:
        s.semaphores[semaphore, 1] = task
    s.semaphores[semaphore, 2] = task


@inlined
def first_waiting(s: State, semaphore: int) -> int:
    """Take the first task that waits; -1 if none does."""
    task = s.semaphores[semaphore, 1]
    if task >= 0:
        s.semaphores[semaphore, 1] = s.tasks[task].behind
        if s.semaphores[semaphore, 1] < 0:
            s.semaphores[semaphore, 2] = -1
    return int(task)


# ---- what is to be done at this moment ----


@inlined
def make_ready(s: State, task: int) -> None:
    """Have a task become runnable once the event of this moment is over."""
    machine = s.machine[0]
    s.ready[machine.ready] = task
    machine.ready += 1


@inlined
def choose_anew(s: State, cpu: int) -> None:
    """Have a CPU choose its task once all that become runnable at this moment are queued."""
    machine, place = s.machine[0], s.cpus[cpu]
    if not place.pending:
        place.pending = 1
        s.pending[machine.pending] = cpu
        machine.pending += 1


# ---- semaphores and sleepers ----


@inlined
def semaphore_of(s: State, k: int, operand: int) -> int:
    if operand >= 0:
        return operand
    return int(s.machine[0].own_semaphores + (k if operand == OWN else s.tasks[k].peer))


@inlined
def wait(s: State, k: int, semaphore: int) -> int:
    if s.semaphores[semaphore, 0] > 0:
        s.semaphores[semaphore, 0] -= 1
        return 0
    wait_for(s, semaphore, k)
    return BLOCKED


@inlined
def post(s: State, k: int, operand: int) -> None:
    """Wake the first that waits, or count. What is posted to a partner tells it how much work its part is."""
    semaphore = semaphore_of(s, k, operand)
    if operand == PEER:
        s.tasks[s.tasks[k].peer].work_ns = s.tasks[k].work_ns
    woken = first_waiting(s, semaphore)
    if woken >= 0:
        make_ready(s, woken)
    else:
        s.semaphores[semaphore, 0] += 1


@inlined
def set_timer(s: State, k: int, moment: int) -> None:
    machine = s.machine[0]
    rise(s.timers, machine.timers, moment, k, k)
    machine.timers += 1
