"""Waits that go on past a window's end: their column in tables, groups and NDJSON, and the law about them."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import samples
from edges import EDGE, FIRST_EDGE, collect
from machine import HostBackend
from model import Arrive, Fork, Switch
from samples import replaced

from schedtel.windows import schema
from schedtel.windows.invariants import check

#: Tasks: 0 is older than tracing and waits throughout, 1 and 2 wait from 1400 and 1700 on, 3 runs from 1200 on.
AGES = {0: None, 1: 600, 2: 300, 3: 0}


@pytest.fixture(scope="module")
def starving(library):
    """Three windows of 1000 ns; task 1 gets its CPU 250 ns into the third."""
    backend = HostBackend(library, 1, FIRST_EDGE, min_activity_ns=0)
    backend.task(0, comm="old")
    backend.standing(0, on_rq=1)
    backend.seed(FIRST_EDGE - 100)
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    for task, comm, born in ((3, "hog", 1_200), (1, "web", 1_400), (2, "web", 1_700)):
        backend.task(task, comm=comm)
        backend.happen(Fork(born, task))
        backend.happen(Arrive(born, task))
        if comm == "hog":
            backend.happen(Switch(born, 0, None, task))
    windows = [collect(backend), collect(backend, 3_001, 4_000)]
    backend.happen(Switch(3_250, 0, 3, 1, preempt=True))
    return [samples.build(raw, number) for number, raw in enumerate([*windows, collect(backend, 4_001, 5_000)], 1)]


def ages(window):
    return {row["tid"] - 100: row["open_wait_ns"] for row in window.tasks.to_pylist() if row["tid"]}


def test_the_column_is_null_where_the_start_is_not_known_and_0_where_nothing_waits(starving):
    first, second, third = map(ages, starving)
    assert first == AGES
    assert second == {0: None, 1: 1_600, 2: 1_300, 3: 0}
    assert third == {0: None, 1: 0, 2: 2_300, 3: 750}
    [ended] = [row["max_wait_ns"] for row in starving[2].tasks.to_pylist() if row["tid"] == 101]
    assert ended == 1_850


def test_a_group_has_the_largest_age_and_null_where_none_is_known(starving):
    groups = starving[0].groups("comm")
    assert dict(zip(groups["comm"].to_pylist(), groups["open_wait_ns"].to_pylist(), strict=True)) == {
        "old": None,
        "hog": 0,
        "web": 600,
    }


def test_other_has_the_largest_age(library):
    backend = HostBackend(library, 1, FIRST_EDGE, by_uid=1, uid=5)
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    backend.play(Fork(1_400, 0), Arrive(1_400, 0), Fork(1_700, 1), Arrive(1_700, 1))
    window = samples.build(collect(backend), 1)
    assert [(row["tid"], row["open_wait_ns"]) for row in window.tasks.to_pylist()] == [(0, 600)]
    assert window.groups("comm")["open_wait_ns"].to_pylist() == [600]


def test_ndjson_has_the_column(starving):
    line = json.loads(starving[0].to_ndjson())
    jsonschema.validate(line, schema.ndjson_schema())
    assert {row["tid"] - 100: row["open_wait_ns"] for row in line["tasks"]} == AGES


# ---- law 9 ----


def broken(windows, number, **columns):
    """The findings of law 9 that do not hold once these columns of a window are changed, by the task's number."""
    window = windows[number]
    tids = [tid - 100 for tid in window.tasks["tid"].to_pylist()]
    for name, by_task in columns.items():
        values = [by_task.get(t, v) for t, v in zip(tids, window.tasks[name].to_pylist(), strict=True)]
        window = replace(window, tasks=replaced(window.tasks, **{name: values}))
    return [f for f in check(window, windows[number - 1]) if f.law.startswith("9") and not f.holds]


def test_the_laws_hold(starving):
    for before, window in zip([None, *starving], starving, strict=False):
        assert [finding for finding in check(window, before) if not finding.holds] == []


@pytest.mark.parametrize(
    ("number", "columns"),
    [
        (1, {"open_wait_ns": {1: 1_599}}),
        (1, {"open_wait_ns": {1: 1_601}}),
        (1, {"open_wait_ns": {1: 0}, "waits_unfinished": {1: 0}}),
        (1, {"open_wait_ns": {3: 5}}),
        (1, {"waits_unfinished": {2: 0}}),
        (1, {"arrival_ns": {1: 1_500}}),
        (2, {"max_wait_ns": {1: 1_599}}),
    ],
)
def test_a_wait_that_is_broken_off_or_impossible_is_found(starving, number, columns):
    assert len(broken(starving, number, **columns)) == 1


def test_a_wait_that_is_no_longer_known_is_not_judged(starving):
    assert broken(starving, 1, open_wait_ns={1: None}) == []


def test_a_tid_of_two_tasks_is_not_judged(starving):
    once = starving[1].tasks
    twice = replace(starving[1], tasks=once.take(np.array([*range(once.num_rows), 1])))
    assert twice.tasks["tid"].to_pylist().count(101) == 2
    assert broken([starving[0], twice], 1, open_wait_ns={1: 1_599}) == []


def test_a_wait_is_not_judged_where_samples_were_discarded(starving):
    lossy = [starving[0], samples.changed(starving[1], samples_discarded=1)]
    assert broken(lossy, 1, open_wait_ns={1: 1_599}) == []
