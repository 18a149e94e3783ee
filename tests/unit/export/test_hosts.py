"""Series of several hosts: those of each alone."""

import pytest
from exporting import GROUPS, in_cgroups, named, read, totals_of
from samples import on_host

from schedtel.export import definitions
from schedtel.export.hosts import Totals


def test_the_series_of_two_hosts_are_those_of_each_alone(windows):
    """Their windows come in any order, and their CPUs and cgroups have the same names."""
    first, second = (
        [on_host(in_cgroups(w, GROUPS), name) for w in windows[:n]] for name, n in (("web1", 3), ("db", 2))
    )
    both = read(totals_of([first[0], *second, *first[1:]], max_hosts=2))
    alone = {"web1": read(totals_of(first)), "db": read(totals_of(second))}
    for name in ("web1", "db"):
        for metric, series in alone[name].items():
            if metric == definitions.HOST:
                continue  # it always has the label
            (found,) = [mixed for other, mixed in both.items() if other.name == metric.name]
            assert numbers(series) == numbers({labels[1:]: v for labels, v in found.items() if labels[0] == name})
    assert set(named(totals_of([first[0], second[0]], max_hosts=2), "schedtel_host_info")) == {
        (name, "6.18.0", "eevdf") for name in alone
    }
    assert named(totals_of(windows), "schedtel_windows_total") == {(): 3}, "with one host, series have no label of it"


def numbers(series):
    """Series with their values as numbers that can be compared."""
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
