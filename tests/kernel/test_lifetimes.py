"""The table of lives, beside what processes and the kernel say of the same lives: clocks, start time and CPU time."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from observe import collecting, judge
from waiting import PATIENCE_S, eventually

import schedtel

#: Each child burns so much CPU time; the second also sleeps over the edges of windows.
BURNS_S, SLEEPS_S = (0.02, 0.3), (0.0, 0.5)
#: A child says when it began and ended, and how much CPU time it then had, and ends at once.
CHILD = """
import os, sys, time
began = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
print(open("/proc/self/stat").read().rpartition(")")[2].split()[19], began)
while time.process_time() < {burns_s}:
    pass
time.sleep({sleeps_s})
print(time.clock_gettime_ns(time.CLOCK_MONOTONIC), time.process_time_ns(), flush=True)
os._exit(0)
"""
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")


def born(burns_s, sleeps_s):
    """Start a child; returns what is known of its life from outside, in ns of CLOCK_MONOTONIC."""
    before = time.monotonic_ns()
    command = [sys.executable, "-c", CHILD.format(burns_s=burns_s, sleeps_s=sleeps_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = process.stdout.read().split()
    _, status, usage = os.wait4(process.pid, 0)
    after = time.monotonic_ns()
    process.returncode = status
    assert status == 0
    ticks, began, ended, cpu_ns = map(int, said)
    start = ticks * TICK_NS - time.clock_gettime_ns(time.CLOCK_BOOTTIME) + time.monotonic_ns()
    used = round(1e9 * (usage.ru_utime + usage.ru_stime))
    return {"pid": process.pid, "before": before, "start": start, "began": began, "ended": ended, "after": after} | {
        "cpu_ns": cpu_ns,
        "cpu_with_teardown_ns": used,
    }


def observe():
    """Windows in which are the lives of children that are known, of an older process, and of one that goes on."""
    older = subprocess.Popen(["sleep", "100"])
    alive = None
    try:
        with collecting("200ms", pid=os.getpid()) as collected:
            collected.await_windows(1)
            known = [born(burns_s, sleeps_s) for burns_s, sleeps_s in zip(BURNS_S, SLEEPS_S, strict=True)]
            alive = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            older.terminate()
            older.wait(PATIENCE_S)
            eventually(lambda: collected.rows(tid=alive.pid))
    finally:
        for process in filter(None, (older, alive)):
            process.kill()
            process.wait(PATIENCE_S)
    return collected, known, alive.pid, older.pid


def lives_of(folder: Path):
    command = [sys.executable, "-m", "schedtel.cli", "show", str(folder), "--lifetimes", "--format", "ndjson"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_lives_are_those_that_processes_and_the_kernel_tell_of(tmp_path):
    def verdict(collected, known, alive, older):
        folder = tmp_path / str(known[0]["pid"])
        recorder = schedtel.Recorder(folder, "200ms")
        for window in collected.windows:
            recorder.write(window)
        lives = lives_of(folder)
        for truth in known:
            [row] = [row for row in lives if row["tid"] == truth["pid"]]
            assert row["life"] == "whole"
            arrival, first, end = row["arrival_ns"], row["first_cpu_ns"], row["completion_ns"]
            assert truth["before"] <= arrival <= first <= truth["began"]
            assert truth["start"] - TICK_NS <= arrival <= truth["start"] + 2 * TICK_NS
            assert truth["ended"] <= end <= truth["after"]
            assert row["tat_ns"] == end - arrival
            assert row["rt_ns"] == first - arrival
            slack = max(10**6, truth["cpu_ns"] // 100)  # law 4
            assert truth["cpu_ns"] - slack <= row["total_cpu_ns"] <= truth["cpu_with_teardown_ns"] + slack
        [row] = [row for row in lives if row["tid"] == alive]
        assert (row["life"], row["completion_ns"], row["tat_ns"]) == ("goes on", None, None)
        [row] = [row for row in lives if row["tid"] == older]
        assert (row["life"], row["first_cpu_ns"], row["rt_ns"]) == ("began before", None, None)
        assert row["completion_ns"] - row["arrival_ns"] == row["tat_ns"] > 0

    judge(observe, verdict)
