"""When a task woke, by the stamp of its run queue: the programs measure that clock, which is made up here."""

import itertools

import pytest
from edges import born_and_running, collect, started
from hypothesis import given
from hypothesis import strategies as st
from model import Switch
from readings import rows_of

#: How far the run queue's clock is ahead of CLOCK_MONOTONIC.
AHEAD = 5_000_000_000
MEASURED_EVERY, ROUND = 131_072, 16
TASK = 0


class RunQueue:
    """One CPU that queues a task; its clock is ``AHEAD`` at first, and its rate may differ by ``steering_ppm``."""

    def __init__(self, backend, steering_ppm: float = 0):
        self.library, self.steering = backend.library, steering_ppm / 1e6
        self.now = 0

    def stamp(self, moment: int) -> int:
        return moment + AHEAD - int(moment * self.steering)

    def wake(self, after: int, delay: int, cpu: int = 0, since: int = 0) -> int:
        """Queue the task ``after`` ns later, and run the program after ``delay`` ns more. Returns its error in ns."""
        self.now += after
        self.library.host_queue(TASK, 0, self.stamp(self.now))
        return self.library.host_woken_at(self.now + delay, cpu, TASK, since) - self.now

    def settle(self, delay: int = 200) -> None:
        """Two rounds of measurements."""
        for _ in range(2 * ROUND):
            self.wake(MEASURED_EVERY, delay)


@pytest.fixture
def queue(backend):
    return RunQueue(backend)


def test_where_wakeups_are_rare_each_asks_for_the_time(queue):
    """0.3 ms apart, no round of measurements agrees: each time is late by the delay of its program."""
    assert [queue.wake(300_000, delay) for delay in range(100, 4_000, 50)] == list(range(100, 4_000, 50))


def test_the_stamp_is_as_good_as_the_least_delay(queue):
    delays = itertools.cycle([900, 250, 4_000, 300])
    for _ in range(2 * ROUND):
        queue.wake(MEASURED_EVERY, next(delays))
    assert [queue.wake(1_000, delay) for delay in (250, 900, 4_000, 3_000_000)] == [250] * 4


def test_a_smaller_delay_counts_at_once(queue):
    queue.settle(delay=400)
    assert queue.wake(1_000, 90) == 400, "the last measurement is still good: the program does not ask for the time"
    assert queue.wake(MEASURED_EVERY, 90) == 90
    assert queue.wake(1_000, 400) == 90


def test_after_a_pause_nothing_is_taken_for_granted(queue):
    queue.settle()
    assert queue.wake(1_000, 5_000) == 200
    assert queue.wake(10_000_000_000, 5_000) == 5_000
    assert queue.wake(1_000, 6_000) == 6_000
    queue.settle()
    assert queue.wake(1_000, 5_000) == 200


@pytest.mark.parametrize("ppm", [-100_000, -50_000, 1_000, 100_000])
def test_while_a_clock_is_slewed_each_wakeup_asks_for_the_time(backend, ppm):
    queue = RunQueue(backend, ppm)
    queue.settle()
    assert [queue.wake(10_000, delay) for delay in (200, 5_000)] == [200, 5_000]


@given(
    ppm=st.integers(-100, 100),
    wakeups=st.lists(st.tuples(st.integers(1_000, 200_000), st.integers(100, 3_000)), min_size=200, max_size=400),
)
def test_no_time_is_further_off_than_the_delay_and_the_steering(library, ppm, wakeups):
    """A time is early by at most what is steered in two rounds, and late by at most the delay and that steering."""
    queue = RunQueue(started(library), ppm)
    steered = abs(ppm) * 2 * ROUND * 2 * MEASURED_EVERY // 1_000_000 + 1
    for after, delay in wakeups:
        assert -steered <= queue.wake(after, delay) <= max(delay, 3_000) + steered


def test_the_stamp_of_another_cpu_is_not_used(queue):
    """The program runs on CPU 1, and the stamp is of CPU 0: two clocks, and two writers, would meet."""
    queue.settle()
    assert queue.wake(1_000, 5_000, cpu=1) == 5_000
    assert queue.wake(1_000, 5_000) == 200


def test_a_task_that_was_not_queued_has_no_stamp(queue, backend):
    queue.settle()
    backend.library.host_queue(TASK, 0, 0)
    assert backend.library.host_woken_at(queue.now + 5_000, 0, TASK, 0) == queue.now + 5_000


def test_no_task_wakes_before_it_slept(queue):
    queue.settle()
    assert queue.wake(1_000, 5_000, since=queue.now + 1_000 + 300) == 300


def test_waits_begin_at_the_stamp(backend):
    """The wakeup's program runs 700 ns late, and the wait has its full length."""
    queue = RunQueue(backend)
    queue.settle(delay=0)
    start = queue.now
    collect(backend, start, start + 4_000)
    backend.play(*born_and_running(TASK, start + 500), Switch(start + 1_000, 0, TASK, None, prev_state=1))
    backend.library.host_queue(TASK, 0, queue.stamp(start + 2_000))
    backend.library.host_wake(start + 2_700, TASK)
    backend.play(Switch(start + 3_000, 0, None, TASK))
    row = rows_of(collect(backend, start + 4_001, start + 10_000))[TASK]
    assert (row["wakeup_wait"], row["blocked"]) == (1_000, 1_000)
