"""Events around a window's edge and at the ends of a life, worked on paper: a window from 1000 ns to 2000 ns."""

import model
import pytest
import samples
from edges import EDGE, FIRST_EDGE, NEXT_EDGE, born_and_running, collect, started
from histories import (
    FIRST_CPU_ON_THE_EDGE,
    RAN_FOR_NO_TIME,
    RAN_FOR_NO_TIME_ON_THE_EDGE,
    histories,
)
from hypothesis import example, given
from machine import HostBackend
from model import SLEEPING, TASK_DEAD, Arrive, Exit, Fork, Release, Switch, Wake
from player import play
from readings import assert_law_2, cpu_times, rows_of, total_of

from schedtel.records import layout


def test_a_task_preempted_on_its_way_to_sleep_keeps_waiting(backend):
    """Its state says asleep, but it is on the run queue: a tool that reads only the state misses this wait."""
    backend.play(*born_and_running(), Fork(1_100, 1), Arrive(1_100, 1))
    backend.play(Switch(1_300, 0, 0, 1, preempt=True, prev_state=SLEEPING))
    backend.play(Switch(1_450, 0, 1, 0, prev_state=SLEEPING))
    row = rows_of(collect(backend))[0]
    assert (row["preempt_wait"], row["blocked"], row["involuntary_switches"]) == (150, 0, 1)
    assert row["running"] == (1_300 - 1_100) + (EDGE - 1_450)


def test_a_task_that_a_signal_kept_from_sleeping_keeps_waiting_though_the_argument_says_asleep(backend):
    backend.play(*born_and_running(), Fork(1_100, 1), Arrive(1_100, 1))
    backend.library.host_turn_back()
    backend.play(Switch(1_300, 0, 0, 1, prev_state=SLEEPING), Switch(1_450, 0, 1, 0, prev_state=SLEEPING))
    window = collect(backend)
    row = rows_of(window)[0]
    assert (row["preempt_wait"], row["blocked"], row["involuntary_switches"], row["bursts"]) == (150, 0, 1, 0)
    assert window.losses["programs_skipped"] == 0


def test_waking_a_task_that_runs_changes_nothing(backend):
    backend.play(*born_and_running(), Wake(1_200, 0))
    row = rows_of(collect(backend))[0]
    assert (row["wakeups"], row["running"], row["wakeup_wait"]) == (0, 900, 0)


def test_a_life_that_ends_on_the_edge_completes_in_the_window_it_ends_with(backend):
    backend.play(*born_and_running(), Exit(EDGE, 0, 0), Switch(EDGE + 5, 0, 0, None, prev_state=TASK_DEAD))
    first, second = collect(backend, EDGE + 9), collect(backend, NEXT_EDGE + 1, 4_000)
    row = rows_of(first)[0]
    assert (row["running"], row["alive_ns"], row["completion_ns"]) == (900, 900, EDGE)
    # It lived no nanosecond of the second window, which has 5 ns of its teardown.
    assert (rows_of(second), int(second.folded["tasks"].sum())) == ({}, 0)
    assert [cpu_times(window)["teardown_ns"] for window in (first, second)] == [0, 5]
    assert_law_2(first)
    assert_law_2(second)


def test_a_first_cpu_at_the_edge_is_not_known_before_it(backend):
    backend.play(Fork(1_400, 0), Arrive(1_500, 0), Switch(EDGE, 0, None, 0))
    row = rows_of(collect(backend))[0]
    assert (row["wakeup_wait"], row["first_cpu_ns"], row["waits_unfinished"]) == (500, 0, 1)


def test_a_response_time_that_ends_on_the_edge_is_counted_once(backend):
    backend.play(Fork(1_400, 0), Arrive(1_500, 0), Switch(EDGE, 0, None, 0))
    windows = [samples.build(raw, 1) for raw in (collect(backend), collect(backend, NEXT_EDGE + 1, 4_000))]
    assert [window.metrics.rt.count for window in windows] == [0, 1]


def test_a_life_that_ends_before_a_late_flush_has_its_end_in_the_later_window_only(backend):
    """The task exits 50 ns past the edge and before the flush, which still has to report the first window."""
    end = Switch(EDGE + 60, 0, 0, None, prev_state=TASK_DEAD)
    backend.play(*born_and_running(), Exit(EDGE + 50, 0, 0), end)
    first, second = (rows_of(w)[0] for w in (collect(backend, EDGE + 100), collect(backend, NEXT_EDGE + 1, 4_000)))
    assert (first["running"], first["alive_ns"], first["completion_ns"]) == (900, 900, 0)
    assert (second["running"], second["alive_ns"], second["completion_ns"]) == (50, 50, EDGE + 50)


@pytest.mark.parametrize("exits_at", [1_900, EDGE - 1, EDGE, EDGE + 1, EDGE + 50])
def test_a_thread_unhashed_before_its_last_switch_keeps_its_row(backend, exits_at):
    """The thread reaps itself after completion; it leaves its CPU only after the edge and the flush."""
    backend.play(*born_and_running(), Exit(exits_at, 0, 0), Release(exits_at, 0))
    first = collect(backend, EDGE + 100)
    backend.play(Switch(EDGE + 300, 0, 0, None, prev_state=TASK_DEAD))
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
    backend.play(*born_and_running(), Exit(1_300, 0, 0), Switch(1_350, 0, 0, None, preempt=True))
    backend.play(Wake(1_400, 0), Switch(1_500, 1, None, 0), Release(1_550, 0))
    window = collect(backend)
    backend.play(Switch(EDGE + 20, 1, 0, None, prev_state=TASK_DEAD))
    row = rows_of(window)[0]
    assert (row["running"], row["alive_ns"], row["preempt_wait"], row["wakeups"]) == (200, 200, 0, 0)
    assert (row["involuntary_switches"], row["migrations"]) == (0, 0)
    assert [cpu_times(window, cpu)["teardown_ns"] for cpu in (0, 1)] == [50, 500]
    assert cpu_times(collect(backend, NEXT_EDGE + 1, 4_000), 1)["teardown_ns"] == 20
    assert_law_2(window)


def test_a_life_that_ends_before_the_warm_up_is_drained_keeps_its_row(library):
    backend = HostBackend(library, 1, FIRST_EDGE)
    backend.play(*born_and_running(now=FIRST_EDGE + 1), Exit(FIRST_EDGE + 9, 0, 0))
    backend.play(Switch(FIRST_EDGE + 9, 0, 0, None, prev_state=TASK_DEAD))
    backend.open_first_at(FIRST_EDGE + 10, EDGE)
    assert rows_of(collect(backend))[0]["running"] == 8


def test_cpu_time_of_the_warm_up_is_part_of_the_life(library):
    backend = HostBackend(library, 1, FIRST_EDGE)
    backend.play(*born_and_running(now=FIRST_EDGE - 100))
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    [record] = collect(backend).tasks
    assert (record["bank"]["time_ns"][layout.RUNNING], record["total_cpu_ns"]) == (1_000, 1_100)


def test_a_task_asleep_for_many_windows_is_blocked_in_each_of_them(backend):
    backend.play(*born_and_running(), Switch(1_200, 0, 0, None, prev_state=SLEEPING))
    edges = [EDGE + 1_000 * i for i in range(8)]
    rows = [rows_of(collect(backend, edge + 1, edge + 1_000))[0] for edge in edges]
    assert [row["blocked"] for row in rows] == [800] + [1_000] * 7
    backend.play(Wake(edges[-1] + 300, 0), Switch(edges[-1] + 301, 0, None, 0))
    row = rows_of(collect(backend, edges[-1] + 1_001, edges[-1] + 2_000))[0]
    assert (row["blocked"], row["wakeup_wait"], row["running"], row["max_wait_ns"]) == (300, 1, 699, 1)


def test_a_sleeper_has_no_row_of_its_own_unless_asked_for(library):
    backend = started(library, min_activity_ns=1)
    backend.play(*born_and_running(), Switch(1_200, 0, 0, None, prev_state=SLEEPING))
    assert list(rows_of(collect(backend))) == [0]
    asleep = collect(backend, NEXT_EDGE + 1, 4_000)
    assert len(asleep.tasks) == 0
    assert (asleep.folded["tasks"].sum(), total_of(asleep)["blocked"]) == (1, 1_000)


def test_a_wait_across_the_edge_is_counted_whole_where_it_ends(backend):
    backend.play(Fork(1_500, 0), Arrive(1_500, 0))
    first = rows_of(collect(backend))[0]
    backend.play(Switch(EDGE + 700, 0, None, 0))
    second = rows_of(collect(backend, NEXT_EDGE + 1, 4_000))[0]
    assert (first["wakeup_wait"], first["max_wait_ns"], first["waits_unfinished"]) == (500, 0, 1)
    assert (second["wakeup_wait"], second["max_wait_ns"], second["waits_unfinished"]) == (700, 1_200, 0)


def test_migrations_are_switch_ins_on_another_cpu_and_the_first_is_none(library):
    backend = started(library, cpus=2)
    backend.play(*born_and_running(cpu=1), Switch(1_200, 1, 0, None), Switch(1_300, 0, None, 0))
    backend.play(Switch(1_400, 0, 0, None), Switch(1_500, 0, None, 0))
    assert rows_of(collect(backend))[0]["migrations"] == 1


@given(history=histories())
@example(FIRST_CPU_ON_THE_EDGE)
@example(RAN_FOR_NO_TIME)
@example(RAN_FOR_NO_TIME_ON_THE_EDGE)
def test_every_arrival_first_cpu_and_completion_is_counted_in_one_window(library, history):
    windows = [samples.build(raw, 1) for raw in play(HostBackend, library, history, min_activity_ns=0)]
    summaries = [window.summary.to_pylist()[0] for window in windows]
    (start, _), (_, end) = history.windows[0], history.windows[-1]
    # A task that arrived and completed in the same nanosecond lived in no window.
    lives = [
        life
        for life in model.lives(history.events).values()
        if life.arrival is not None and life.completion != life.arrival
    ]
    arrived = sum(start <= life.arrival < end for life in lives)
    # A first CPU on an edge belongs to the window that begins there, unless the life ends in the same nanosecond.
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
