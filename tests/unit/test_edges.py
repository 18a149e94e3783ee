"""What happens around a window's edge and at the ends of a life, worked on paper: a window from 1000 ns to 2000 ns."""

from dataclasses import replace
from functools import partial
from unittest import mock

import model
import numpy as np
import pytest
import samples
import test_machine
from histories import (
    FIRST_CPU_ON_THE_EDGE,
    RAN_DURING_THE_WARM_UP,
    RAN_FOR_NO_TIME,
    RAN_FOR_NO_TIME_ON_THE_EDGE,
    Collect,
    histories,
)
from hypothesis import example, given
from hypothesis import strategies as st
from machine import FIRST_TID, HostBackend
from model import SLEEPING, TASK_DEAD, Arrive, Exit, Fork, Release, Switch, Wake
from test_machine import CPU_TIMES, numbers_of, rows_of, total_of

from schedtel.kernel.core.backend import CoreBackend
from schedtel.records import layout

FIRST_EDGE, EDGE, NEXT_EDGE = 1_000, 2_000, 3_000
MEMORY_IS_SHORT = 1_000


@pytest.fixture
def backend(library):
    """One CPU, one window from 1000 to 2000; every task has a row."""
    return started(library)


def started(library, cpus: int = 1, **settings) -> HostBackend:
    backend = HostBackend(library, cpus, FIRST_EDGE, **({"min_activity_ns": 0} | settings))
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    return backend


def play(backend: HostBackend, *events) -> None:
    for event in events:
        if isinstance(event, Fork):
            backend.task(event.task)
        backend.happen(event)


def collect(backend: HostBackend, now: int = EDGE + 1, next_edge: int = NEXT_EDGE, **more):
    return backend.collect_at(now, next_edge, **more)


def cpu_times(window, cpu: int = 0) -> dict[str, int]:
    return {name: int(window.cpus["time_ns"][cpu, phase]) for name, phase in CPU_TIMES.items()}


def assert_law_2(window) -> None:
    times = [cpu_times(window, cpu) for cpu in range(len(window.cpus))]
    rest = sum(time[name] for time in times for name in ("idle_ns", "teardown_ns", "untracked_ns"))
    assert total_of(window)["running"] + rest == (window.end_ns - window.start_ns) * len(window.cpus)


def born_and_running(task: int = 0, now: int = 1_100, cpu: int = 0):
    return Fork(now, task), Arrive(now, task), Switch(now, cpu, None, task)


def test_a_task_preempted_on_its_way_to_sleep_keeps_waiting(backend):
    """Its state says asleep, but it is on the run queue: tools that look at the state alone miss this wait."""
    play(backend, *born_and_running(), Fork(1_100, 1), Arrive(1_100, 1))
    play(backend, Switch(1_300, 0, 0, 1, preempt=True, prev_state=SLEEPING))
    play(backend, Switch(1_450, 0, 1, 0, prev_state=SLEEPING))
    row = rows_of(collect(backend))[0]
    assert (row["preempt_wait"], row["blocked"], row["involuntary_switches"]) == (150, 0, 1)
    assert row["running"] == (1_300 - 1_100) + (EDGE - 1_450)


def test_a_task_that_a_signal_kept_from_sleeping_keeps_waiting_though_the_argument_says_asleep(backend):
    play(backend, *born_and_running(), Fork(1_100, 1), Arrive(1_100, 1))
    backend.library.host_turn_back()
    play(backend, Switch(1_300, 0, 0, 1, prev_state=SLEEPING), Switch(1_450, 0, 1, 0, prev_state=SLEEPING))
    window = collect(backend)
    row = rows_of(window)[0]
    assert (row["preempt_wait"], row["blocked"], row["involuntary_switches"], row["bursts"]) == (150, 0, 1, 0)
    assert window.losses["programs_skipped"] == 0


def test_waking_a_task_that_runs_changes_nothing(backend):
    play(backend, *born_and_running(), Wake(1_200, 0))
    row = rows_of(collect(backend))[0]
    assert (row["wakeups"], row["running"], row["wakeup_wait"]) == (0, 900, 0)


def test_a_life_that_ends_on_the_edge_completes_in_the_window_it_ends_with(backend):
    play(backend, *born_and_running(), Exit(EDGE, 0, 0), Switch(EDGE + 5, 0, 0, None, prev_state=TASK_DEAD))
    first, second = collect(backend, EDGE + 9), collect(backend, NEXT_EDGE + 1, 4_000)
    row = rows_of(first)[0]
    assert (row["running"], row["alive_ns"], row["completion_ns"]) == (900, 900, EDGE)
    # It lived no nanosecond of the second window, which has 5 ns of its tear-down.
    assert (rows_of(second), int(second.folded["tasks"].sum())) == ({}, 0)
    assert [cpu_times(window)["teardown_ns"] for window in (first, second)] == [0, 5]
    assert_law_2(first)
    assert_law_2(second)


def test_a_first_cpu_at_the_edge_is_not_known_before_it(backend):
    play(backend, Fork(1_400, 0), Arrive(1_500, 0), Switch(EDGE, 0, None, 0))
    row = rows_of(collect(backend))[0]
    assert (row["wakeup_wait"], row["first_cpu_ns"], row["waits_unfinished"]) == (500, 0, 1)


def test_a_response_time_that_ends_on_the_edge_is_counted_once(backend):
    play(backend, Fork(1_400, 0), Arrive(1_500, 0), Switch(EDGE, 0, None, 0))
    windows = [samples.build(raw, 1) for raw in (collect(backend), collect(backend, NEXT_EDGE + 1, 4_000))]
    assert [window.metrics.rt.count for window in windows] == [0, 1]


def test_a_life_that_ends_before_a_late_flush_has_its_end_in_the_later_window_only(backend):
    """Past the edge it runs 50 ns, then exits; the flush comes after. The window before is still owed."""
    end = Switch(EDGE + 60, 0, 0, None, prev_state=TASK_DEAD)
    play(backend, *born_and_running(), Exit(EDGE + 50, 0, 0), end)
    first, second = (rows_of(w)[0] for w in (collect(backend, EDGE + 100), collect(backend, NEXT_EDGE + 1, 4_000)))
    assert (first["running"], first["alive_ns"], first["completion_ns"]) == (900, 900, 0)
    assert (second["running"], second["alive_ns"], second["completion_ns"]) == (50, 50, EDGE + 50)


@pytest.mark.parametrize("exits_at", [1_900, EDGE - 1, EDGE, EDGE + 1, EDGE + 50])
def test_a_thread_unhashed_before_its_last_switch_keeps_its_row(backend, exits_at):
    """It reaps itself after completion; the edge and the flush pass; only then it leaves its CPU."""
    play(backend, *born_and_running(), Exit(exits_at, 0, 0), Release(exits_at, 0))
    first = collect(backend, EDGE + 100)
    play(backend, Switch(EDGE + 300, 0, 0, None, prev_state=TASK_DEAD))
    windows = [first, collect(backend, NEXT_EDGE + 1, 4_000), collect(backend, 4_001, 5_000)]
    completions = [(int(record["completion_ns"]), i) for i, w in enumerate(windows) for record in w.tasks]
    assert [found for found in completions if found[0]] == [(exits_at, int(exits_at > EDGE))]
    assert len(completions) == 1 + (exits_at > EDGE)
    running = [min(exits_at, EDGE) - 1_100, max(exits_at - EDGE, 0), 0]
    assert [total_of(window)["running"] for window in windows] == running
    teardown = [max(EDGE - exits_at, 0), EDGE + 300 - max(exits_at, EDGE), 0]
    assert [cpu_times(window)["teardown_ns"] for window in windows] == teardown
    for window in windows:
        assert_law_2(window)
        assert not any(window.losses.values())


def test_a_task_that_completed_is_torn_down_on_whatever_cpu_it_comes_back_to(library):
    backend = started(library, cpus=2)
    play(backend, *born_and_running(), Exit(1_300, 0, 0), Switch(1_350, 0, 0, None, preempt=True))
    play(backend, Wake(1_400, 0), Switch(1_500, 1, None, 0), Release(1_550, 0))
    window = collect(backend)
    play(backend, Switch(EDGE + 20, 1, 0, None, prev_state=TASK_DEAD))
    row = rows_of(window)[0]
    assert (row["running"], row["alive_ns"], row["preempt_wait"], row["wakeups"]) == (200, 200, 0, 0)
    assert (row["involuntary_switches"], row["migrations"]) == (0, 0)
    assert [cpu_times(window, cpu)["teardown_ns"] for cpu in (0, 1)] == [50, 500]
    assert cpu_times(collect(backend, NEXT_EDGE + 1, 4_000), 1)["teardown_ns"] == 20
    assert_law_2(window)


def test_a_life_that_ends_before_the_warm_up_is_drained_keeps_its_row(library):
    backend = HostBackend(library, 1, FIRST_EDGE)
    play(backend, *born_and_running(now=FIRST_EDGE + 1), Exit(FIRST_EDGE + 9, 0, 0))
    play(backend, Switch(FIRST_EDGE + 9, 0, 0, None, prev_state=TASK_DEAD))
    backend.open_first_at(FIRST_EDGE + 10, EDGE)
    assert rows_of(collect(backend))[0]["running"] == 8


def test_cpu_time_of_the_warm_up_is_part_of_the_life(library):
    backend = HostBackend(library, 1, FIRST_EDGE)
    play(backend, *born_and_running(now=FIRST_EDGE - 100))
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    [record] = collect(backend).tasks
    assert (record["bank"]["time_ns"][layout.RUNNING], record["total_cpu_ns"]) == (1_000, 1_100)


def test_a_task_asleep_for_many_windows_is_blocked_in_each_of_them(backend):
    play(backend, *born_and_running(), Switch(1_200, 0, 0, None, prev_state=SLEEPING))
    edges = [EDGE + 1_000 * i for i in range(8)]
    rows = [rows_of(collect(backend, edge + 1, edge + 1_000))[0] for edge in edges]
    assert [row["blocked"] for row in rows] == [800] + [1_000] * 7
    play(backend, Wake(edges[-1] + 300, 0), Switch(edges[-1] + 301, 0, None, 0))
    row = rows_of(collect(backend, edges[-1] + 1_001, edges[-1] + 2_000))[0]
    assert (row["blocked"], row["wakeup_wait"], row["running"], row["max_wait_ns"]) == (300, 1, 699, 1)


def test_a_sleeper_has_no_row_of_its_own_unless_asked_for(library):
    backend = started(library, min_activity_ns=1)
    play(backend, *born_and_running(), Switch(1_200, 0, 0, None, prev_state=SLEEPING))
    assert list(rows_of(collect(backend))) == [0]
    asleep = collect(backend, NEXT_EDGE + 1, 4_000)
    assert len(asleep.tasks) == 0
    assert (asleep.folded["tasks"].sum(), total_of(asleep)["blocked"]) == (1, 1_000)


def test_a_wait_across_the_edge_is_counted_whole_where_it_ends(backend):
    play(backend, Fork(1_500, 0), Arrive(1_500, 0))
    first = rows_of(collect(backend))[0]
    play(backend, Switch(EDGE + 700, 0, None, 0))
    second = rows_of(collect(backend, NEXT_EDGE + 1, 4_000))[0]
    assert (first["wakeup_wait"], first["max_wait_ns"], first["waits_unfinished"]) == (500, 0, 1)
    assert (second["wakeup_wait"], second["max_wait_ns"], second["waits_unfinished"]) == (700, 1_200, 0)


def test_migrations_are_switch_ins_on_another_cpu_and_the_first_is_none(library):
    backend = started(library, cpus=2)
    play(backend, *born_and_running(cpu=1), Switch(1_200, 1, 0, None), Switch(1_300, 0, None, 0))
    play(backend, Switch(1_400, 0, 0, None), Switch(1_500, 0, None, 0))
    assert rows_of(collect(backend))[0]["migrations"] == 1


@given(history=histories())
@example(FIRST_CPU_ON_THE_EDGE)
@example(RAN_FOR_NO_TIME)
@example(RAN_FOR_NO_TIME_ON_THE_EDGE)
def test_every_arrival_first_cpu_and_completion_is_counted_in_one_window(library, history):
    windows = [samples.build(raw, 1) for raw in test_machine.play(library, history, min_activity_ns=0)]
    summaries = [window.summary.to_pylist()[0] for window in windows]
    (start, _), (_, end) = history.windows[0], history.windows[-1]
    # Who came and went in the same nanosecond lived in no window.
    lives = [
        life
        for life in model.lives(history.events).values()
        if life.arrival is not None and life.completion != life.arrival
    ]
    arrived = sum(start <= life.arrival < end for life in lives)
    # A first CPU on an edge is of the window that begins there, unless the life ends with it.
    started = sum(
        life.first_cpu is not None
        and (start < life.first_cpu <= end if life.first_cpu == life.completion else start <= life.first_cpu < end)
        for life in lives
    )
    completed = sum(life.completion is not None and start < life.completion <= end for life in lives)
    assert sum(summary["tasks_arrived"] for summary in summaries) == arrived
    assert sum(summary["rt_count"] for summary in summaries) == started
    assert sum(summary["tasks_completed"] for summary in summaries) == completed
    assert sum(summary["tat_count"] for summary in summaries) == completed


# ---- writers and readers at the same time ----


def test_a_switch_in_the_middle_of_the_flush_is_reported_once_and_exactly(backend):
    """The flush copies the running task's row; another CPU switches it out past the edge before the row is claimed."""
    play(backend, *born_and_running())
    backend.happen_during_flush(Switch(EDGE + 4, 0, 0, None, prev_state=SLEEPING))
    first, second = collect(backend, EDGE + 3), collect(backend, NEXT_EDGE + 1, 4_000)
    assert [rows_of(w)[0]["running"] for w in (first, second)] == [900, 4]
    assert not any(first.losses.values())


@pytest.mark.parametrize("rolled", [False, True])
def test_a_death_in_the_middle_of_the_flush_is_reported_once(backend, rolled):
    """The flush copies the running task's row; before the row is claimed, the task exits and reports both windows."""
    play(backend, *born_and_running())
    if rolled:  # its bank is frozen: the flush has no sequence number to look at again, only the claim
        play(backend, Switch(EDGE + 1, 0, 0, None), Switch(EDGE + 1, 0, None, 0))
    backend.happen_during_flush(Exit(EDGE + 4, 0, 0))
    first, second = collect(backend, EDGE + 3), collect(backend, NEXT_EDGE + 1, 4_000)
    rows = [(row["running"], row["completion_ns"]) for w in (first, second) for row in rows_of(w).values()]
    assert rows == [(900, 0), (4, EDGE + 4)]
    assert [total_of(window)["running"] for window in (first, second)] == [900, 4]
    assert [int(record["total_cpu_ns"]) for w in (first, second) for record in w.tasks] == [900, 904]
    assert not any(first.losses.values())
    assert not any(second.losses.values())


@pytest.mark.parametrize("exits_at", [EDGE, EDGE + 4])
@pytest.mark.parametrize("room", [8, 0])
def test_an_exit_that_the_flush_overtakes_keeps_the_row_it_has_claimed(library, exits_at, room):
    """It has completed, so the flush passes it over; its row is in the ring, or folded, only after the flush."""
    backend = started(library, ring_records=room)
    play(backend, *born_and_running())
    first = backend.collect_while_exiting(Exit(exits_at, 0, 0), EDGE + 5, NEXT_EDGE)
    play(backend, Switch(EDGE + 50, 0, 0, None, prev_state=TASK_DEAD))
    second = collect(backend, NEXT_EDGE + 1, 4_000)
    assert [total_of(window)["running"] for window in (first, second)] == [900, exits_at - EDGE]
    assert [len(window.tasks) for window in (first, second)] == ([1, int(exits_at > EDGE)] if room else [0, 0])
    # Each window says of its own row that it was dropped.
    dropped = [window.losses["ring_dropped"] for window in (first, second)]
    assert dropped == ([0, 0] if room else [1, int(exits_at > EDGE)])
    assert_law_2(first)
    assert_law_2(second)


@pytest.mark.parametrize("after_advance", [False, True])
def test_an_exit_held_up_past_the_flush_keeps_the_laws_and_is_counted(backend, after_advance):
    late = Exit(EDGE - 10, 0, 0)
    play(backend, *born_and_running())
    first = collect(backend, held_up=() if after_advance else [late])
    if after_advance:
        play(backend, late)
    play(backend, Release(EDGE + 2, 0), Switch(EDGE + 30, 0, 0, None, prev_state=TASK_DEAD))
    second = collect(backend, NEXT_EDGE + 1, 4_000)
    assert [total_of(window)["running"] for window in (first, second)] == [900, 0]
    assert first.losses["samples_discarded"] + second.losses["samples_discarded"] == 1
    assert_law_2(first)
    assert_law_2(second)


@pytest.mark.parametrize("after_advance", [False, True])
def test_a_writer_held_up_past_the_flush_counts_at_the_edge(backend, after_advance):
    late = Switch(EDGE - 10, 0, 0, None, prev_state=SLEEPING)
    play(backend, *born_and_running())
    first = collect(backend, held_up=() if after_advance else [late])
    if after_advance:
        play(backend, late)
    second = collect(backend, NEXT_EDGE + 1, 4_000)
    rows = [rows_of(window)[0] for window in (first, second)]
    assert [(row["running"], row["blocked"]) for row in rows] == [(900, 0), (0, 1_000)]
    assert [row["voluntary_switches"] for row in rows] == [0, 1]
    assert first.losses["samples_discarded"] + second.losses["samples_discarded"] == 1


@given(history=histories(), most=st.integers(1, 4), back=st.integers(1, 50))
def test_writers_held_up_past_the_flush_keep_law_1(library, history, most, back):
    backend = HostBackend(library, history.cpus, history.first_edge, min_activity_ns=0)
    steps, latest = list(history.steps), 0
    while steps:
        step = steps.pop(0)
        if not isinstance(step, Collect):
            play(backend, step)
            latest = step.now
        elif step.edge == history.first_edge:
            backend.open_first_at(step.now, step.next_edge)
        else:
            held_up = []
            while steps and len(held_up) < most and isinstance(steps[0], (Wake, Switch, Exit)) and latest < step.edge:
                held_up.append(replace(steps.pop(0), now=max(latest, step.edge - back)))
            for row in rows_of(backend.collect_at(step.now, step.next_edge, held_up)).values():
                lived = sum(row[name] for name in ("running", *model.WAITS, "blocked", "iowait"))
                assert lived == row["alive_ns"]


def test_a_negative_wait_is_thrown_away_and_counted(backend):
    play(backend, Fork(1_500, 0), Arrive(1_500, 0), Switch(1_490, 0, None, 0))
    window = collect(backend)
    row = rows_of(window)[0]
    assert (sum(row["wait_histogram"]), row["max_wait_ns"], row["running"]) == (0, 0, 500)
    assert window.losses["samples_discarded"] > 0


# ---- events that were not delivered ----


def test_a_wakeup_nobody_told_of_is_made_up_for_and_counted(backend):
    play(backend, *born_and_running(), Switch(1_300, 0, 0, None, prev_state=SLEEPING), Switch(1_600, 0, None, 0))
    window = collect(backend)
    row = rows_of(window)[0]
    assert (row["running"], row["blocked"], row["wakeups"]) == (200 + 400, 300, 1)
    assert window.losses["programs_skipped"] == 1


def test_an_exit_nobody_told_of_is_made_up_for_at_the_last_switch(backend):
    play(backend, *born_and_running(), Switch(1_700, 0, 0, None, prev_state=TASK_DEAD), Release(1_710, 0))
    window = collect(backend)
    row = rows_of(window)[0]
    assert (row["running"], row["alive_ns"], row["completion_ns"]) == (600, 600, 1_700)
    assert window.losses["programs_skipped"] == 1
    assert_law_2(window)


def test_a_switch_nobody_told_of_is_dated_by_the_kernels_books(backend):
    """Task 1 waits since 1200 and is seen leaving at 1700; the kernel says that it had been on the CPU for 100 ns."""
    play(backend, *born_and_running(), Fork(1_200, 1), Arrive(1_200, 1), Switch(1_300, 0, 0, None, prev_state=SLEEPING))
    backend.slice_ns(1, 100)
    play(backend, Switch(1_700, 0, 1, None, prev_state=SLEEPING))
    window = collect(backend)
    row = rows_of(window)[1]
    assert (row["wakeup_wait"], row["running"], row["blocked"], row["max_wait_ns"]) == (400, 100, 300, 400)
    assert window.losses["programs_skipped"] == 1
    assert window.cpus["time_ns"][0, layout.CPU_BUSY] == 200 + 100


def test_an_exit_after_a_switch_nobody_told_of_is_dated_by_the_kernels_books(backend):
    play(backend, *born_and_running(), Fork(1_200, 1), Arrive(1_200, 1), Switch(1_300, 0, 0, None, prev_state=SLEEPING))
    backend.slice_ns(1, 100)
    play(backend, Exit(1_700, 1, 0), Release(1_710, 1), Switch(1_750, 0, 1, None, prev_state=TASK_DEAD))
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
        (1_200, 1_000, 1_300),  # the CPU was another's until then
        (1_200, 401, 1_300),
        (1_200, 399, 1_301),
        (1_200, 0, 1_700),
        (1_500, 1_000, 1_500),  # it was not runnable before
        (1_500, 150, 1_550),
    ],
)
@pytest.mark.parametrize("leaves", [Exit(1_700, 1, 0), Switch(1_700, 0, 1, None, prev_state=SLEEPING)])
def test_a_switch_nobody_told_of_cannot_be_older_than_what_is_known(backend, leaves, arrival, slice_ns, since):
    play(backend, *born_and_running(), Fork(1_200, 1))
    steps = [Arrive(arrival, 1), Switch(1_300, 0, 0, None, prev_state=SLEEPING)]
    play(backend, *sorted(steps, key=lambda step: step.now))
    backend.slice_ns(1, slice_ns)
    play(backend, leaves)
    window = collect(backend)
    row = rows_of(window)[1]
    assert (row["wakeup_wait"], row["max_wait_ns"], row["running"]) == (since - arrival, since - arrival, 1_700 - since)
    assert (row["first_cpu_ns"], window.losses["samples_discarded"]) == (since, 0)
    assert_law_2(window)


def test_a_life_that_ends_without_any_time_on_a_cpu_that_was_told_of_keeps_its_row(library):
    """A sleeper's wakeup and switch are withheld, the kernel's books are a tick old: its completion still counts."""
    backend = started(library, min_activity_ns=1)
    play(backend, *born_and_running(), Switch(1_200, 0, 0, None, prev_state=SLEEPING))
    collect(backend)
    play(backend, Exit(EDGE + 700, 0, 0))
    [record] = collect(backend, NEXT_EDGE + 1, 4_000).tasks
    assert (record["completion_ns"], record["alive_ns"]) == (EDGE + 700, 700)


@pytest.mark.parametrize("leaves", [Exit(EDGE + 700, 0, 0), Switch(EDGE + 700, 0, 0, None, prev_state=SLEEPING)])
def test_a_switch_nobody_told_of_is_not_dated_into_a_window_that_is_reported(backend, leaves):
    play(backend, Fork(1_200, 0), Arrive(1_200, 0))
    first = collect(backend)
    backend.slice_ns(0, 900)
    play(backend, leaves)
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
        if isinstance(step, Collect):
            if step.edge == history.first_edge:
                backend.open_first_at(step.now, step.next_edge)
                continue
            window = backend.collect_at(step.now, step.next_edge)
            total = total_of(window)
            assert sum(total[name] for name in ("running", *model.WAITS, "blocked", "iowait")) == total["alive_ns"]
            for row in rows_of(window).values():
                lived = sum(row[name] for name in ("running", *model.WAITS, "blocked", "iowait"))
                assert lived == row["alive_ns"] <= window.end_ns - window.start_ns
        elif isinstance(step, Fork) or index not in dropped:
            play(backend, step)


# ---- tasks older than tracing ----


def test_tasks_alive_before_tracing_are_adopted_as_they_stand(library):
    backend = HostBackend(library, 1, FIRST_EDGE, min_activity_ns=0)
    standing = [{"on_cpu": 1, "on_rq": 1}, {"on_rq": 1}, {"state": SLEEPING}, {"state": 2, "in_iowait": 1}]
    for task, how in enumerate(standing):
        backend.task(task, start_time=7)
        backend.standing(task, cpu_ns=10_000, **how)
    backend.seed(FIRST_EDGE - 100)
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    window = collect(backend)
    rows = rows_of(window)
    assert [rows[t][what] for t, what in enumerate(("running", "preempt_wait", "blocked", "iowait"))] == [1_000] * 4
    assert window.tasks["left_censored"].tolist() == [1] * 4
    assert window.tasks["arrival_ns"].tolist() == [7] * 4
    assert window.tasks["first_cpu_ns"].tolist() == [0] * 4
    assert window.cpus["time_ns"][0, layout.CPU_BUSY] == 1_000


@pytest.mark.parametrize("exits_later", [False, True])
def test_a_task_exiting_before_tracing_has_no_life_to_report(library, exits_later):
    """Its sched_process_exit is past, or about to come: it has been adopted as completed in both cases."""
    backend = HostBackend(library, 1, FIRST_EDGE, min_activity_ns=0)
    for task in (0, 1):
        backend.task(task)
        backend.library.host_exiting(task)
    backend.standing(0, on_cpu=1, on_rq=1)
    backend.standing(1, on_rq=0, state=TASK_DEAD)
    backend.seed(FIRST_EDGE - 100)
    play(backend, *[Exit(FIRST_EDGE - 50, 0, 0)] * exits_later, Switch(FIRST_EDGE - 40, 0, 0, None, preempt=True))
    play(backend, Switch(FIRST_EDGE - 20, 0, None, 0))
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    play(backend, Switch(1_400, 0, 0, None, prev_state=TASK_DEAD))
    window = collect(backend)
    assert (len(window.tasks), int(window.folded["tasks"].sum())) == (0, 0)
    assert cpu_times(window) == {"busy_ns": 0, "idle_ns": 600, "teardown_ns": 400, "untracked_ns": 0}
    assert not any(window.losses.values())


def test_a_wait_that_began_before_tracing_is_no_sample(library):
    backend = HostBackend(library, 1, FIRST_EDGE)
    backend.task(0)
    backend.standing(0, on_rq=1)
    backend.seed(FIRST_EDGE - 100)
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    backend.happen(Switch(1_400, 0, None, 0))
    row = rows_of(collect(backend))[0]
    assert (row["preempt_wait"], sum(row["wait_histogram"]), row["max_wait_ns"]) == (400, 0, 0)


def test_ending_a_window_whose_edge_has_passed_moves_nothing_and_loses_nothing(backend):
    """By the real clock the edge is long past: a stop that comes together with it must not look like a late edge."""
    backend._is_ahead = partial(CoreBackend._is_ahead, backend)
    backend._check_ahead = partial(CoreBackend._check_ahead, backend)
    assert CoreBackend.end_now(backend) == backend.edge_ns == EDGE
    assert collect(backend, next_edge=1 << 63).losses["state_failed"] == 0


def test_an_edge_that_came_too_near_before_its_window_was_open_is_given_up(backend):
    """The collector is held up twice while it opens the next window; nobody saw the edges that passed meanwhile."""
    answers, edges = iter([False, False, True]), iter([3_000, 4_000, 5_000])
    backend._is_ahead = lambda _: next(answers, True)
    play(backend, *born_and_running())
    backend.now = EDGE + 1
    with mock.patch("schedtel.kernel.backend.online_cpus", return_value={0}):
        backend.collect(lambda _: next(edges))
    assert backend.edge_ns == 5_000
    [record] = backend.collect_at(5_001, 6_000).tasks
    assert numbers_of(record)["running"] == record["alive_ns"] == 5_000 - EDGE


def held_up(backend: HostBackend, tries: int) -> None:
    """A task is in the middle of a change for so many looks of the flush."""
    left, real = iter(range(tries)), backend._run_iterator

    def run(name: str) -> None:
        real(name)
        if name == "flush":
            backend._control["tasks_busy"] += next(left, None) is not None

    backend._run_iterator = run


def test_a_task_whose_virtual_cpu_the_host_has_taken_away_is_waited_for(backend):
    play(backend, *born_and_running())
    held_up(backend, 1_000)
    assert collect(backend).losses["state_failed"] == 0


def test_a_task_that_is_busy_for_ever_is_given_up_and_counted(backend, monkeypatch):
    monkeypatch.setattr("schedtel.kernel.backend._PATIENCE_NS", 1_000_000)
    play(backend, *born_and_running())
    held_up(backend, 1_000_000)
    assert collect(backend).losses["state_failed"] == 1


def test_exits_while_a_task_is_waited_for_find_room(library):
    """Three lives end, each after another look of the flush, and the ring has room for one."""
    backend = started(library, cpus=3, ring_records=1)
    for cpu in range(3):
        play(backend, *born_and_running(cpu, cpu=cpu))
    exits, look = iter(range(3)), backend._run_iterator

    def run(name: str) -> None:
        look(name)
        if (cpu := next(exits, None)) is not None:
            backend._control["tasks_busy"] += 1
            backend.happen(Exit(EDGE + 4, cpu, cpu))

    backend._run_iterator = run
    first = collect(backend, EDGE + 5)
    second = collect(backend, NEXT_EDGE + 1, 4_000)
    assert [len(window.tasks) for window in (first, second)] == [3, 3]
    assert not any(first.losses.values())
    assert not any(second.losses.values())


@pytest.mark.parametrize("refused", [1, 2, 3])
def test_memory_short_for_a_moment_at_a_fork_costs_nothing(backend, refused):
    """Each failed attempt calls for a refill: the life is whole, whichever of the next attempts finds it done."""
    backend.library.host_refuse_allocations(refused)
    play(backend, *born_and_running())
    window = collect(backend)
    row = rows_of(window)[0]
    assert (row["arrival_ns"], row["first_cpu_ns"], row["running"]) == (1_100, 1_100, 900)
    assert window.losses["state_failed"] == 0


def test_a_task_without_memory_for_its_state_is_counted_and_followed_once_it_leaves_its_cpu(backend):
    backend.library.host_refuse_allocations(MEMORY_IS_SHORT)
    play(backend, *born_and_running())
    backend.library.host_refuse_allocations(0)
    backend.standing(0, on_cpu=1, on_rq=1)
    first, second = collect(backend), collect(backend, NEXT_EDGE + 1, 4_000)
    assert (first.losses["state_failed"], second.losses["state_failed"]) == (1, 0)
    # What the CPU runs is booked as untracked already, so the task is not followed before it has left it.
    assert [cpu_times(window)["untracked_ns"] for window in (first, second)] == [900, 1_000]
    assert (len(first.tasks), len(second.tasks)) == (0, 0)
    play(backend, Switch(3_100, 0, 0, None, prev_state=SLEEPING), Wake(3_200, 0), Switch(3_300, 0, None, 0))
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
    play(backend, Fork(1_100, 0), Arrive(1_100, 0))
    backend.library.host_refuse_allocations(0)
    backend.standing(0, on_rq=1)
    assert collect(backend).losses["state_failed"] == 1
    play(backend, Switch(2_500, 0, None, 0))
    second = collect(backend, NEXT_EDGE + 1, 4_000)
    [record] = second.tasks
    row = numbers_of(record)
    assert (row["preempt_wait"], row["running"], row["alive_ns"]) == (2_500 - (EDGE + 1), 500, NEXT_EDGE - (EDGE + 1))
    assert (record["left_censored"], sum(row["wait_histogram"])) == (1, 0)
    assert_law_2(second)


def test_a_task_the_iterator_does_not_reach_is_a_loss_and_not_silence(backend):
    play(backend, *born_and_running())
    backend.library.host_release(0)
    collect(backend)
    play(backend, Switch(EDGE + 10, 0, 0, None, prev_state=SLEEPING))
    assert collect(backend, NEXT_EDGE + 1, 4_000).losses["state_failed"] == 1


# ---- filters in the kernel ----


def two_tasks_run(backend: HostBackend) -> None:
    """Task 0 runs from 1100 to 1300, task 1 from 1300 on; each forked as described before."""
    for event in (*born_and_running(), Fork(1_100, 1), Arrive(1_100, 1), Switch(1_300, 0, 0, 1, prev_state=SLEEPING)):
        backend.happen(event)


@pytest.mark.parametrize(
    ("chosen", "seen"),
    [
        ({"by_tid": 1, "tid": FIRST_TID + 1}, [1]),
        ({"by_uid": 1, "uid": 7}, [0]),
        ({"kernel_threads": 1}, [0]),
        ({"kernel_threads": 2}, [1]),
        ({"by_cgroup": 1, "cgroup_id": 1, "cgroup_level": 0}, [0, 1]),
        ({"by_cgroup": 1, "cgroup_id": 2, "cgroup_level": 0}, []),
        ({"by_cgroup": 1, "cgroup_id": 1, "cgroup_level": 1}, []),
        ({"min_activity_ns": 201}, [1]),
        ({"min_activity_ns": 200}, [0, 1]),
    ],
)
def test_each_filter_selects_the_task_itself_and_keeps_the_totals(library, chosen, seen):
    backend = started(library, **chosen)
    backend.task(0, uid=7)
    backend.task(1, uid=8)
    backend.library.host_kernel_thread(1)
    two_tasks_run(backend)
    window = collect(backend)
    assert sorted(rows_of(window)) == seen
    assert total_of(window)["running"] == 900


def test_a_process_filter_follows_descendants(library):
    backend = started(library, by_process=1, tgid=FIRST_TID)
    for task in range(3):
        backend.task(task)
    backend.library.host_fork(1_100, -1, 0)
    backend.library.host_fork(1_100, 0, 1)
    backend.library.host_fork(1_100, -1, 2)
    for event in (Arrive(1_100, 0), Arrive(1_100, 1), Arrive(1_100, 2), Switch(1_100, 0, None, 0)):
        backend.happen(event)
    assert sorted(rows_of(collect(backend))) == [0, 1]


def test_exec_gives_a_new_name_and_the_filter_looks_again(library):
    comm = np.frombuffer(b"worker\0\0", "<u8")
    mask = np.frombuffer(b"\xff" * 6 + b"\0\0", "<u8")
    backend = started(library, by_comm=1, comm_value=(comm[0], 0), comm_mask=(mask[0], 0))
    play(backend, *born_and_running())
    assert not len(collect(backend).tasks)
    backend.library.host_exec(EDGE + 10, 0, b"worker-1")
    [record] = collect(backend, NEXT_EDGE + 1, 4_000).tasks
    assert (record["comm"], record["bank"]["time_ns"][layout.RUNNING]) == (b"worker-1", 1_000)


def _switching(backend: HostBackend, step: int):
    """Makes CPU 0 of a backend go on by ``step`` of its sequence number whenever it is looked at, 100 times at most."""
    looks = iter(range(100))

    def look(*_):
        next(looks)
        backend._cpu_states["seqcount"]["seq"][0] += step
        return np.zeros(0, layout.PREEMPTION)

    return mock.patch.object(backend, "_preemptions_of", look)


def test_a_cpu_that_switches_all_the_time_is_not_waited_for_once_it_has_rolled(backend):
    play(backend, Fork(1_100, 0), Arrive(1_100, 0), Switch(1_200, 0, None, 0), Switch(2_100, 0, 0, None))
    with _switching(backend, 2):
        bank, _ = backend._cpu_at_edge(0, backend.window, FIRST_EDGE, EDGE)
    assert bank["time_ns"][0, layout.CPU_BUSY] == EDGE - 1_200


def test_a_program_at_work_when_the_flush_ended_is_waited_for_though_the_cpu_has_rolled(backend):
    play(backend, Fork(1_100, 0), Arrive(1_100, 0), Switch(1_200, 0, None, 0), Switch(2_100, 0, 0, None))
    backend._cpu_states["seqcount"]["seq"][0] += 1
    with _switching(backend, 0), pytest.raises(StopIteration):
        backend._cpu_at_edge(0, backend.window, FIRST_EDGE, EDGE)
    with _switching(backend, 2):  # another program at every look: the first has ended
        backend._cpu_at_edge(0, backend.window, FIRST_EDGE, EDGE)
