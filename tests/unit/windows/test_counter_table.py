"""Counts of perf events by task: joined with the rows of `tasks`, the rest summed, scaled where events took turns."""

from dataclasses import replace

import numpy as np
import pytest
from samples import MS, build, counted, raw_windows, replaced

from schedtel.records import layout
from schedtel.records.counted import Counted
from schedtel.windows.counter_table import counters_batch


@pytest.fixture
def raw(library):
    return raw_windows(library)[0]


def rows_of(raw, told):
    window = build(raw, 1)
    return counters_batch(1, window.tasks, told).to_pylist()


def test_each_task_has_a_row_for_each_event_that_says_whose_it_is(raw):
    window = build(raw, 1)
    tasks = {row["tid"]: row for row in window.tasks.to_pylist()}
    rows = window.counters.to_pylist()
    assert len(rows) == 2 * len(raw.tasks) + 2
    for row in rows[:-2]:
        for name in ("tgid", "start_boottime_ns", "previous_tid", "comm", "cgroup"):
            assert row[name] == tasks[row["tid"]][name]
    assert [row["event"] for row in rows] == ["cycles", "page-faults"] * (len(raw.tasks) + 1)
    assert [(row["tid"], row["comm"], row["count"]) for row in rows[-2:]] == [(0, "other", 0)] * 2


def test_a_count_is_scaled_up_where_events_took_turns(raw):
    rows = rows_of(raw, counted(raw))
    assert [row["count"] for row in rows[:4]] == [0, 2 * 10, 20, 2 * 30]
    assert [row["running_share"] for row in rows[:4]] == [1.0, 0.5, 1.0, 0.5]


def test_an_event_that_never_had_a_counter_has_no_count(raw):
    told = counted(raw)
    told.readings["running_ns"][0] = 0
    assert [(row["count"], row["running_share"]) for row in rows_of(raw, told)[:2]] == [(None, 0.0)] * 2


def test_a_large_count_keeps_its_last_bit(raw):
    told = counted(raw)
    told.readings["count"][0, 0] = (1 << 60) + 1
    assert rows_of(raw, told)[0]["count"] == (1 << 60) + 1


def test_tasks_without_a_row_are_summed_in_other(raw):
    told = counted(raw)
    told.tasks["tid"][0] += 1_000_000
    other = np.zeros(2, layout.READING)
    other["count"], other["enabled_ns"], other["running_ns"] = 5, MS, MS
    rows = rows_of(raw, replace(told, other=other))
    assert len(rows) == 2 * len(raw.tasks)
    assert rows[-2]["count"] == 0 + 5
    assert rows[-1]["count"] == round((10 + 5) * 2 / 1.5)


def test_without_tasks_there_is_other_alone(raw):
    none = Counted(
        ("cycles",), np.zeros(0, layout.COUNTED_TASK), np.zeros((0, 1), layout.READING), np.zeros(1, layout.READING)
    )
    (row,) = rows_of(raw, none)
    assert (row["comm"], row["event"], row["count"], row["running_share"]) == ("other", "cycles", 0, 1.0)


def test_a_task_that_took_its_leaders_tid_has_the_counts_of_both_tids(raw):
    """Task 1 has taken over the tid of task 0, by an exec; what it counted before is at a tid without a row."""
    window, told = build(raw, 1), counted(raw)
    first, second = window.tasks["tid"].to_pylist()[:2]
    starts = window.tasks["start_boottime_ns"].to_pylist()
    starts[1] = starts[0]
    previous = [None, second, *[None] * (window.tasks.num_rows - 2)]
    tids = [first, first, *window.tasks["tid"].to_pylist()[2:]]
    tasks = replaced(window.tasks, tid=tids, start_boottime_ns=starts, previous_tid=previous)
    rows = counters_batch(1, tasks, told).to_pylist()
    its = [row for row in rows if row["previous_tid"] == second and row["event"] == "cycles"]
    assert [row["count"] for row in its] == [0 + 20]


def test_features_are_sums_over_all_rows(raw):
    window = build(raw, 1)
    vector = window.features()
    counts = dict.fromkeys(("cycles", "page-faults"), 0)
    for row in window.counters.to_pylist():
        counts[row["event"]] += row["count"]
    assert vector["counter_cycles_total"] == counts["cycles"] > 0
    assert vector["counter_page_faults_total"] == counts["page-faults"]
    busy_s = sum(window.cpus["busy_ns"].to_pylist()) / 1e9
    assert vector["counter_cycles_per_cpu_s"] == pytest.approx(counts["cycles"] / busy_s)
    assert vector["counter_instructions_total"] is None


def test_a_total_of_which_a_part_is_unknown_is_missing(raw):
    window = build(raw, 1)
    counts = [None, *window.counters["count"].to_pylist()[1:]]
    vector = replace(window, counters=replaced(window.counters, count=counts)).features()
    assert vector["counter_cycles_total"] is vector["counter_cycles_per_cpu_s"] is None
    assert vector["counter_page_faults_total"] is not None
