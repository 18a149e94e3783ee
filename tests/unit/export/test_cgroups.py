"""Series of cgroups: the busiest have their own, and the rest are `other`."""

import numpy as np
import pytest
from exporting import (
    GROUPS,
    in_cgroups,
    named,
    totals_of,
)
from hypothesis import given
from hypothesis import strategies as st

import schedtel
from schedtel.export.cgroups import CgroupTotals
from schedtel.export.series_slots import IDLE_NS
from schedtel.windows import tables


def test_the_busiest_have_series_of_their_own_and_the_rest_are_other(windows):
    window = in_cgroups(windows[0], GROUPS)
    cpu, wait = (tables.column(window.tasks, name) for name in ("cpu_ns", "wait_ns"))
    paths = np.array([path or "" for path in window.tasks["cgroup"].to_pylist()])
    asked = {path: int((cpu + wait)[paths == path].sum()) for path in set(GROUPS)}
    first = sorted(asked, key=asked.get, reverse=True)[:2]
    totals = totals_of([window], max_cgroups=2)
    found = named(totals, "schedtel_cgroup_cpu_seconds_total")
    assert {labels[0] for labels in found} == {*first, "other"}
    for path in first:
        assert found[path,] == cpu[paths == path].sum() / 1e9
    assert named(totals, "schedtel_cgroups") == {(): 2}
    assert named(totals, "schedtel_cgroups_folded") == {(): sum(ns > 0 for ns in asked.values()) - 2}


@given(
    st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=5), min_size=1, max_size=12), st.integers(0, 4)
)
def test_whatever_comes_and_goes_no_series_goes_back_and_nothing_counts_twice(windows, history, most):
    """Half an idle time lies between windows, so series lose their places; a series that ends begins again from 0."""
    cgroups, before, ended, added = CgroupTotals(most), {}, 0, 0
    for number, paths in enumerate(history):
        window = in_cgroups(windows[number % 2], [f"/{path}" for path in paths])
        cgroups.add(window.tasks, 1 + number, number * IDLE_NS // 2)
        added += int(tables.column(window.tasks, "cpu_ns").sum())
        now = {(sums.path, sums.start_ns): sums.columns["cpu_ns"] for sums in cgroups}
        assert len(now) <= most + 1
        assert len(cgroups) == len(now) - 1
        ended += sum(before.pop(series) for series in set(before) - set(now))
        assert all(now[series] >= value for series, value in before.items())
        before = now
        assert ended + sum(now.values()) == added


def test_a_place_is_given_away_only_after_it_has_been_idle_for_long(windows):
    def add(path, moment):
        cgroups.add(in_cgroups(windows[0], [path]).tasks, 1, moment)
        return [sums.path for sums in cgroups]

    cgroups = CgroupTotals(1)
    assert add("/old", 0) == ["other", "/old"]
    assert add("/new", IDLE_NS - 1) == ["other", "/old"]
    assert cgroups.folded == 1
    assert add("/new", IDLE_NS) == ["other", "/new"]
    assert cgroups.folded == 0


@pytest.mark.parametrize("both", [["/new", "/old"], ["/old", "/new"]])
def test_who_runs_in_this_window_keeps_its_place_however_long_windows_are(windows, both):
    cgroups = CgroupTotals(1)
    cgroups.add(in_cgroups(windows[0], ["/old"]).tasks, 1, 0)
    cgroups.add(in_cgroups(windows[0], both).tasks, 1, 3 * IDLE_NS)
    assert [sums.path for sums in cgroups] == ["other", "/old"]


def test_windows_without_tasks_and_rows_of_no_cgroup_are_no_trouble(windows):
    empty = schedtel.Window(windows[0].summary, windows[0].tasks.slice(0, 0), windows[0].cpus)
    totals = totals_of([empty, in_cgroups(windows[0], [None])])
    assert {labels[0] for labels in named(totals, "schedtel_cgroup_cpu_seconds_total")} == {"other"}
    assert sum(named(totals, "schedtel_cgroup_cpu_seconds_total").values()) > 0
