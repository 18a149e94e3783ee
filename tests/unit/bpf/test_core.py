"""The core backend's programs against the model: every number of every row, of any history, to the nanosecond."""

import itertools
from dataclasses import replace

import model
import numpy as np
from histories import (
    COMPLETES_ON_THE_EDGE,
    DEAD_BEFORE_THE_WARM_UP_IS_DRAINED,
    FIRST_CPU_ON_THE_EDGE,
    RAN_DURING_THE_WARM_UP,
    UNHASHED_BEFORE_ITS_LAST_SWITCH,
    Collect,
    histories,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from machine import HostBackend
from model import FIRST_TID
from player import play
from readings import BANK_TIMES, HISTOGRAMS, assert_cpus_equal_the_model, assert_rows_equal_the_model, rows_of, total_of

from schedtel.records import layout
from schedtel.records.raw_window import RawWindow


@given(history=histories(), least=st.sampled_from([0, 1, 5_000]))
@settings(max_examples=300)
@example(FIRST_CPU_ON_THE_EDGE, 0)
@example(DEAD_BEFORE_THE_WARM_UP_IS_DRAINED, 0)
@example(UNHASHED_BEFORE_ITS_LAST_SWITCH, 0)
@example(COMPLETES_ON_THE_EDGE, 0)
def test_every_row_equals_the_model(library, history, least):
    assert_rows_equal_the_model(history, play(HostBackend, library, history, min_activity_ns=least), least)


@given(history=histories())
@settings(max_examples=150)
@example(UNHASHED_BEFORE_ITS_LAST_SWITCH)
@example(COMPLETES_ON_THE_EDGE)
def test_every_cpu_equals_the_model(library, history):
    assert_cpus_equal_the_model(history, play(HostBackend, library, history))


@given(history=histories())
@example(RAN_DURING_THE_WARM_UP)
def test_total_cpu_is_that_of_the_whole_life(library, history):
    lives = model.lives(history.events)
    for (_, end), window in zip(history.windows, play(HostBackend, library, history), strict=True):
        for record in window.tasks:
            life = lives[int(record["tid"]) - FIRST_TID]
            assert record["total_cpu_ns"] == model.times(life, 0, end)["running"]


# ---- the laws, without the model ----


@given(history=histories())
def test_law_1_running_waiting_and_blocked_make_up_the_life_within_the_window(library, history):
    for window in play(HostBackend, library, history, min_activity_ns=0):
        for row in rows_of(window).values():
            lived = row["running"] + row["wakeup_wait"] + row["preempt_wait"] + row["blocked"] + row["iowait"]
            assert lived == row["alive_ns"] <= window.end_ns - window.start_ns


@given(history=histories())
@example(DEAD_BEFORE_THE_WARM_UP_IS_DRAINED)
@example(UNHASHED_BEFORE_ITS_LAST_SWITCH)
@example(COMPLETES_ON_THE_EDGE)
def test_law_2_tasks_teardown_and_idle_fill_every_cpu(library, history):
    for window in play(HostBackend, library, history):
        time = window.cpus["time_ns"].sum(axis=0)
        assert not time[layout.CPU_UNTRACKED]
        used = total_of(window)["running"] + int(time[layout.CPU_IDLE] + time[layout.CPU_TEARDOWN])
        assert used == (window.end_ns - window.start_ns) * history.cpus


@given(history=histories())
def test_law_3_neither_cpu_nor_response_time_exceeds_turnaround_time(library, history):
    completed = 0
    for window in play(HostBackend, library, history):
        for record in window.tasks[window.tasks["completion_ns"] > 0]:
            tat = int(record["completion_ns"]) - int(record["arrival_ns"])
            assert record["total_cpu_ns"] <= tat
            assert int(record["first_cpu_ns"]) - int(record["arrival_ns"]) <= tat
            completed += 1
    assert completed <= history.tasks, "a task completed in two windows"


@given(history=histories())
def test_law_5_windows_tile_and_sum_to_one_long_window(library, history):
    windows = play(HostBackend, library, history)
    for earlier, later in itertools.pairwise(windows):
        assert earlier.end_ns == later.start_ns
    collects = [step for step in history.steps if isinstance(step, Collect)]
    last = collects[-1]
    # The same history, collected at its first and its last edge only.
    steps = [step for step in history.steps if not isinstance(step, Collect)]
    first = replace(collects[0], next_edge=last.edge)
    position = history.steps.index(collects[0])
    whole = replace(history, steps=[*steps[:position], first, *steps[position:], last])
    [long] = play(HostBackend, library, whole)
    totals = [total_of(window) for window in windows]
    summed = {n: sum(t[n] for t in totals) for n in totals[0] if n not in HISTOGRAMS}
    merged = {n: np.sum([t[n] for t in totals], axis=0).tolist() for n in HISTOGRAMS}
    assert summed | merged == total_of(long)


@given(history=histories(), uids=st.lists(st.integers(1, 2), min_size=12, max_size=12))
def test_law_6_a_filter_changes_no_total(library, history, uids):
    everything = play(HostBackend, library, history, uids)
    filtered = play(HostBackend, library, history, uids, by_uid=1, uid=1)
    for unfiltered, window in zip(everything, filtered, strict=True):
        assert total_of(window) == total_of(unfiltered)
        assert rows_of(window) == {task: row for task, row in rows_of(unfiltered).items() if uids[task] == 1}
        assert _samples(window) == _samples(unfiltered)


def _samples(window: RawWindow) -> list[list[int]]:
    """Histograms of samples by kind, of selected tasks and of the others together."""
    return window.cpus["samples"]["histogram"].sum(axis=(0, 1)).tolist()


@given(history=histories(), room=st.integers(1, 3))
def test_law_7_a_full_ring_loses_no_time_and_is_counted(library, history, room):
    """The collector empties the page during the flush; only exits between two drains can find the ring full."""
    for full, window in zip(
        play(HostBackend, library, history), play(HostBackend, library, history, ring_records=room), strict=True
    ):
        assert total_of(window) == total_of(full)
        assert len(window.tasks) + window.losses["ring_dropped"] >= len(full.tasks)


@given(history=histories())
@example(DEAD_BEFORE_THE_WARM_UP_IS_DRAINED)
def test_histograms_count_every_wait_and_burst_that_ended(library, history):
    for window in play(HostBackend, library, history):
        total = total_of(window)
        assert sum(total["burst_tat_histogram"]) == total["bursts"]
        kinds = window.cpus["samples"]["histogram"].sum(axis=(0, 1, 3))
        assert sum(total["wait_histogram"]) == kinds[0] + kinds[1]
        assert total["bursts"] == kinds[2]


# ---- time out of order ----


@given(history=histories(), moves=st.lists(st.tuples(st.integers(0, 79), st.integers(1, 5_000)), min_size=1))
def test_timestamps_out_of_order_never_underflow(library, history, moves):
    steps, moved = list(history.steps), 0
    for index, back in moves:
        if index < len(steps) and not isinstance(steps[index], Collect):
            steps[index] = replace(steps[index], now=max(1, steps[index].now - back))
            moved += back
    for window in play(HostBackend, library, replace(history, steps=steps), min_activity_ns=0):
        span = window.end_ns - window.start_ns + moved
        for row in rows_of(window).values():
            assert all(row[name] <= span for name in (*BANK_TIMES, "alive_ns"))
        longest = steps[-1].now - 1_000_000 + moved
        assert all(row["max_wait_ns"] <= longest for row in rows_of(window).values())
        assert int(window.cpus["time_ns"].max()) <= span
