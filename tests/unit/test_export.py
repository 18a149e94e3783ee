"""Exported sums against arithmetic on paper and against each other: names, buckets, and how many series there are."""

import itertools
import re

import numpy as np
import pytest
from exporting import (
    GROUPS,
    in_cgroups,
    named,
    on_host,
    preempted,
    read,
    replaced,
    totals_of,
)
from hypothesis import given
from hypothesis import strategies as st

import schedtel
from schedtel.export import definitions
from schedtel.export.buckets import CGROUP_STEP, HOST_STEP, exported
from schedtel.export.cgroups import CgroupTotals
from schedtel.export.hosts import Totals
from schedtel.export.series_slots import IDLE_NS
from schedtel.records.histogram import FINE_EDGES_NS, TASK_EDGES_NS
from schedtel.records.layout import FINE_BUCKETS, TASK_BUCKETS
from schedtel.windows import tables

# ---- names ----


def test_names_follow_the_conventions():
    """Base units, `_total` for counters and for nothing else, no unit of schedtel's columns, one metric a name."""
    names = [metric.prometheus_name for metric in definitions.METRICS]
    assert len(set(names)) == len(names) == len({metric.name for metric in definitions.METRICS})
    for metric, name in zip(definitions.METRICS, names, strict=True):
        assert re.fullmatch(r"schedtel_[a-z0-9_]+", name)
        assert name.endswith("_total") == (metric.kind == "counter")
        assert not re.search(r"_(ns|ms|us|avg|count|sum|bucket)(_|$)", name)
        assert len(metric.help) > 15
        assert "the window" not in metric.help
        assert not re.search(r"_ns\b|\bnull\b", metric.help)
        assert not {"pid", "tid", "tgid", "comm"} & set(metric.labels)


def test_a_name_is_that_of_the_specification():
    """https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/"""
    names = {metric.name: metric.prometheus_name for metric in definitions.METRICS}
    assert names["schedtel.cgroup.cpu"] == "schedtel_cgroup_cpu_seconds_total"
    assert names["schedtel.collector_rss"] == "schedtel_collector_rss_bytes"
    assert names["schedtel.fairness_jain"] == "schedtel_fairness_jain_ratio"
    assert names["schedtel.runqueue_length"] == "schedtel_runqueue_length"
    assert names["schedtel.wait"] == "schedtel_wait_seconds"


# ---- sums ----


def test_sums_are_those_of_the_history(windows):
    """CPU 0 works from 1 to 250 ms; task 3 lives from 1 to 12 ms; first CPUs at 1, 13, 51, 2 and 12.5 ms after 1 ms."""
    totals = totals_of(windows)
    assert named(totals, "schedtel_windows_total") == {(): 3}
    assert named(totals, "schedtel_observed_seconds_total") == {(): 0.3}
    assert named(totals, "schedtel_cpu_busy_seconds_total")["0",] == 0.249
    assert named(totals, "schedtel_cpu_idle_seconds_total")["0",] == 0.051
    assert named(totals, "schedtel_tasks_completed_total") == {(): 1}
    tat = named(totals, "schedtel_tat_seconds")[()]
    assert (tat.sum_s, tat.counts.sum()) == (0.011, 1)
    assert tat.bounds_s[int(tat.counts.argmax()) - 1] < 0.011 < tat.bounds_s[int(tat.counts.argmax())]
    rt = named(totals, "schedtel_rt_seconds")[()]
    assert rt.sum_s == pytest.approx(0.0745)
    assert rt.counts.sum() == 5
    assert named(totals, "schedtel_steal_seconds_total") == {(): 0.03}
    assert named(totals, "schedtel_collector_rss_bytes") == {(): 50 << 20}
    assert named(totals, "schedtel_window_seconds") == {(): 0.1}
    assert named(totals, "schedtel_last_window_timestamp_seconds")[()] == pytest.approx(1_700_000_000.423456)
    assert named(totals, "schedtel_host_info") == {("testhost", "6.18.0", "eevdf"): 1}


def test_over_all_cgroups_the_sums_are_those_of_the_host(windows):
    totals = totals_of([in_cgroups(window, GROUPS) for window in windows], max_cgroups=2)
    cpu = named(totals, "schedtel_cgroup_cpu_seconds_total")
    busy, gone = (named(totals, f"schedtel_cpu_{kind}_seconds_total") for kind in ("busy", "teardown"))
    assert sum(cpu.values()) == pytest.approx(sum(busy.values()) - sum(gone.values()))
    waits = named(totals, "schedtel_cgroup_wait_seconds")
    host = named(totals, "schedtel_wait_seconds")[()]
    assert sum(h.sum_s for h in waits.values()) == pytest.approx(host.sum_s)
    assert sum(h.counts.sum() for h in waits.values()) == host.counts.sum()
    for name in ("wakeups", "migrations", "voluntary_switches", "involuntary_switches"):
        of_groups = named(totals, f"schedtel_cgroup_{name}_total")
        assert sum(of_groups.values()) == named(totals, f"schedtel_{name}_total")[()]


def test_without_a_window_there_are_zeros_to_count_from():
    totals = Totals()
    assert named(totals, "schedtel_windows_total") == {(): 0}
    assert named(totals, "schedtel_ring_dropped_total") == {(): 0}
    assert named(totals, "schedtel_wait_seconds")[()].counts.sum() == 0
    assert "schedtel_last_window_timestamp_seconds" not in {m.prometheus_name for m in read(totals)}


def test_what_has_no_value_is_left_out(windows):
    """The kernel counts no BPF run time here; the third window has no task that asked for 1 ms in competition."""
    names = {metric.prometheus_name for metric in read(totals_of(windows))}
    assert "schedtel_bpf_seconds_total" not in names
    assert "schedtel_fairness_jain_ratio" in names


def test_every_metric_is_exported(windows):
    window = schedtel.Window(replaced(windows[0].summary, bpf_ns=[5_000]), windows[0].tasks, windows[0].cpus)
    totals = totals_of([window])
    assert set(read(totals)) == set(definitions.METRICS)
    assert named(totals, "schedtel_bpf_seconds_total") == {(): 5e-6}


# ---- buckets ----


@given(st.data())
@pytest.mark.parametrize(
    ("buckets", "edges", "step"),
    [(FINE_BUCKETS, FINE_EDGES_NS, HOST_STEP), (TASK_BUCKETS, TASK_EDGES_NS, CGROUP_STEP)],
    ids=["host", "cgroup"],
)
def test_exported_buckets_count_each_sample_once_and_where_it_belongs(buckets, edges, step, data):
    durations = np.array(data.draw(st.lists(st.integers(0, int(edges[-1]) - 1), max_size=50)), np.int64)
    counts = np.histogram(durations, bins=edges)[0]
    found = exported(counts, int(durations.sum()), step)
    assert len(found.counts) == len(found.bounds_s) + 1
    for bound, below in zip(found.bounds_s, found.counts.cumsum(), strict=False):
        assert below == (durations < round(bound * 1e9)).sum()
    assert found.counts.sum() == len(durations)


@pytest.mark.parametrize(("step", "most"), [(HOST_STEP, 0.25), (CGROUP_STEP, 0.5)])
def test_no_bucket_is_wider_than_is_said(step, most):
    bounds = exported(np.zeros(FINE_BUCKETS, np.int64), 0, step).bounds_s
    assert (bounds[0], bounds[-1]) == (1.024e-6, 68.719476736)
    assert max((high - low) / low for low, high in itertools.pairwise(bounds)) <= most + 1e-12


# ---- cgroups ----


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
    """Windows an idle time apart, so that places are given away: a series may end, and begins again from 0."""
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


# ---- who preempted whom ----


def test_who_preempted_whom_adds_up_to_the_preempt_waits(windows):
    totals = totals_of(windows)
    distributions = [window.metrics.preempt_wait for window in windows]
    counted = sum(named(totals, "schedtel_preemption_waits_total").values())
    assert counted == sum(found.count for found in distributions) > 0
    waited = sum(named(totals, "schedtel_preemption_wait_seconds_total").values())
    assert waited == pytest.approx(sum(found.count * (found.mean_ns or 0) for found in distributions) / 1e9)


def test_pairs_without_room_are_other_and_so_is_a_cgroup_without_a_name(windows):
    first = preempted(windows[0], ("/a", "/b", 2, 500), ("/b", "/a", 1, 900), ("/c", None, 1, 2000), ("/c", "/a", 1, 1))
    rest = ("other", "other", 1, 9), (None, "/a", 1, 10_000)
    second = preempted(windows[1], ("/a", "/b", 5, 70), ("/c", None, 1, 3), *rest)
    totals = totals_of([first, second], max_cgroups=2)
    assert named(totals, "schedtel_preemption_waits_total") == {
        ("/c", "other"): 2,
        ("/b", "/a"): 1,
        ("other", "other"): 2 + 1 + 5 + 1 + 1,
    }
    assert named(totals, "schedtel_preemption_wait_seconds_total")["/c", "other"] == pytest.approx(2003e-9)


# ---- hosts ----


def test_the_series_of_two_hosts_are_those_of_each_alone(windows):
    """Whatever order their windows come in, and though they have CPUs and cgroups of the same names."""
    first, second = (
        [on_host(in_cgroups(w, GROUPS), name) for w in windows[:n]] for name, n in (("web1", 3), ("db", 2))
    )
    both = read(totals_of([first[0], *second, *first[1:]], max_hosts=2))
    alone = {"web1": read(totals_of(first)), "db": read(totals_of(second))}
    for name in ("web1", "db"):
        for metric, series in alone[name].items():
            if metric == definitions.HOST:
                continue  # it has the label anyway
            (found,) = [mixed for other, mixed in both.items() if other.name == metric.name]
            assert numbers(series) == numbers({labels[1:]: v for labels, v in found.items() if labels[0] == name})
    assert set(named(totals_of([first[0], second[0]], max_hosts=2), "schedtel_host_info")) == {
        (name, "6.18.0", "eevdf") for name in alone
    }
    assert named(totals_of(windows), "schedtel_windows_total") == {(): 3}, "of one host, no label says so"


def numbers(series):
    """Values of series in numbers that can be compared."""
    return {k: (v.sum_s, v.counts.tolist()) if hasattr(v, "sum_s") else v for k, v in series.items()}


def test_hosts_without_room_are_summed_as_one_that_has_no_gauges(windows):
    totals = totals_of([on_host(w, name) for w in windows for name in ("a", "b", "c", "d")], max_hosts=2)
    assert named(totals, "schedtel_windows_total") == {("a",): 3, ("b",): 3, ("other",): 6}
    cpu = named(totals, "schedtel_cgroup_cpu_seconds_total")
    of_host = {name: sum(s for labels, s in cpu.items() if labels[0] == name) for name in ("a", "other")}
    assert of_host["other"] == pytest.approx(2 * of_host["a"])
    assert {labels for labels in cpu if labels[0] == "other"} == {("other", "other")}
    assert set(named(totals, "schedtel_runqueue_length")) == set(named(totals, "schedtel_window_seconds"))
    assert set(named(totals, "schedtel_window_seconds")) == {("a",), ("b",)}
    assert totals.windows == 12


def test_windows_that_did_not_come_are_missing_of_their_host(windows):
    totals = Totals(max_hosts=2)
    totals.add(on_host(windows[0], "a"))
    totals.add(on_host(windows[0], "b"), missed=4)
    assert named(totals, "schedtel_windows_missed_total") == {("a",): 0, ("b",): 4}
    assert totals.losses["windows_missed"] == 4
