"""Tasks without memory for their state, and tasks that the iterator does not reach."""

import pytest
from edges import EDGE, NEXT_EDGE, born_and_running, collect
from model import SLEEPING, Arrive, Fork, Switch, Wake
from readings import assert_law_2, cpu_times, numbers_of, rows_of

MEMORY_IS_SHORT = 1_000


@pytest.mark.parametrize("refused", [1, 2, 3])
def test_memory_short_for_a_moment_at_a_fork_costs_nothing(backend, refused):
    """Each failed attempt makes the kernel refill its cache: the life is whole, whichever attempt finds memory."""
    backend.library.host_refuse_allocations(refused)
    backend.play(*born_and_running())
    window = collect(backend)
    row = rows_of(window)[0]
    assert (row["arrival_ns"], row["first_cpu_ns"], row["running"]) == (1_100, 1_100, 900)
    assert window.losses["state_failed"] == 0


def test_a_task_without_memory_for_its_state_is_counted_and_followed_once_it_leaves_its_cpu(backend):
    backend.library.host_refuse_allocations(MEMORY_IS_SHORT)
    backend.play(*born_and_running())
    backend.library.host_refuse_allocations(0)
    backend.standing(0, on_cpu=1, on_rq=1)
    first, second = collect(backend), collect(backend, NEXT_EDGE + 1, 4_000)
    assert (first.losses["state_failed"], second.losses["state_failed"]) == (1, 0)
    # The CPU counts its time as untracked already, so the programs follow the task only once it has left the CPU.
    assert [cpu_times(window)["untracked_ns"] for window in (first, second)] == [900, 1_000]
    assert (len(first.tasks), len(second.tasks)) == (0, 0)
    backend.play(Switch(3_100, 0, 0, None, prev_state=SLEEPING), Wake(3_200, 0), Switch(3_300, 0, None, 0))
    third = collect(backend, 4_001, 5_000)
    [record] = third.tasks
    row = numbers_of(record)
    assert (row["running"], row["wakeup_wait"], row["blocked"], row["alive_ns"]) == (700, 100, 100, 900)
    assert (record["left_censored"], row["first_cpu_ns"]) == (1, 0)
    assert cpu_times(third)["untracked_ns"] == 100
    for window in (first, second, third):
        assert_law_2(window)


def test_a_task_without_memory_that_waits_is_followed_from_the_next_flush(backend):
    backend.library.host_refuse_allocations(MEMORY_IS_SHORT)
    backend.play(Fork(1_100, 0), Arrive(1_100, 0))
    backend.library.host_refuse_allocations(0)
    backend.standing(0, on_rq=1)
    assert collect(backend).losses["state_failed"] == 1
    backend.play(Switch(2_500, 0, None, 0))
    second = collect(backend, NEXT_EDGE + 1, 4_000)
    [record] = second.tasks
    row = numbers_of(record)
    assert (row["preempt_wait"], row["running"], row["alive_ns"]) == (2_500 - (EDGE + 1), 500, NEXT_EDGE - (EDGE + 1))
    assert (record["left_censored"], sum(row["wait_histogram"])) == (1, 0)
    assert_law_2(second)


def test_a_task_the_iterator_does_not_reach_is_a_loss_and_not_silence(backend):
    backend.play(*born_and_running())
    backend.library.host_release(0)
    collect(backend)
    backend.play(Switch(EDGE + 10, 0, 0, None, prev_state=SLEEPING))
    assert collect(backend, NEXT_EDGE + 1, 4_000).losses["state_failed"] == 1
