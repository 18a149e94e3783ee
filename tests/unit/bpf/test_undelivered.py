"""Events that the kernel does not deliver: the programs make up for them, and count them."""

import model
import pytest
from edges import EDGE, NEXT_EDGE, born_and_running, collect, started
from histories import (
    RAN_DURING_THE_WARM_UP,
    Collect,
    histories,
)
from hypothesis import example, given
from hypothesis import strategies as st
from machine import HostBackend
from model import SLEEPING, TASK_DEAD, Arrive, Exit, Fork, Release, Switch
from readings import assert_law_2, cpu_times, rows_of, total_of

from schedtel.records import layout


def test_a_wakeup_nobody_told_of_is_made_up_for_and_counted(backend):
    backend.play(*born_and_running(), Switch(1_300, 0, 0, None, prev_state=SLEEPING), Switch(1_600, 0, None, 0))
    window = collect(backend)
    row = rows_of(window)[0]
    assert (row["running"], row["blocked"], row["wakeups"]) == (200 + 400, 300, 1)
    assert window.losses["programs_skipped"] == 1


def test_an_exit_nobody_told_of_is_made_up_for_at_the_last_switch(backend):
    backend.play(*born_and_running(), Switch(1_700, 0, 0, None, prev_state=TASK_DEAD), Release(1_710, 0))
    window = collect(backend)
    row = rows_of(window)[0]
    assert (row["running"], row["alive_ns"], row["completion_ns"]) == (600, 600, 1_700)
    assert window.losses["programs_skipped"] == 1
    assert_law_2(window)


def test_a_switch_nobody_told_of_is_dated_by_the_kernels_books(backend):
    """Task 1 waits from 1200 on and leaves its CPU at 1700; the kernel's accounting says that it ran for 100 ns."""
    backend.play(*born_and_running(), Fork(1_200, 1), Arrive(1_200, 1), Switch(1_300, 0, 0, None, prev_state=SLEEPING))
    backend.slice_ns(1, 100)
    backend.play(Switch(1_700, 0, 1, None, prev_state=SLEEPING))
    window = collect(backend)
    row = rows_of(window)[1]
    assert (row["wakeup_wait"], row["running"], row["blocked"], row["max_wait_ns"]) == (400, 100, 300, 400)
    assert window.losses["programs_skipped"] == 1
    assert window.cpus["time_ns"][0, layout.CPU_BUSY] == 200 + 100


def test_an_exit_after_a_switch_nobody_told_of_is_dated_by_the_kernels_books(backend):
    backend.play(*born_and_running(), Fork(1_200, 1), Arrive(1_200, 1), Switch(1_300, 0, 0, None, prev_state=SLEEPING))
    backend.slice_ns(1, 100)
    backend.play(Exit(1_700, 1, 0), Release(1_710, 1), Switch(1_750, 0, 1, None, prev_state=TASK_DEAD))
    window = collect(backend)
    row = rows_of(window)[1]
    assert (row["wakeup_wait"], row["running"], row["alive_ns"], row["first_cpu_ns"]) == (400, 100, 500, 1_600)
    assert (row["completion_ns"], row["bursts"], row["burst_tat_sum_ns"]) == (1_700, 1, 500)
    assert window.losses["programs_skipped"] == 1
    idle = 100 + 300 + (EDGE - 1_750)
    assert cpu_times(window) == {"busy_ns": 200 + 100, "idle_ns": idle, "teardown_ns": 50, "untracked_ns": 0}


@pytest.mark.parametrize(
    ("arrival", "slice_ns", "since"),
    [
        (1_200, 1_000, 1_300),  # another task had the CPU until then
        (1_200, 401, 1_300),
        (1_200, 399, 1_301),
        (1_200, 0, 1_700),
        (1_500, 1_000, 1_500),  # it was not runnable before
        (1_500, 150, 1_550),
    ],
)
@pytest.mark.parametrize("leaves", [Exit(1_700, 1, 0), Switch(1_700, 0, 1, None, prev_state=SLEEPING)])
def test_a_switch_nobody_told_of_cannot_be_older_than_what_is_known(backend, leaves, arrival, slice_ns, since):
    backend.play(*born_and_running(), Fork(1_200, 1))
    steps = [Arrive(arrival, 1), Switch(1_300, 0, 0, None, prev_state=SLEEPING)]
    backend.play(*sorted(steps, key=lambda step: step.now))
    backend.slice_ns(1, slice_ns)
    backend.play(leaves)
    window = collect(backend)
    row = rows_of(window)[1]
    assert (row["wakeup_wait"], row["max_wait_ns"], row["running"]) == (since - arrival, since - arrival, 1_700 - since)
    assert (row["first_cpu_ns"], window.losses["samples_discarded"]) == (since, 0)
    assert_law_2(window)


def test_a_life_that_ends_without_any_time_on_a_cpu_that_was_told_of_keeps_its_row(library):
    """The kernel withholds a sleeper's wakeup and switch, and its accounting is a tick old: the completion counts."""
    backend = started(library, min_activity_ns=1)
    backend.play(*born_and_running(), Switch(1_200, 0, 0, None, prev_state=SLEEPING))
    collect(backend)
    backend.play(Exit(EDGE + 700, 0, 0))
    [record] = collect(backend, NEXT_EDGE + 1, 4_000).tasks
    assert (record["completion_ns"], record["alive_ns"]) == (EDGE + 700, 700)


@pytest.mark.parametrize("leaves", [Exit(EDGE + 700, 0, 0), Switch(EDGE + 700, 0, 0, None, prev_state=SLEEPING)])
def test_a_switch_nobody_told_of_is_not_dated_into_a_window_that_is_reported(backend, leaves):
    backend.play(Fork(1_200, 0), Arrive(1_200, 0))
    first = collect(backend)
    backend.slice_ns(0, 900)
    backend.play(leaves)
    second = collect(backend, NEXT_EDGE + 1, 4_000)
    rows = [rows_of(window)[0] for window in (first, second)]
    assert [row["wakeup_wait"] for row in rows] == [800, 0]
    assert (rows[1]["first_cpu_ns"], rows[1]["max_wait_ns"]) == (EDGE, 800)
    assert [total_of(window)["running"] for window in (first, second)] == [0, 700]
    assert second.losses["samples_discarded"] == 0
    assert_law_2(first)
    assert_law_2(second)


@given(history=histories(), dropped=st.sets(st.integers(0, 79), min_size=1, max_size=6))
@example(RAN_DURING_THE_WARM_UP, {1})
def test_events_not_delivered_leave_law_1_standing(library, history, dropped):
    backend = HostBackend(library, history.cpus, history.first_edge, min_activity_ns=0)
    for index, step in enumerate(history.steps):
        if index in dropped and not isinstance(step, (Fork, Collect)):
            continue
        window = backend.take(step)
        if window is None:
            continue
        total = total_of(window)
        assert sum(total[name] for name in ("running", *model.WAITS, "blocked", "iowait")) == total["alive_ns"]
        for row in rows_of(window).values():
            lived = sum(row[name] for name in ("running", *model.WAITS, "blocked", "iowait"))
            assert lived == row["alive_ns"] <= window.end_ns - window.start_ns
