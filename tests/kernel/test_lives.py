"""Lives that are easy to get wrong: reused tids, leaders that exit first, exchanged tids, long sleeps, crowds."""

import itertools
import os
import resource
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from observe import collecting, judge, wait_for_state
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.doctor.verify import KernelAccounting
from schedtel.windows import tables

_PID_MAX = "/proc/sys/kernel/pid_max"


@pytest.fixture
def small_pid_space():
    """Sets the smallest pid_max that leaves room for what already runs, so that the kernel soon reuses tids."""
    with open(_PID_MAX, encoding="ascii") as file:
        before = file.read()
    alive = [int(name) for pid in os.listdir("/proc") if pid.isdigit() for name in _threads(pid)]
    crowded = sorted(alive)[-20:]
    small = max(1024, 4 * len(alive))
    try:
        with open(_PID_MAX, "w", encoding="ascii") as file:
            file.write(str(small))
    except OSError as error:
        pytest.skip(f"needs to write {_PID_MAX}: {error.strerror}; highest tids {crowded}")
    yield small
    with open(_PID_MAX, "w", encoding="ascii") as file:
        file.write(before)


def _threads(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def test_a_tid_used_again_and_again_is_a_new_task_each_time(start, small_pid_space):
    children = 4 * small_pid_space

    def observe():
        with collecting("500ms") as collected:
            process = start("reuse", children)
            pids = [int(line) for line in process.stdout]
            assert process.wait(timeout=PATIENCE_S) == 0
        return collected, Counter(pids)

    def verdict(collected, pids):
        assert pids.total() == children
        assert max(pids.values()) >= 3, "tids were not reused: the test shows nothing"
        lives = [row for row in collected.rows(comm="schedtel-load") if row["tgid"] in pids]
        ended = Counter(row["tid"] for row in lives if row["completion_ns"] is not None)
        assert ended == pids
        assert len({(row["tid"], row["start_boottime_ns"]) for row in lives}) == children
        for row in lives:
            if row["tat_ns"] is not None:
                assert row["total_cpu_ns"] <= row["tat_ns"]
        assert collected.losses() == {}

    judge(observe, verdict)


def test_a_leader_may_exit_before_its_thread(start):
    with collecting("100ms") as collected:
        started_ns = time.monotonic_ns()
        process = start("leader", stdin=subprocess.PIPE)
        thread = int(process.stdout.readline())
        wait_for_state(process.pid, "Z")
        gone_ns = time.monotonic_ns()
        collected.await_windows(3)  # it would have rows in these windows if schedtel took it for alive
        let_go_ns = time.monotonic_ns()
        process.stdin.close()
        assert process.wait(timeout=PATIENCE_S) == 0
    (leader,) = [r for r in collected.rows(tid=process.pid) if r["completion_ns"] is not None]
    (follower,) = [r for r in collected.rows(tid=thread) if r["completion_ns"] is not None]
    assert leader["tgid"] == follower["tgid"] == process.pid
    assert started_ns <= leader["arrival_ns"] <= follower["arrival_ns"] <= leader["completion_ns"] <= gone_ns
    assert let_go_ns <= follower["completion_ns"]
    for row in (leader, follower):
        assert row["tat_ns"] == row["completion_ns"] - row["arrival_ns"]
    after = [r for r in collected.rows(tid=process.pid) if r["window_id"] > leader["window_id"]]
    assert after == [], "a task that has completed has no more rows"


def test_exec_from_a_thread_that_is_not_the_leader(start):
    """The thread takes over the leader's tid; the old leader completes; no life is invented or lost."""
    with collecting("100ms") as collected:
        process = start("exec")
        thread = int(process.stdout.readline())
        assert process.wait(timeout=PATIENCE_S) == 0
    ended = [r for r in collected.rows(tid=process.pid) if r["completion_ns"] is not None]
    assert len(ended) == 2, "the old leader and the thread complete, both under the leader's tid"
    old_leader, heir = sorted(ended, key=lambda r: r["completion_ns"])
    assert old_leader["previous_tid"] is None
    assert heir["previous_tid"] == thread
    assert heir["arrival_ns"] > old_leader["arrival_ns"]
    assert heir["completion_ns"] - old_leader["completion_ns"] > 250_000_000
    assert heir["tat_ns"] > 380_000_000
    assert [r for r in collected.rows(tid=thread) if r["completion_ns"] is not None] == []


def test_preempted_in_a_sleeping_state_is_waiting_and_not_blocked(start, last_cpu):
    """nanosleep sets the state before it schedules. A task preempted there waits for a CPU; sched_switch tells so."""
    with collecting("500ms") as collected:
        for _ in range(2):
            start("spin", 600, cpu=last_cpu)  # and killed afterwards
        nappers = [start("napper", 600, cpu=last_cpu) for _ in range(6)]
        eventually(lambda: all(KernelAccounting.of(process.pid).voluntary_switches > 1000 for process in nappers))
    for process in nappers:
        rows = collected.rows(tid=process.pid)
        for row in rows:
            assert row["cpu_ns"] + row["wait_ns"] + row["blocked_ns"] == row["alive_ns"]
        # Every burst begins with a wakeup and ends with a voluntary switch, with any number of preemptions in between.
        bursts, wakeups = (sum(row[name] for row in rows) for name in ("bursts", "wakeups"))
        voluntary = sum(row["voluntary_switches"] for row in rows)
        assert wakeups > 500
        assert abs(bursts - wakeups) <= 3
        assert abs(voluntary - wakeups) <= 3


def test_a_task_asleep_for_twenty_windows_comes_back_whole(start):
    """Start and end may take several windows; in between lies one long gap without a row."""
    asleep_ns, twenty_windows_ns = 2_000_000_000, 20 * 50_000_000
    with collecting("50ms") as collected, collecting("50ms", all_tasks=True) as everyone:
        started_ns = time.monotonic_ns()
        process = start("sleep", asleep_ns / 1e9)
        assert process.wait(timeout=PATIENCE_S) == 0
        lived_ns = time.monotonic_ns() - started_ns
    rows = collected.rows(tid=process.pid)
    numbered = {window.window_id: window for window in collected.windows}
    active = [numbered[row["window_id"]] for row in rows]
    gaps_ns = [after.start_ns - before.end_ns for before, after in itertools.pairwise(active)]
    assert sum(gap_ns >= twenty_windows_ns for gap_ns in gaps_ns) == 1, gaps_ns
    (last,) = [row for row in rows if row["completion_ns"] is not None]
    assert asleep_ns <= last["tat_ns"] <= lived_ns
    with_all = everyone.rows(tid=process.pid)
    (end,) = [row for row in with_all if row["completion_ns"] is not None]
    alive = [w for w in everyone.windows if w.end_ns > end["arrival_ns"] and w.start_ns < end["completion_ns"]]
    told = {row["window_id"] for row in with_all}
    assert {window.window_id for window in alive} <= told, (
        "a task has a row in every window when the user asks for all tasks"
    )
    assert sum(row["alive_ns"] for row in with_all) == end["tat_ns"]
    blocked_ns, runnable_ns = (
        sum(row[name] for row in with_all for name in names) for names in (["blocked_ns"], ["cpu_ns", "wait_ns"])
    )
    assert blocked_ns >= asleep_ns - runnable_ns


def test_tasks_alive_before_attach_are_seeded_with_their_true_state(start):
    spinner, sleeper = start("spin", 600), start("sleep", 600)  # and killed afterwards
    for process, state in ((spinner, "R"), (sleeper, "S")):
        wait_for_state(process.pid, state, "schedtel-load")
    with collecting("200ms", all_tasks=True) as collected:
        collected.await_windows(3)
    whole = collected.windows[1]
    rows = {row["tid"]: row for row in whole.tasks.to_pylist()}
    length = whole.end_ns - whole.start_ns
    assert rows[sleeper.pid]["blocked_ns"] == length
    assert rows[spinner.pid]["cpu_ns"] + rows[spinner.pid]["wait_ns"] == length
    for pid in (spinner.pid, sleeper.pid):
        row = rows[pid]
        assert row["left_censored"] is True
        assert row["rt_ns"] is None
        assert row["first_cpu_ns"] is None
        started = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1].split()[19])
        assert abs(row["start_boottime_ns"] - started * 10**9 // os.sysconf("SC_CLK_TCK")) <= 10_000_000
    for row in collected.windows[0].tasks.to_pylist():
        assert row["cpu_ns"] + row["wait_ns"] + row["blocked_ns"] == row["alive_ns"], "the first window obeys the laws"


def test_five_thousand_threads_at_once(start):
    def observe():
        with collecting("500ms") as collected:
            process = start("threads", 5000, 1.5)
            assert int(process.stdout.readline()) == process.pid
            assert process.wait(timeout=PATIENCE_S) == 0
        return collected, process

    def verdict(collected, process):
        ended = [row for row in collected.rows(tgid=process.pid) if row["completion_ns"] is not None]
        assert len(ended) == len({row["tid"] for row in ended}) == 5001
        assert min(row["tat_ns"] for row in ended) >= 1_500_000_000
        assert collected.losses() == {}

    judge(observe, verdict)


def test_twenty_thousand_exits_in_one_window(start):
    def observe():
        with collecting("24h") as collected:
            process = start("exits", 20_000)
            assert process.wait(timeout=PATIENCE_S) == 0
        return collected, process

    def verdict(collected, process):
        ended = [row for row in collected.rows(tgid=process.pid) if row["completion_ns"] is not None]
        assert len(collected.windows) <= 2, "there are two where the edge lay in between"
        assert len(ended) == len({(row["tid"], row["start_boottime_ns"]) for row in ended}) == 20_001
        assert collected.losses() == {}

    judge(observe, verdict)


def test_a_small_ring_folds_what_it_cannot_hold_and_says_so(start):
    """The test keeps the collector from draining: rows are folded into `other` and counted, and no time is lost."""
    with collecting("2s", ring_bytes=1 << 16) as collected:
        process = start("exits", 3000)
        assert process.wait(timeout=PATIENCE_S) == 0
    ended = len([row for row in collected.rows(tgid=process.pid) if row["completion_ns"] is not None])
    dropped = sum(window.losses["ring_dropped"] for window in collected.windows)
    assert ended + dropped >= 3001
    for window in collected.windows:
        parts = [tables.column(window.tasks, name) for name in ("cpu_ns", "wait_ns", "blocked_ns")]
        assert (sum(parts) == tables.column(window.tasks, "alive_ns")).all()
        ran = int(tables.column(window.tasks, "cpu_ns").sum())
        rest = sum(int(tables.column(window.cpus, name).sum()) for name in ("idle_ns", "teardown_ns", "untracked_ns"))
        assert abs(ran + rest - (window.end_ns - window.start_ns) * window.cpus.num_rows) <= 1_000_000


def test_who_is_busy_with_a_window_and_drains_meanwhile_loses_no_exit(start):
    """A ring of 1 MB holds 1,500 exits. 20,000 come between two windows, but never many of them between two drains.

    The filter selects this process's own tasks: the test cannot tell how many others end meanwhile.
    """
    with schedtel.live("100ms", ring_bytes=1 << 20, pid=os.getpid()) as source:
        windows = iter(source)
        next(windows)
        for _ in range(100):
            assert start("exits", 200).wait(timeout=PATIENCE_S) == 0
            source.drain()
        source.stop()
        rest = list(windows)
    assert sum(np.count_nonzero(tables.column(window.tasks, "completion_ns")) for window in rest) >= 20_100
    assert sum(window.losses["ring_dropped"] for window in rest) == 0


def test_a_burst_is_counted_once_from_wakeup_to_sleep(start):
    with collecting("200ms", pid=os.getpid()) as collected:
        process = start("pingpong", 5000)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    bursts = collected.sum("bursts", tgid=process.pid)
    wakeups = collected.sum("wakeups", tgid=process.pid)
    assert usage.ru_nvcsw > 1000
    # The kernel counts the ends of bursts of both processes together, and of teardowns, which are no part of a life.
    assert abs(collected.sum("bursts", comm="schedtel-load") - usage.ru_nvcsw) <= 10
    # There is one burst more than wakeups: the arrival begins the first one.
    assert wakeups <= bursts <= wakeups + 2


def test_io_wait_is_part_of_blocked(tmp_path):
    written = resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock
    with collecting("200ms") as collected:
        script = f"for i in 1 2 3 4 5; do dd if=/dev/zero of={tmp_path}/f bs=1M count=8 oflag=direct,dsync; done"
        result = subprocess.run(["sh", "-c", script], stderr=subprocess.DEVNULL, check=False)
    if result.returncode or resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock == written:
        pytest.skip(
            "needs a file system with direct I/O to a disk"
        )  # tmpfs takes the flag since Linux 6.6, and never waits
    waited = collected.sum("iowait_ns", comm="dd")
    assert waited > 0
    for row in collected.rows(comm="dd"):
        assert row["iowait_ns"] <= row["blocked_ns"]


def test_kernel_threads_and_the_idle_task(start):
    with collecting("200ms", all_tasks=True) as collected:
        start("spin", 0.5).wait()
    assert all(row["comm"] == "other" for row in collected.rows(tid=0)), "the idle task is never a task"
    kernel_threads = {row["tid"] for row in collected.rows(kernel_thread=True)}
    assert 2 in kernel_threads
    assert np.all([row["uid"] == 0 for row in collected.rows(kernel_thread=True)])
