"""Bins of time: however windows are merged, they sum to one long window, and one window is in memory at a time."""

import gc
import weakref

import numpy as np
import pytest
from samples import MS

from schedtel import UsageError
from schedtel.analysis.timeline import FIGURE_INDEX, SAMPLES, Timeline, bin_of, follow, timeline_of
from schedtel.windows.arrow import rows


def value(binned, name: str) -> float:
    return float(binned.values[FIGURE_INDEX[name]])


def test_turnaround_and_response_are_those_of_the_history(windows):
    """Task 3 lives from 1 to 12 ms; first CPUs are at 1, 13, 51, 2 and 12.5 ms, all after an arrival at 1 ms."""
    total = timeline_of(windows).total()
    assert value(total, "tat_mean_ns") == 11 * MS
    assert value(total, "rt_mean_ns") == pytest.approx((0 + 12 + 50 + 1 + 11.5) / 5 * MS)
    assert total.histograms["tat"].sum() == 1
    assert total.histograms["rt"].sum() == 5
    assert total.largest_ns["tat"] == 11 * MS
    assert total.largest_ns["rt"] == 50 * MS


def test_cpu_0_is_idle_from_its_last_switch_on(windows):
    """It runs task 0 or task 2 from 1 ms to 250 ms of 300 ms."""
    busy, idle = timeline_of(windows).total().cpus[0]
    assert busy == 249 * MS
    assert idle == 51 * MS


def test_a_bin_of_all_windows_weighs_means_by_what_they_are_means_of(windows):
    total = timeline_of(windows).total()
    summaries = [rows(window.summary)[0] for window in windows]
    samples = sum(s["preempt_wait_count"] for s in summaries)
    times = sum(s["preempt_wait_mean_ns"] * s["preempt_wait_count"] for s in summaries if s["preempt_wait_count"])
    assert value(total, "preempt_wait_mean_ns") == pytest.approx(times / samples)
    waited = sum(sum(window.tasks["wait_ns"].to_pylist()) for window in windows)
    assert value(total, "runqueue_length_avg") == pytest.approx(waited / (300 * MS))
    assert value(total, "wakeups_per_s") == pytest.approx(sum(s["wakeups"] for s in summaries) / 0.3)
    assert value(total, "idle_share") == pytest.approx(sum(s["idle_ns"] for s in summaries) / (600 * MS))


@pytest.mark.parametrize("most", [1, 2, 3, 10])
def test_however_much_is_merged_the_total_is_the_same(windows, most):
    merged, whole = timeline_of(windows * 3, most), timeline_of(windows * 3)
    assert len(merged.bins) <= most
    assert merged.windows == whole.windows == 9
    a, b = merged.total(), whole.total()
    np.testing.assert_allclose(a.numerators, b.numerators, rtol=1e-15)
    np.testing.assert_allclose(a.denominators, b.denominators, rtol=1e-15)
    assert all((a.histograms[s.name] == b.histograms[s.name]).all() for s in SAMPLES)
    assert a.largest_ns == b.largest_ns
    assert {cpu: tuple(times) for cpu, times in a.cpus.items()} == {cpu: tuple(times) for cpu, times in b.cpus.items()}


def test_all_bins_but_the_last_are_of_as_many_windows(windows):
    timeline = timeline_of(windows * 7, 4)
    assert [b.windows for b in timeline.bins] == [8, 8, 5]
    assert timeline.stride == 8


def test_the_total_leaves_the_bins_as_they_were(windows):
    timeline = timeline_of(windows)
    before = timeline.stacked("numerators").copy(), timeline.histograms("wait").copy()
    timeline.total()
    np.testing.assert_array_equal(timeline.stacked("numerators"), before[0])
    np.testing.assert_array_equal(timeline.histograms("wait"), before[1])


def test_the_extremes_of_a_bin_are_those_of_its_windows(windows):
    index = FIGURE_INDEX["running_avg"]
    each = [bin_of(window).values[index] for window in windows]
    total = timeline_of(windows, 1).bins[0]
    assert (total.lowest[index], total.highest[index]) == (min(each), max(each))


def test_only_one_window_is_in_memory_at_a_time(windows):
    def fresh():
        for window in windows * 4:
            yield type(window)(window.summary, window.tasks, window.cpus)

    alive: list[weakref.ref] = []
    for window in follow(fresh(), Timeline()):
        alive.append(weakref.ref(window))
        del window  # the loop holds this window, not the timeline
        gc.collect()
        assert sum(reference() is not None for reference in alive) <= 1


def test_a_source_without_windows_is_refused():
    with pytest.raises(UsageError, match="no window"):
        timeline_of([])
