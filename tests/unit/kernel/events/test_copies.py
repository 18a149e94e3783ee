"""Events between two threads: nothing is lost or doubled, and there is a bound."""

import threading

import numpy as np
import pytest
from event_words import life, lives, raw, wakeup

from schedtel.errors import UsageError
from schedtel.kernel.events.copies import Copies
from schedtel.kernel.events.tracer import EventTracer, default_ring_bytes
from schedtel.kernel.filters import Filter
from schedtel.records.buffer import opaque
from schedtel.records.event_layout import EVENT, times


def added(copies, cpu, *words):
    copies.events.add(cpu, raw(*words).view(opaque(EVENT)))


def test_what_is_added_is_taken_once_by_cpu_and_in_order():
    copies = Copies()
    added(copies, 1, wakeup(10, 1, 0))
    added(copies, 0, wakeup(11, 1, 0))
    added(copies, 1, wakeup(12, 1, 0), wakeup(13, 1, 0))
    copies.append(lives(life(5, 1, 1)))
    taken = copies.take()
    assert {cpu: times(events).tolist() for cpu, events in taken.events.items()} == {1: [10, 12, 13], 0: [11]}
    assert taken.lives["time_ns"].tolist() == [5]
    assert copies.take().events == {}
    assert len(copies.take().lives) == 0


def test_room_shrinks_with_what_waits_and_comes_back():
    copies = Copies(most_events=3)
    added(copies, 0, wakeup(1, 1, 0), wakeup(2, 1, 0))
    assert (copies.events.room, copies.events.waiting) == (1, 2)
    added(copies, 0, wakeup(3, 1, 0), wakeup(4, 1, 0))
    assert copies.events.room == 0
    copies.take()
    assert copies.events.room == 3


def test_two_threads_lose_nothing():
    copies, seen, total = Copies(), [], 2_000

    def add():
        for number in range(total):
            added(copies, 0, wakeup(number, 1, 0))

    thread = threading.Thread(target=add)
    thread.start()
    while sum(map(len, seen)) < total:
        seen += list(copies.take().events.values())
    thread.join()
    assert np.array_equal(times(np.concatenate(seen)), np.arange(total))


@pytest.mark.parametrize(("cpus", "megabytes"), [(1, 8), (2, 8), (64, 8), (65, 4), (128, 4), (512, 1), (8192, 1)])
def test_rings_share_half_a_gigabyte(cpus, megabytes):
    assert default_ring_bytes(cpus) == megabytes << 20


@pytest.mark.parametrize("size", [0, 1, 4095, 5000, 12288])
def test_a_ring_has_a_size_that_is_a_power_of_two(size):
    with pytest.raises(UsageError, match=f"cannot use a ring of {size} bytes: it must be a power of two"):
        EventTracer(Filter(), size)
