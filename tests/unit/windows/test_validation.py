"""What is wrong with a window, in words; the sweep over all columns is tests/unit/recordings/test_hostile.py."""

from dataclasses import replace

import pyarrow as pa
import pytest
from samples import changed, moved, renamed, replaced

from schedtel.traces.imported import import_trace
from schedtel.windows.schema import ARROW
from schedtel.windows.validation import Order, flaw_of
from schedtel.windows.window import Window

TRACE = b"""\
  <idle>-0     [000]  10.000000: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R ==> \
next_comm=a next_pid=7 next_prio=120
  a-7          [000]  10.300000: sched_switch: prev_comm=a prev_pid=7 prev_prio=120 prev_state=S ==> \
next_comm=swapper/0 next_pid=0 next_prio=120
"""


def test_our_own_windows_are_whole(windows):
    assert [flaw_of(window) for window in windows] == ["", "", ""]


def test_the_windows_of_a_trace_are_whole_but_may_lack_host_and_wall_clock(tmp_path):
    (tmp_path / "trace").write_bytes(TRACE)
    for window in import_trace(tmp_path / "trace", "100ms"):
        assert flaw_of(window, identified=False) == ""
        assert flaw_of(window) == "summary.wall_start is null"


@pytest.mark.parametrize(
    ("columns", "flaw"),
    [
        ({"tasks_active": None}, "summary.tasks_active is null"),
        ({"wakeups": -1}, "summary.wakeups is out of range"),
        ({"window_ns": 0}, "summary.window_ns is out of range"),
        ({"window_ns": 1 << 62}, "summary.window_ns is out of range"),
        ({"window_start_ns": (1 << 62) - 1}, "its end is out of range"),
        ({"fairness_jain": float("nan")}, "summary.fairness_jain is no number from 0 on"),
        ({"runqueue_length_avg": float("inf")}, "summary.runqueue_length_avg is no number from 0 on"),
        ({"burst_tat_count": 3, "burst_tat_p99_ns": None}, "summary.burst_tat_p99_ns is null"),
        ({"host": None}, "summary.host is null"),
        ({"wall_start": 1 << 62}, "summary.wall_start is out of range"),
        ({"host": "x" * 20_000}, "summary.host is too long"),
    ],
)
def test_a_wrong_summary_is_told(windows, columns, flaw):
    assert flaw_of(changed(windows[1], **columns)) == flaw


@pytest.mark.parametrize(
    ("columns", "flaw"),
    [
        ({"memory_used_total_delta_bytes": -(1 << 40), "memory_used_percent_change": -99.0}, ""),
        ({"cpu_percent_avg": None, "io_read_total_delta_bytes": None}, ""),
        ({"io_read_total_delta_bytes": -1}, "machine.io_read_total_delta_bytes is out of range"),
        ({"cpu_percent_avg": -0.5}, "machine.cpu_percent_avg is no number from 0 on"),
        ({"cpu_percent_change": float("nan")}, "machine.cpu_percent_change is no number from -2^62 on"),
        ({"cpu_percent_change": float("-inf")}, "machine.cpu_percent_change is no number from -2^62 on"),
        ({"machine_samples": None}, "machine.machine_samples is null"),
    ],
)
def test_a_wrong_row_of_the_machine_is_told(windows, columns, flaw):
    machine = replaced(windows[1].machine, **{name: [value] for name, value in columns.items()})
    assert flaw_of(replace(windows[1], machine=machine)) == flaw


def test_two_rows_of_the_machine_are_told(windows):
    twice = pa.Table.from_batches([windows[1].machine] * 2).combine_chunks().to_batches()[0]
    assert flaw_of(replace(windows[1], machine=twice)) == "machine has two rows for a window"


def test_long_labels_are_told(windows):
    assert flaw_of(renamed(windows[0], "y" * 4096)) == ""
    assert flaw_of(renamed(windows[0], "y" * 20_000)) == "tasks.comm is too long"


def test_sums_beyond_64_bits_are_told(windows):
    tasks = windows[0].tasks
    large = [(1 << 62) - 1] * tasks.num_rows
    wrong = Window(windows[0].summary, replaced(tasks, blocked_ns=large), windows[0].cpus)
    assert flaw_of(wrong) == "tasks.blocked_ns is out of range"


def test_indices_beyond_a_dictionary_are_told(windows):
    tasks = windows[0].tasks
    indices = pa.array([1_000_000] * tasks.num_rows, pa.int32())
    labels = pa.DictionaryArray.from_arrays(indices, pa.array(["a"]), safe=False)
    assert "1000000" in flaw_of(Window(windows[0].summary, replaced(tasks, comm=labels), windows[0].cpus))


def test_rows_of_another_window_are_told(windows):
    other = Window(windows[0].summary, windows[1].tasks, windows[0].cpus)
    assert flaw_of(other) == "tasks has rows of another window"


@pytest.mark.parametrize("rows", [0, 2])
def test_a_window_has_one_row_of_summary(windows, rows):
    summary = pa.Table.from_batches([windows[0].summary] * rows, ARROW["summary"]).combine_chunks()
    batch = summary.to_batches()[0] if rows else windows[0].summary.slice(0, 0)
    assert flaw_of(Window(batch, windows[0].tasks, windows[0].cpus)) != ""


def test_windows_of_a_run_are_in_order(windows):
    order = Order()
    assert [order.flaw_of(window) for window in windows] == ["", "", ""]
    assert order.flaw_of(windows[2]) == "window 3 comes after window 3"
    assert order.flaw_of(moved(windows[2], 4)) == "window 4 starts before window 3 has ended"
    assert order.flaw_of(moved(windows[2], 9, windows[2].end_ns)) == "", "windows may be missing between two"
