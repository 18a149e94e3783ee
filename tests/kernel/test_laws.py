"""The laws, on a machine under several kinds of load at once."""

import subprocess
from unittest import mock

import pytest
from observe import assert_buckets_outgrow_16_bits, collecting, judge
from waiting import PATIENCE_S, eventually

from schedtel.kernel.core import programs
from schedtel.windows import invariants as laws
from schedtel.windows import tables

#: Columns of `tasks` that add up over windows.
ADDED = (
    "voluntary_switches",
    "involuntary_switches",
    "wakeups",
    "bursts",
    "migrations",
    "cpu_ns",
    "blocked_ns",
    "wait_ns",
)


@pytest.fixture(scope="module", params=["walks", "iterators"])
def busy(workload, request):
    """Windows of four seconds of fork storm, ping-pong, hogs and sleepers; once for each way of visiting tasks."""
    if request.param == "walks":
        return collect_busy(workload)
    with mock.patch.object(programs, "_try", return_value=None):
        return collect_busy(workload)


def collect_busy(workload, tries=3):
    """Collect until a run has no losses: they tell that the collector did not get to run."""
    for _ in range(tries):
        collected = collect_once(workload)
        if not collected.losses():
            break
    return collected


def collect_once(workload):
    modes = [
        ("storm", 3000),
        ("pingpong", 60_000),
        ("spin", 3),
        ("spin", 3),
        ("spin", 3),
        ("sleep", 3),
        ("threads", 200, 2),
    ]
    with collecting("250ms") as collected:
        running = [subprocess.Popen([workload, *map(str, mode)], stdout=subprocess.DEVNULL) for mode in modes]
        assert [process.wait(timeout=PATIENCE_S) for process in running] == [0] * len(modes)
    return collected


def test_the_machine_was_busy(busy):
    assert len(busy.windows) >= 4
    assert busy.total("voluntary_switches") > 30_000
    assert sum(window.metrics.tat.count for window in busy.windows) >= 3000


def test_law_1_times_add_up_to_life_to_the_nanosecond(busy):
    for window in busy.windows:
        parts = [tables.column(window.tasks, name) for name in ("cpu_ns", "wait_ns", "blocked_ns")]
        assert (sum(parts) == tables.column(window.tasks, "alive_ns")).all()


def test_a_task_alive_throughout_is_alive_for_the_whole_window(busy):
    for window in busy.windows:
        length = window.end_ns - window.start_ns
        for row in window.tasks.slice(0, window.tasks.num_rows - 1).to_pylist():
            if row["arrival_ns"] <= window.start_ns and row["completion_ns"] is None:
                assert row["alive_ns"] == length


def test_law_2_tasks_and_idle_fill_every_cpu(busy):
    for window in busy.windows:
        ran = int(tables.column(window.tasks, "cpu_ns").sum())
        rest = sum(int(tables.column(window.cpus, name).sum()) for name in ("idle_ns", "teardown_ns", "untracked_ns"))
        available = (window.end_ns - window.start_ns) * window.cpus.num_rows
        assert abs(ran + rest - available) <= available * 0.001


def test_each_cpu_is_busy_or_idle_to_the_nanosecond(busy):
    for window in busy.windows:
        total = tables.column(window.cpus, "busy_ns") + tables.column(window.cpus, "idle_ns")
        assert (total == window.end_ns - window.start_ns).all()


def test_law_3_no_life_is_impossible(busy):
    completed = [row for row in busy.rows(left_censored=False) if row["completion_ns"] is not None]
    assert len(completed) >= 3000
    for row in completed:
        assert 0 <= row["total_cpu_ns"] <= row["tat_ns"]
        assert row["rt_ns"] is not None, row
        assert 0 <= row["rt_ns"] <= row["tat_ns"]
        assert row["fork_ns"] <= row["arrival_ns"] <= row["first_cpu_ns"] <= row["completion_ns"]


def test_law_5_windows_tile(busy):
    for before, after in zip(busy.windows, busy.windows[1:], strict=False):
        assert before.end_ns == after.start_ns
        assert after.window_id == before.window_id + 1


def test_law_7_nothing_was_lost(busy):
    assert busy.losses() == {}


def test_histograms_count_what_the_counters_count(busy):
    for window in busy.windows:
        bursts = tables.column(window.tasks, "bursts")
        assert (tables.histograms(window.tasks, "burst_tat_histogram").sum(axis=1) == bursts).all()
        waits = tables.histograms(window.tasks, "wait_histogram").sum()
        assert tables.histograms(window.cpus, "wait_histogram").sum() == waits
        assert window.metrics.wakeup_wait.count + window.metrics.preempt_wait.count == waits
        assert window.metrics.burst_tat.count == tables.histograms(window.tasks, "burst_tat_histogram").sum()


def test_a_task_counts_past_the_16_bits_of_its_buckets(start, last_cpu):
    assert_buckets_outgrow_16_bits(start, last_cpu)


def test_the_checker_agrees_and_can_say_no(busy):
    for before, window in zip([None, *busy.windows], busy.windows, strict=False):
        assert all(finding.holds for finding in laws.check(window, before))
    first, third = busy.windows[0], busy.windows[2]
    assert not all(finding.holds for finding in laws.check(third, first)), "a gap between windows must be found"


def test_law_5_short_windows_add_up_to_a_long_one(start, last_cpu):
    """Two collectors run at once on one grid: ten short windows add up to one long window."""

    def observe():
        with collecting("50ms") as short, collecting("500ms") as long:
            running = start("pingpong", 100_000_000, cpu=last_cpu), start("spin", 600, cpu=last_cpu)
            # The first window does not count: it begins when the collector does. Where a collector is held up, a window
            # lies across the edge: then another long window will do.
            eventually(lambda: any(_switches(w) > 500 and _parts(w, short) for w in long.windows[1:]))
            for process in running:
                process.kill()
                process.wait()
        return short, long

    def verdict(short, long):
        whole = max((w for w in long.windows[1:] if _parts(w, short)), key=_switches)
        _assert_parts_make_the_whole(whole, _parts(whole, short))

    judge(observe, verdict, stamps=True)


def _switches(window):
    return int(tables.column(window.tasks, "voluntary_switches").sum())


def _parts(whole, short):
    """The short windows between the edges of a long one; empty where they do not have these edges."""
    parts = [w for w in short.windows if whole.start_ns <= w.start_ns and w.end_ns <= whole.end_ns]
    complete = sum(w.end_ns - w.start_ns for w in parts) == whole.end_ns - whole.start_ns
    return parts if complete and len(parts) > 1 else []


def _assert_parts_make_the_whole(whole, parts):
    totals = [{n: sum(int(tables.column(w.tasks, n).sum()) for w in ws) for n in ADDED} for ws in ([whole], parts)]
    switches = totals[0]["voluntary_switches"] + totals[0]["involuntary_switches"]
    for name in ADDED:
        # Each collector takes its own stamps: a few microseconds a switch apart at most, and an event at the very edge
        # of the window may fall on either side of it.
        allowed = 1_000_000 + 3_000 * switches if name.endswith("_ns") else 6
        assert abs(totals[0][name] - totals[1][name]) <= allowed, name
