"""The state machine against the model: every number of every row, of any history, to the nanosecond."""

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
    History,
    histories,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from machine import FIRST_TID, HostBackend

from schedtel.records import layout
from schedtel.records.raw_window import RawWindow

BANK_TIMES = {
    "running": layout.RUNNING,
    "wakeup_wait": layout.WAKEUP_WAIT,
    "preempt_wait": layout.PREEMPT_WAIT,
    "blocked": layout.BLOCKED,
    "iowait": layout.IOWAIT,
}
CPU_TIMES = {
    "busy_ns": layout.CPU_BUSY,
    "idle_ns": layout.CPU_IDLE,
    "teardown_ns": layout.CPU_TEARDOWN,
    "untracked_ns": layout.CPU_UNTRACKED,
}
HISTOGRAMS = ("wait_histogram", "burst_tat_histogram")


def play(library, history: History, uids=None, **settings) -> list[RawWindow]:
    """Run a history through the programs and the backend."""
    backend = HostBackend(library, history.cpus, history.first_edge, **settings)
    windows = []
    for step in history.steps:
        if isinstance(step, model.Fork):
            backend.task(step.task, uid=uids[step.task] if uids else 0)
        if not isinstance(step, Collect):
            backend.happen(step)
        elif step.edge == history.first_edge:
            backend.open_first_at(step.now, step.next_edge)
        else:
            windows.append(backend.collect_at(step.now, step.next_edge))
    return windows


def numbers_of(record) -> dict[str, object]:
    """A task record in the words of the model."""
    bank = record["bank"]
    whole = ("alive_ns", "fork_ns", "arrival_ns", "first_cpu_ns", "completion_ns")
    counted = (*model.COUNTERS, "bursts", "burst_tat_sum_ns", "max_wait_ns", "waits_unfinished", "bursts_unfinished")
    return {
        **{name: int(record[name]) for name in whole},
        **{name: int(bank["time_ns"][phase]) for name, phase in BANK_TIMES.items()},
        **{name: int(bank[name]) for name in counted},
        **{name: bank[name].tolist() for name in HISTOGRAMS},
    }


def rows_of(window: RawWindow) -> dict[int, dict[str, object]]:
    found = {int(record["tid"]) - FIRST_TID: numbers_of(record) for record in window.tasks}
    assert len(found) == len(window.tasks), "a task was reported twice"
    return found


def total_of(window: RawWindow) -> dict[str, object]:
    """Sums over all rows and everything folded."""
    banks = [*window.tasks["bank"], *window.folded["bank"]]
    alive = int(window.tasks["alive_ns"].sum() + window.folded["alive_ns"].sum())
    return {
        "alive_ns": alive,
        **{name: sum(int(bank["time_ns"][phase]) for bank in banks) for name, phase in BANK_TIMES.items()},
        **{name: sum(int(bank[name]) for bank in banks) for name in (*model.COUNTERS, "bursts", "burst_tat_sum_ns")},
        **{name: sum(bank[name] for bank in banks).tolist() for name in HISTOGRAMS},
    }


def expected_total(rows: list[dict[str, object]]) -> dict[str, object]:
    names = ("alive_ns", *BANK_TIMES, *model.COUNTERS, "bursts", "burst_tat_sum_ns")
    lists = {name: np.sum([row[name] for row in rows], axis=0).astype(int).tolist() for name in HISTOGRAMS if rows}
    empty = {name: [0] * layout.TASK_BUCKETS for name in HISTOGRAMS}
    return {name: sum(row[name] for row in rows) for name in names} | (lists or empty)


# ---- against the model ----


@given(history=histories(), least=st.sampled_from([0, 1, 5_000]))
@settings(max_examples=300)
@example(FIRST_CPU_ON_THE_EDGE, 0)
@example(DEAD_BEFORE_THE_WARM_UP_IS_DRAINED, 0)
@example(UNHASHED_BEFORE_ITS_LAST_SWITCH, 0)
@example(COMPLETES_ON_THE_EDGE, 0)
def test_every_row_equals_the_model(library, history, least):
    assert_rows_equal_the_model(history, play(library, history, min_activity_ns=least), least)


def assert_rows_equal_the_model(history, windows, least):
    lives = model.lives(history.events)
    for (start, end), window in zip(history.windows, windows, strict=True):
        assert (window.start_ns, window.end_ns) == (start, end)
        rows = {task: model.row(life, start, end) for task, life in lives.items()}
        active = {t: row for t, row in rows.items() if row["alive_ns"] and model.demand_ns(row) >= least}
        assert rows_of(window) == active
        assert total_of(window) == expected_total(list(rows.values()))
        alive = sum(row["alive_ns"] > 0 for row in rows.values())
        assert int(window.folded["tasks"].sum()) == alive - len(active)
        assert not any(window.losses.values())


@given(history=histories())
@settings(max_examples=150)
@example(UNHASHED_BEFORE_ITS_LAST_SWITCH)
@example(COMPLETES_ON_THE_EDGE)
def test_every_cpu_equals_the_model(library, history):
    assert_cpus_equal_the_model(history, play(library, history))


def assert_cpus_equal_the_model(history, windows):
    lives = list(model.lives(history.events).values())
    for (start, end), window in zip(history.windows, windows, strict=True):
        for cpu, bank in enumerate(window.cpus):
            found = {name: int(bank["time_ns"][phase]) for name, phase in CPU_TIMES.items()}
            assert found | {"switches": int(bank["switches"])} == model.cpu_row(history.events, cpu, start, end)
            for kind, samples in zip(layout.SAMPLE_KINDS, bank["samples"][1], strict=True):
                named = {name: samples[name].tolist() for name in ("sum_ns", "max_ns", "histogram")}
                assert named == model.samples(lives, kind, cpu, start, end)


@given(history=histories())
@example(RAN_DURING_THE_WARM_UP)
def test_total_cpu_is_that_of_the_whole_life(library, history):
    lives = model.lives(history.events)
    for (_, end), window in zip(history.windows, play(library, history), strict=True):
        for record in window.tasks:
            life = lives[int(record["tid"]) - FIRST_TID]
            assert record["total_cpu_ns"] == model.times(life, 0, end)["running"]


# ---- the laws, without the model ----


@given(history=histories())
def test_law_1_running_waiting_and_blocked_make_up_the_life_within_the_window(library, history):
    for window in play(library, history, min_activity_ns=0):
        for row in rows_of(window).values():
            lived = row["running"] + row["wakeup_wait"] + row["preempt_wait"] + row["blocked"] + row["iowait"]
            assert lived == row["alive_ns"] <= window.end_ns - window.start_ns


@given(history=histories())
@example(DEAD_BEFORE_THE_WARM_UP_IS_DRAINED)
@example(UNHASHED_BEFORE_ITS_LAST_SWITCH)
@example(COMPLETES_ON_THE_EDGE)
def test_law_2_tasks_teardown_and_idle_fill_every_cpu(library, history):
    for window in play(library, history):
        time = window.cpus["time_ns"].sum(axis=0)
        assert not time[layout.CPU_UNTRACKED]
        used = total_of(window)["running"] + int(time[layout.CPU_IDLE] + time[layout.CPU_TEARDOWN])
        assert used == (window.end_ns - window.start_ns) * history.cpus


@given(history=histories())
def test_law_3_neither_cpu_nor_response_time_exceeds_turnaround_time(library, history):
    completed = 0
    for window in play(library, history):
        for record in window.tasks[window.tasks["completion_ns"] > 0]:
            tat = int(record["completion_ns"]) - int(record["arrival_ns"])
            assert record["total_cpu_ns"] <= tat
            assert int(record["first_cpu_ns"]) - int(record["arrival_ns"]) <= tat
            completed += 1
    assert completed <= history.tasks, "a task completed in two windows"


@given(history=histories())
def test_law_5_windows_tile_and_sum_to_one_long_window(library, history):
    windows = play(library, history)
    for earlier, later in itertools.pairwise(windows):
        assert earlier.end_ns == later.start_ns
    collects = [step for step in history.steps if isinstance(step, Collect)]
    last = collects[-1]
    # The same history, looked at through the same two edges and no other.
    steps = [step for step in history.steps if not isinstance(step, Collect)]
    first = replace(collects[0], next_edge=last.edge)
    position = history.steps.index(collects[0])
    whole = replace(history, steps=[*steps[:position], first, *steps[position:], last])
    [long] = play(library, whole)
    totals = [total_of(window) for window in windows]
    summed = {n: sum(t[n] for t in totals) for n in totals[0] if n not in HISTOGRAMS}
    merged = {n: np.sum([t[n] for t in totals], axis=0).tolist() for n in HISTOGRAMS}
    assert summed | merged == total_of(long)


@given(history=histories(), uids=st.lists(st.integers(1, 2), min_size=12, max_size=12))
def test_law_6_a_filter_changes_no_total(library, history, uids):
    everything = play(library, history, uids)
    filtered = play(library, history, uids, by_uid=1, uid=1)
    for unfiltered, window in zip(everything, filtered, strict=True):
        assert total_of(window) == total_of(unfiltered)
        assert rows_of(window) == {task: row for task, row in rows_of(unfiltered).items() if uids[task] == 1}
        assert _samples(window) == _samples(unfiltered)


def _samples(window: RawWindow) -> list[list[int]]:
    """Samples by kind, selected or not."""
    return window.cpus["samples"]["histogram"].sum(axis=(0, 1)).tolist()


@given(history=histories(), room=st.integers(1, 3))
def test_law_7_a_full_ring_loses_no_time_and_is_counted(library, history, room):
    """The flush has its page emptied as it goes; only the exits between two drains can find the ring full."""
    for full, window in zip(play(library, history), play(library, history, ring_records=room), strict=True):
        assert total_of(window) == total_of(full)
        assert len(window.tasks) + window.losses["ring_dropped"] >= len(full.tasks)


@given(history=histories())
@example(DEAD_BEFORE_THE_WARM_UP_IS_DRAINED)
def test_histograms_count_every_wait_and_burst_that_ended(library, history):
    for window in play(library, history):
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
    for window in play(library, replace(history, steps=steps), min_activity_ns=0):
        span = window.end_ns - window.start_ns + moved
        for row in rows_of(window).values():
            assert all(row[name] <= span for name in (*BANK_TIMES, "alive_ns"))
        longest = steps[-1].now - 1_000_000 + moved
        assert all(row["max_wait_ns"] <= longest for row in rows_of(window).values())
        assert int(window.cpus["time_ns"].max()) <= span
