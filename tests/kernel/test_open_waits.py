"""A task that starves on the running kernel: its wait is seen while it goes on, with both backends."""

import itertools
import re
import signal
import subprocess
import sys

from observe import collecting, judge, wait_for_state
from waiting import PATIENCE_S

from schedtel.windows import invariants as laws


def lives_of(collected, pid):
    return [(w, row) for w in collected.windows for row in w.tasks.to_pylist() if row["tid"] == pid]


def test_a_starving_tasks_wait_grows_by_the_window_until_it_ends(start, hog, last_cpu, backend):
    def observe():
        victim, taker = start("spin", 600, cpu=last_cpu), hog()
        with collecting("100ms", backend=backend) as collected:
            collected.await_windows(2)
            taker.stdin.close()
            assert taker.wait(timeout=PATIENCE_S) == 0
            collected.await_windows(2)
        victim.kill()
        return collected, victim.pid, taker.pid

    def verdict(collected, pid, taker):
        life = lives_of(collected, pid)
        starved = [(w, row) for w, row in life if row["cpu_ns"] == 0 and row["wait_ns"] == w.end_ns - w.start_ns]
        assert len(starved) >= 4, "the hog takes the CPU for eight windows"
        for (_, before), (window, row) in itertools.pairwise(starved):
            assert row["open_wait_ns"] == before["open_wait_ns"] + window.end_ns - window.start_ns
        assert all(row["max_wait_ns"] == 0 for _, row in starved), "no wait ended in these windows"
        longest = max(row["max_wait_ns"] for _, row in life)
        assert starved[-1][1]["open_wait_ns"] <= longest <= starved[-1][1]["open_wait_ns"] + 2e8
        assert all(row["open_wait_ns"] == 0 for _, row in lives_of(collected, taker) if row["cpu_ns"])
        for before, window in itertools.pairwise(collected.windows):
            assert [finding for finding in laws.check(window, before) if not finding.holds] == []

    judge(observe, verdict)


def test_a_stopped_task_waits_for_nothing(start, last_cpu, backend):
    process = start("spin", 600, cpu=last_cpu)
    with collecting("100ms", backend=backend, all_tasks=True) as collected:
        collected.await_windows(1)
        process.send_signal(signal.SIGSTOP)
        wait_for_state(process.pid, "T")
        collected.await_windows(3)
    stopped = [
        row for window, row in lives_of(collected, process.pid) if row["blocked_ns"] == window.end_ns - window.start_ns
    ]
    assert len(stopped) >= 2
    assert {row["open_wait_ns"] for row in stopped} == {0}


def test_the_page_sorted_by_the_longest_wait_begins_with_the_starving_task(start, hog, last_cpu):
    """Its wait is told as one that goes on. The last window ends while the hog still runs."""
    victim, taker = start("spin", 600, cpu=last_cpu), hog()
    command = [
        sys.executable,
        "-m",
        "schedtel.cli",
        "live",
        "-w",
        "200ms",
        "-d",
        "1.5s",
        "--sort",
        "max-wait",
        "--top",
        "1",
    ]
    live = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert live.stdout.readline(), "the first page"
    taker.stdin.close()
    pages = live.communicate(timeout=PATIENCE_S)[0]
    victim.kill()
    rows = re.findall(rf"^{victim.pid} .*", pages, re.MULTILINE)
    assert any(re.search(r"≥ [2-9]\d\d ms", row) for row in rows), pages
