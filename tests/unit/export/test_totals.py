"""Exported sums against arithmetic on paper and against each other."""

import pytest
from exporting import GROUPS, in_cgroups, named, read, totals_of
from samples import replaced

import schedtel
from schedtel.export import definitions
from schedtel.export.hosts import Totals

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
