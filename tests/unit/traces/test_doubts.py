"""What a trace does not tell for certain: its window says so, and nothing is made up."""

import io

import pytest
import traces
from small_traces import IDLE, IDLE1, MS, A, B, C, at, only, rows, summary, switch, windows, woken
from traces import FTRACE, PERF

import schedtel
from schedtel.traces.events import PrevState
from schedtel.traces.fields import _state


def skipped(found):
    return [window.losses["programs_skipped"] for window in found]


# ---- states as numbers ----


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("0", PrevState.RUNNING),
        ("1", PrevState.BLOCKED),
        ("0x1", PrevState.BLOCKED),
        ("2", PrevState.BLOCKED),
        ("128", PrevState.BLOCKED),  # idle since 4.14
        ("130", PrevState.BLOCKED),  # killable before 4.14
        ("0x402", PrevState.BLOCKED),  # idle from 4.2 to 4.13
        ("16", PrevState.DEAD),
        ("32", PrevState.DEAD),
        ("64", PrevState.PARKED_OR_DEAD),
        ("256", PrevState.PREEMPTED),  # since 4.14
        ("0x100", PrevState.PREEMPTED),
        ("4096", PrevState.PREEMPTED),  # from 4.8 to 4.13
        ("2048", PrevState.PREEMPTED),  # from 4.2 to 4.7
        ("1024", PrevState.PREEMPTED),  # before 4.2
        ("1025", PrevState.PREEMPTED),
        ("S|0x100", PrevState.PREEMPTED),
    ],
)
def test_every_number_of_a_state(number, expected):
    assert _state(number.encode()) == expected


RAW = """\
version = 6
CPU 1 is empty
cpus=2
          <idle>-0     [000]     1.000000: sched_wakeup:          comm=a pid=101 prio=120 success=1 target_cpu=0
          <idle>-0     [000]     1.010000: sched_switch:          prev_comm=swapper/0 prev_pid=0 prev_prio=120 \
prev_state=0 next_comm=a next_pid=101 next_prio=120
               a-101   [000]     1.050000: task_newtask:          pid=102 comm=a clone_flags=4001536 oom_score_adj=0
               a-101   [000]     1.050000: sched_process_fork:    parent_comm=a parent_pid=101 child_comm=b \
child_pid=102
               a-101   [000]     1.050000: sched_wakeup_new:      comm=b pid=102 prio=120 success=1 target_cpu=0
               a-101   [000]     1.510000: sched_switch:          prev_comm=a prev_pid=101 prev_prio=120 \
prev_state=256 next_comm=b next_pid=102 next_prio=120
               b-102   [000]     1.700000: sched_process_exit:    comm=b pid=102 prio=120
               b-102   [000]     1.700000: sched_switch:          prev_comm=b prev_pid=102 prev_prio=120 \
prev_state=0x10 next_comm=a next_pid=101 next_prio=120
               a-101   [000]     1.800000: sched_switch:          prev_comm=a prev_pid=101 prev_prio=120 \
prev_state=1 next_comm=swapper/0 next_pid=0 next_prio=120
"""


def test_events_printed_field_by_field():
    """4001536 is decimal, 0x3d0f00: a thread. In the kernel's own format, flags are hexadecimal without 0x."""
    window = only(*RAW.splitlines(), window="1h")
    found = rows(window)
    assert [(found[tid]["cpu_ns"], found[tid]["wait_ns"]) for tid in (101, 102)] == [
        (600 * MS, 200 * MS),
        (190 * MS, 460 * MS),
    ]
    assert found[102]["tat_ns"] == 650 * MS
    assert found[102]["tgid"] is None, "of the process of 101, which the trace does not tell"
    assert (skipped([window]), window.cpus["untracked_ns"].to_pylist()) == ([0], [0, 800 * MS + 1])


# ---- lines that are damaged ----


@pytest.mark.parametrize(
    ("damaged", "by"),
    [
        ("prev_state=?", "prev_state=R+"),
        ("prev_state==R+", "prev_state=R+"),
        ("next_pid=zero", "next_pid=0"),
        ("prev_pid=" + "9" * 30, "prev_pid=101"),
        ("prev_prio=-", "prev_prio=120"),
        ("1.1x", "2.100000000:"),
    ],
)
def test_a_damaged_line_counts_in_its_window_and_in_no_other(damaged, by):
    lines = [switch(10 * n, 0, *((IDLE, A, "R") if n % 2 else (A, IDLE, "R+"))) for n in range(31)]
    whole = switch(1_100, 0, A, IDLE, "R+")
    assert by in whole
    lines += [switch(1_050, 0, IDLE, A, "R"), whole.replace(by, damaged), switch(1_150, 0, IDLE, A, "R")]
    found = windows(*lines, switch(2_100, 0, A, IDLE, "S"))
    assert skipped(found)[1] >= 1
    assert skipped(found)[::2] == [0, 0]


def test_a_name_longer_than_any_comm_does_not_lose_the_event():
    """perf has the name of a worker from /proc, with the work it does."""
    long = "kworker/u8:3-events_unbound"
    line = switch(0, 0, IDLE, A, "R").replace("       swapper/0", long)
    window = only(line, switch(5, 0, A, IDLE, "S"))
    assert long in line
    assert (rows(window)[101]["cpu_ns"], skipped([window])) == (5 * MS, [0])


def test_a_damaged_time_is_a_loss_and_moves_nothing_else():
    lines = [switch(0, 0, IDLE, A, "R"), switch(100, 0, A, IDLE, "S"), woken(200, 0, A), switch(200, 0, IDLE, A, "R")]
    late = woken(150, 0, B).replace(" 1.15", " 9999999.15")
    found = windows(*lines[:2], late, *lines[2:], switch(1_100, 0, A, IDLE))
    assert skipped(found) == [1, 0]
    assert found[-1].end_ns == at(1_100) + 1
    assert 102 not in rows(found[0])


# ---- what the tracer says ----


@pytest.mark.parametrize(
    "line",
    [
        "            app-611   [000] .....     1.500000: tracing_mark_write: lost 12000",
        "            app-611   [000] .....     1.500000: tracing_mark_write: CPU:0 [LOST 12000 EVENTS]",
        "#### lost 12000",
        "a line that says: lost 12000",
        " => lost 12000",
    ],
)
def test_a_line_that_quotes_a_loss_is_none(line):
    lines = [traces.switch(FTRACE, at(0), 0, IDLE, A, "R"), line, traces.switch(FTRACE, at(900), 0, A, IDLE)]
    assert skipped(windows(*lines)) == [0]


@pytest.mark.parametrize("style", [FTRACE, PERF])
def test_a_loss_may_be_of_any_window_since_the_last_event_of_its_cpu(style):
    """CPU 1 has no event from 0.5 s to 3.5 s, and 7 are lost: none of the windows between is exact."""
    lost = "               a   101 [001]     4.500000000: PERF_RECORD_LOST lost 7"
    busy = [traces.switch(style, at(100 * n), 0, *((IDLE, A, "R") if n % 2 else (A, IDLE, "R+"))) for n in range(1, 46)]
    found = windows(
        traces.switch(style, at(0), 1, IDLE1, B, "R"),
        *busy[:4],
        traces.switch(style, at(500), 1, B, IDLE1, "R+"),
        *busy[4:35],
        lost if style == PERF else "CPU:1 [LOST 7 EVENTS]",
        traces.switch(style, at(3_500), 1, IDLE1, B, "R"),
        *busy[35:],
    )
    assert skipped(found) == [1, 1, 1, 7, 0]


def test_what_ftrace_has_overwritten_counts_at_its_beginning_and_until_all_cpus_have_begun():
    found = windows(
        "# entries-in-buffer/entries-written: 4/44   #P:2",
        traces.switch(FTRACE, at(0), 0, IDLE, A, "R"),
        traces.switch(FTRACE, at(2_500), 0, A, IDLE, "S"),
        "##### CPU 1 buffer started ####",
        traces.switch(FTRACE, at(2_600), 1, IDLE1, B, "R"),
        traces.switch(FTRACE, at(3_600), 1, B, IDLE1, "S"),
    )
    counts = skipped(found)
    assert counts[0] == 40 + 1  # and CPU 1, which has not begun
    assert counts[1] == 1
    assert counts[2] >= 1  # it begins in here
    assert counts[3] == 0


def test_call_chains_and_other_records_are_understood():
    ftrace = [
        traces.switch(FTRACE, at(0), 0, IDLE, A, "R"),
        "          <idle>-0     [000] d..2.     1.000001: <stack trace>",
        " => trace_event_raw_event_sched_switch",
        "=> schedule (ffffffff81)",
        "          <idle>-0     [000] d..2.     1.000001: <user stack trace>",
    ]
    perf = [
        switch(0, 0, IDLE, A, "R"),
        "            true 30444 [001]     1.000000001: PERF_RECORD_COMM exec: true:30444/30444",
        "              sh 30445 [001]     1.000000002: PERF_RECORD_FORK(30446:30446):(30445:30445)",
    ]
    for lines in (ftrace, perf):
        with schedtel.import_trace(io.BytesIO("\n".join(lines).encode())) as source:
            list(source)
        assert (source.reading.not_understood, source.reading.lost) == (0, 0)


# ---- gaps that show by their consequences ----


def test_two_wakeups_without_a_run_between_are_a_gap():
    """The window in which the second one comes is not exact, and the wait that ends later begins with it."""
    before = [switch(0, 0, IDLE, B, "R"), woken(100, 0, A)]
    found = windows(*before, woken(1_500, 0, A), switch(1_510, 0, B, A), switch(1_520, 0, A, IDLE))
    assert skipped(found) == [0, 1]
    assert summary(found[1])["wakeup_wait_max_ns"] == 10 * MS
    assert rows(found[1])[101]["wakeups"] == 1


def test_a_wakeup_of_a_preempted_task_is_no_gap():
    """It was preempted on its way to sleep: a wakeup only changes its state."""
    lines = [switch(0, 0, IDLE, A, "R"), switch(1, 0, A, B, "R+"), woken(2, 0, A), switch(3, 0, B, A)]
    assert skipped(windows(*lines)) == [0]


def test_a_task_on_two_cpus_has_left_the_first_unseen():
    window = only(
        switch(0, 0, IDLE, A, "R"), switch(0, 1, IDLE1, C, "R"), switch(5, 1, C, A, "S"), switch(9, 1, A, IDLE1, "S")
    )
    assert rows(window)[101]["cpu_ns"] == 9 * MS
    assert window.cpus["untracked_ns"].to_pylist() == [4 * MS + 1, 0]
    assert skipped([window]) == [1]


# ---- numbers of another pid namespace ----


def namespaced(ms, cpu, tid, pid_and_tid, event, says):
    return traces.line(PERF, at(ms), cpu, event, says, "worker", pid_and_tid)


def test_numbers_of_another_namespace_make_no_processes():
    """perf's own numbers, 3/9, are of its namespace; those in the fields are not, and 9 there is another task."""
    newtask = "pid=23300 comm=worker clone_flags=3d0f00 oom_score_adj=0"
    window = only(
        switch(0, 0, IDLE, ("worker", 23238), "R"),
        namespaced(10, 0, 23238, "3/9", "sched_wakeup", "comm=rcu_preempt pid=9 prio=120 target_cpu=001"),
        namespaced(20, 0, 23238, "3/9", "task_newtask", newtask),
        namespaced(20, 0, 23238, "3/9", "sched_wakeup_new", "comm=worker pid=23300 prio=120 target_cpu=000"),
        switch(30, 0, ("worker", 23238), IDLE, "S").replace("23238 [", "  3/9 ["),
        switch(40, 1, IDLE1, ("rcu_preempt", 9), "R"),
        switch(50, 1, ("rcu_preempt", 9), IDLE1, "I"),
    )
    found = rows(window)
    assert {tid: row["tgid"] for tid, row in found.items()} == {23238: None, 9: None, 23300: None}
    assert found[9]["cpu_ns"] == 10 * MS
    assert found[23238]["cpu_ns"] == 30 * MS


def test_numbers_that_agree_make_processes():
    window = only(
        switch(0, 0, IDLE, A, "R"),
        traces.line(PERF, at(1), 0, "sched_wakeup", "comm=task-b pid=102 prio=120 target_cpu=000", "task-a", "100/101"),
        switch(2, 0, A, B, "S"),
    )
    assert rows(window)[101]["tgid"] == 100
