"""Traces in, windows out: arithmetic on paper, with one small trace for each question."""

from collections import Counter

import pytest
import traces
from small_traces import IDLE, IDLE1, MS, START, A, B, C, at, born, only, rows, summary, switch, windows, woken
from traces import FTRACE, PERF, PLUGIN

# ---- numbers ----


def test_running_waiting_and_blocked_of_one_task():
    """A is woken at 2 ms, waits 3 ms, runs 4 ms, is preempted for 5 ms, runs 6 ms, sleeps."""
    window = only(
        switch(0, 0, IDLE, B, "R"),
        woken(2, 0, A),
        switch(5, 0, B, A, "R+"),
        switch(9, 0, A, B, "R+"),
        switch(14, 0, B, A, "S"),
        switch(20, 0, A, IDLE, "S"),
    )
    row = rows(window)[101]
    times = [row[name] for name in ("cpu_ns", "wakeup_wait_ns", "preempt_wait_ns", "max_wait_ns")]
    assert times == [10 * MS, 3 * MS, 5 * MS, 5 * MS]
    assert row["blocked_ns"] == 1  # the window ends with the nanosecond of its last event
    assert row["alive_ns"] == 18 * MS + 1  # what A did before its first event is not known
    counts = [row[name] for name in ("wakeups", "voluntary_switches", "involuntary_switches", "bursts", "migrations")]
    assert counts == [1, 1, 1, 1, 0]
    assert row["burst_tat_sum_ns"] == 18 * MS
    assert window.losses == dict.fromkeys(window.losses, 0)
    assert window.cpus["busy_ns"].to_pylist() == [20 * MS]


def test_preempted_in_the_middle_of_going_to_sleep_is_waiting():
    """D+: the state says uninterruptible, and the task never left the run queue."""
    row = rows(only(switch(0, 0, IDLE, A, "R"), switch(1, 0, A, B, "D+"), switch(4, 0, B, A, "S")))[101]
    assert (row["preempt_wait_ns"], row["blocked_ns"], row["involuntary_switches"]) == (3 * MS, 0, 1)


def test_a_life_from_fork_to_exit():
    """Forked and woken at 1 ms, first CPU at 3, exec at 4, exit at 8, last switch at 9: the last ms is teardown."""
    window = only(
        switch(0, 0, IDLE, B, "R"),
        *born(1, 0, B, A),
        switch(3, 0, B, A, "S"),
        traces.line(PERF, at(4), 0, "sched_process_exec", "filename=/usr/bin/sleepy pid=101 old_pid=101", "x", 101),
        traces.exited(PERF, at(8), 0, ("sleepy", 101)),
        switch(9, 0, ("sleepy", 101), IDLE, "Z"),
    )
    row = rows(window)[101]
    assert (row["tat_ns"], row["rt_ns"], row["cpu_ns"], row["comm"]) == (7 * MS, 2 * MS, 5 * MS, "sleepy")
    assert (row["tgid"], row["left_censored"], row["kernel_thread"]) == (101, False, False)
    assert (row["fork_ns"], row["completion_ns"]) == (at(1), at(8))
    assert summary(window)["teardown_ns"] == MS
    assert (summary(window)["tat_count"], summary(window)["tat_max_ns"]) == (1, 7 * MS)


def test_without_exits_a_life_ends_with_its_last_switch_and_that_is_no_loss():
    """`perf sched record` traces no exits."""
    window = only(switch(0, 0, IDLE, B, "R"), *born(1, 0, B, A), switch(3, 0, B, A, "S"), switch(9, 0, A, IDLE, "X"))
    assert rows(window)[101]["tat_ns"] == 8 * MS
    assert not any(window.losses.values())


def test_with_exits_a_missing_one_is_a_loss():
    window = only(
        switch(0, 0, IDLE, B, "R"),
        *born(1, 0, B, A),
        traces.exited(PERF, at(2), 0, B),
        switch(3, 0, B, A, "X"),
        switch(9, 0, A, IDLE, "X"),
    )
    assert window.losses["programs_skipped"] == 1


def test_a_migration_is_a_switch_in_elsewhere_and_the_first_cpu_is_none():
    window = only(
        switch(0, 0, IDLE, A, "R"),
        switch(1, 0, A, IDLE, "S"),
        woken(2, 1, A),
        switch(3, 1, IDLE1, A, "R"),
        switch(4, 1, A, IDLE1, "S"),
    )
    assert rows(window)[101]["migrations"] == 1
    assert window.cpus["cpu"].to_pylist() == [0, 1]


def test_threads_are_of_their_process_where_the_trace_says_so():
    newtask = "pid={} comm=task-a clone_flags={} oom_score_adj=0"
    lines = [
        switch(0, 0, IDLE, A, "R"),
        traces.line(PERF, at(1), 0, "task_newtask", newtask.format(102, "3d0f00"), "task-a", "101/101"),
        woken(1, 0, B, "sched_wakeup_new"),
        traces.line(PERF, at(2), 0, "task_newtask", newtask.format(103, "1200000"), "task-a", "101/101"),
        woken(2, 0, C, "sched_wakeup_new"),
        switch(3, 0, A, B, "S"),
        switch(4, 0, B, C, "S"),
        switch(5, 0, C, IDLE, "S"),
    ]
    found = rows(only(*lines))
    assert {tid: row["tgid"] for tid, row in found.items()} == {101: 101, 102: 101, 103: 103}


def test_a_process_that_the_trace_does_not_tell_is_null():
    found = rows(only(switch(0, 0, IDLE, B, "R"), *born(1, 0, B, A), switch(3, 0, B, A, "S"), switch(4, 0, A, IDLE)))
    assert [row["tgid"] for row in found.values()] == [None, None]


def test_a_tid_used_again_is_another_task():
    life = [*born(1, 0, B, A), switch(2, 0, B, A, "R+"), traces.exited(PERF, at(3), 0, A), switch(4, 0, A, B, "X")]
    again = [*born(5, 0, B, A), switch(6, 0, B, A, "R+"), traces.exited(PERF, at(8), 0, A), switch(9, 0, A, B, "X")]
    found = [r for r in only(switch(0, 0, IDLE, B, "R"), *life, *again).tasks.to_pylist() if r["tid"] == 101]
    assert sorted(row["tat_ns"] for row in found) == [2 * MS, 3 * MS]


@pytest.mark.parametrize(("prio", "nice", "policy"), [(120, 0, 0), (100, -20, 0), (139, 19, 0), (49, 0, 1), (-1, 0, 6)])
def test_priority_tells_nice_and_class(prio, nice, policy):
    row = rows(only(switch(0, 0, IDLE, A, "R", next_prio=prio), switch(1, 0, A, IDLE, prio=prio)))[101]
    assert (row["nice"], row["policy"]) == (nice, policy)


# ---- what was before the trace ----


def test_a_task_and_a_cpu_are_known_from_their_first_event_on():
    """CPU 0 tells of A when A leaves it at 10 ms; what CPU 0 and A did before is not known."""
    window = only(woken(0, 1, C), switch(10, 0, A, B, "R+"), switch(15, 0, B, A, "S"), switch(20, 0, A, IDLE, "S"))
    row = rows(window)[101]
    assert (row["cpu_ns"], row["preempt_wait_ns"], row["left_censored"]) == (5 * MS, 5 * MS, True)
    assert [row[name] for name in ("arrival_ns", "tat_ns", "total_cpu_ns", "kernel_thread")] == [None] * 4
    assert window.cpus["untracked_ns"].to_pylist() == [10 * MS, 0]
    assert window.cpus["idle_ns"].to_pylist() == [1, 20 * MS + 1]


def test_the_task_on_a_cpu_is_known_from_the_first_line_that_has_it_in_its_header():
    lines = [
        switch(0, 0, IDLE, B, "R"),
        traces.woken(PERF, at(200), 1, B, on=A),
        switch(2_500, 1, A, IDLE1, "S"),
    ]
    long, short = windows(*lines, window="1h"), windows(*lines, window="1s")
    assert len(long) == 1
    assert rows(long[0])[101]["cpu_ns"] == 2_300 * MS
    assert (summary(long[0])["untracked_ns"], long[0].cpus["idle_ns"].to_pylist()) == (200 * MS, [0, 1])
    for table, key, name in (("tasks", "tid", "cpu_ns"), ("cpus", "cpu", "untracked_ns"), ("cpus", "cpu", "idle_ns")):
        assert totals(short, table, key, name) == totals(long, table, key, name)
    assert {rows(window)[101]["comm"] for window in short} == {"task-a"}


def totals(of_trace, table, key, name):
    """Sums of a column over windows by the key of its rows."""
    found = Counter()
    for window in of_trace:
        for row in getattr(window, table).to_pylist():
            found[row[key]] += row[name]
    return +found


def test_a_wakeup_of_a_running_task_does_not_make_it_wait():
    row = rows(only(woken(0, 0, C), woken(5, 0, B, on=A), switch(10, 0, A, IDLE, "S"), switch(11, 0, IDLE, A)))[101]
    assert (row["wait_ns"], row["wakeups"]) == (0, 1)  # the one that is missing before 11 ms


def test_a_wakeup_of_a_task_that_runs_on_a_cpu_not_known_yet():
    window = only(woken(0, 0, C), woken(5, 0, A), switch(10, 1, A, B, "R+"), switch(12, 1, B, A, "S"))
    assert (rows(window)[101]["wait_ns"], rows(window)[101]["wakeups"]) == (2 * MS, 0)
    assert not any(window.losses.values())


def test_if_that_wait_has_been_reported_the_next_window_is_not_exact():
    found = windows(woken(0, 0, C), woken(500, 0, A), switch(1_500, 1, A, IDLE1, "R+"), switch(1_600, 1, IDLE1, A))
    assert [window.losses["programs_skipped"] for window in found] == [0, 1]


def test_who_comes_in_without_a_wakeup_when_the_trace_begins_was_waiting():
    window = only(woken(0, 0, C), switch(5, 0, IDLE, A, "R"), switch(6, 0, A, IDLE, "S"))
    assert (rows(window)[101]["wait_ns"], rows(window)[101]["cpu_ns"]) == (0, MS)
    assert summary(window)["preempt_wait_count"] == 0
    assert not any(window.losses.values())


@pytest.mark.parametrize("window", ["10ms", "1s"])
def test_nobody_is_taken_to_have_waited_for_long_before_its_first_event(window):
    """Its wakeup is missing: that is a loss, and no wait of a second. How long windows are does not matter."""
    found = windows(woken(0, 0, C), switch(900, 0, IDLE, A, "R"), switch(901, 0, A, IDLE, "S"), window=window)
    assert sum(window.losses["programs_skipped"] for window in found) == 1
    assert totals(found, "tasks", "tid", "wait_ns") == {103: 901 * MS + 1}


# ---- losses ----


@pytest.mark.parametrize("style", [FTRACE, PERF])
def test_lost_events_make_their_window_inexact_and_no_other(style):
    mark = "LOST 123 events!" if style == PERF else "CPU:0 [LOST 123 EVENTS]"
    found = windows(
        traces.switch(style, at(0), 0, IDLE, A, "R"),
        traces.switch(style, at(100), 0, A, IDLE, "S"),
        traces.woken(style, at(1_000.5), 0, A),
        mark,
        traces.switch(style, at(1_001), 0, IDLE, A, "R"),
        traces.switch(style, at(2_000), 0, A, IDLE, "S"),
        traces.woken(style, at(2_001), 0, A),
    )
    assert [window.losses["programs_skipped"] for window in found] == [0, 123, 0]


def test_without_wakeups_every_wait_after_one_is_missing_and_counted():
    lines = [switch(0, 0, IDLE, A, "R"), switch(1, 0, A, B, "S"), switch(2, 0, B, A, "S"), switch(3, 0, A, IDLE, "S")]
    window = only(*lines)
    assert (
        window.losses["programs_skipped"] == 1
    )  # for the second wait of A; the trace does not tell what either did before its first event
    assert [row["wait_ns"] for row in rows(window).values()] == [0, 0]


# ---- windows ----


def test_windows_are_aligned_and_tile_and_sum_to_one():
    lines = [switch(0, 0, IDLE, A, "R")]
    for i in range(1, 60):
        lines += [woken(50 * i, 0, B), switch(50 * i + 1, 0, A, B, "R+"), switch(50 * i + 20, 0, B, A, "S")]
    short, long = windows(*lines, window="300ms"), windows(*lines, window="1h")
    edges = [window.end_ns for window in short]
    assert all(edge % (300 * MS) == 0 for edge in edges[:-1])
    assert [window.start_ns for window in short] == [START, *edges[:-1]]
    assert len(long) == 1
    for name in ("cpu_ns", "wait_ns", "blocked_ns", "alive_ns", "wakeups", "involuntary_switches"):
        for tid, row in rows(long[0]).items():
            assert row[name] == sum(rows(window).get(tid, {name: 0})[name] for window in short), (tid, name)


def test_a_long_time_without_events_is_one_window():
    lines = [switch(0, 0, IDLE, A, "R"), switch(1, 0, A, IDLE, "S"), woken(3_600_000, 0, A)]
    found = windows(*lines, window="10ms")
    assert [window.summary["windows_spanned"][0].as_py() for window in found] == [1, 359_999, 1]
    assert found[-1].end_ns == at(3_600_000) + 1


def test_a_cpu_of_the_header_without_events_is_unknown_and_not_idle():
    window = only("# nrcpus online : 3", switch(0, 0, IDLE, A, "R"), switch(5, 0, A, IDLE, "S"))
    assert window.cpus["idle_ns"].to_pylist() == [1, 0, 0]
    assert window.cpus["untracked_ns"].to_pylist() == [0, 5 * MS + 1, 5 * MS + 1]


def test_what_no_trace_tells_is_null():
    window = only(switch(0, 0, IDLE, A, "R"), switch(5, 0, A, IDLE, "S"))
    row, whole = rows(window)[101], summary(window)
    nulls = ("start_boottime_ns", "cgroup_id", "cgroup", "uid", "iowait_ns", "exit_code")
    assert [row[name] for name in nulls] == [None] * len(nulls)
    nulls = ("wall_start", "host", "kernel", "scheduler", "steal_ns", "throttled_ns", "iowait_avg", "bpf_ns")
    assert [whole[name] for name in nulls] == [None] * len(nulls)


def test_more_lives_than_free_slots_of_a_cpu():
    lines = [switch(0, 0, IDLE, B, "R")]
    for i in range(5_000):
        child, ms = (f"c{i}", 1_000 + i), 1 + i * 0.1
        lines += [*born(ms, 0, B, child), switch(ms + 0.01, 0, B, child, "R+")]
        lines += [traces.exited(PERF, at(ms + 0.05), 0, child), switch(ms + 0.06, 0, child, B, "X")]
    window = only(*lines)
    assert summary(window)["tasks_completed"] == 5_000
    assert not any(window.losses.values())
    assert {r["cpu_ns"] for r in window.tasks.to_pylist() if r["tid"] >= 1_000} == {40_000}


# ---- the command and the library ----


def test_plugin_and_plain_print_give_the_same_windows():
    def numbers(style: str) -> list[dict[str, object]]:
        lines = [
            traces.switch(style, at(0), 0, IDLE, B, "R"),
            traces.woken(style, at(1), 0, A),
            traces.switch(style, at(2), 0, B, A, "D"),
            traces.switch(style, at(5), 0, A, IDLE, "S"),
        ]
        return only(*lines).tasks.to_pylist()

    assert numbers(PLUGIN) == numbers(FTRACE) == numbers(PERF)


def test_who_preempted_whom_by_command_name():
    """B takes the CPU from A for 5 ms, and C for 3 ms."""
    window = only(
        woken(0, 0, B),
        switch(0, 0, IDLE, A, "R"),
        switch(2, 0, A, B, "R+"),
        switch(7, 0, B, A, "S"),
        woken(8, 0, C),
        switch(9, 0, A, C, "R+"),
        switch(12, 0, C, A, "S"),
        switch(20, 0, A, IDLE, "S"),
    )
    told = {(r["victim"], r["preemptor"]): (r["count"], r["wait_ns"]) for r in window.preemptions.to_pylist()}
    assert told == {("task-a", "task-b"): (1, 5 * MS), ("task-a", "task-c"): (1, 3 * MS)}
