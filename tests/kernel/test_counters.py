"""Perf events per task, against what the kernel books itself: wait4(2), /proc, and events of whole CPUs."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from hotplug import hotpluggable_cpu, offline
from kernel_programs import program_ids
from observe import collecting, judge
from waiting import eventually

import schedtel
from schedtel.host.cpus import online_cpus
from schedtel.kernel.counters.events import parse_events
from schedtel.kernel.counters.perf import open_event
from schedtel.windows.schema import LOSSES

FAULTS = ("page-faults", "minor-faults", "major-faults")
EVENTS = (*FAULTS, "context-switches", "cpu-migrations", "task-clock")
PAGES = 5_000
MB = 1 << 20
#: An exec copies its arguments by faults that the kernel books and counts as no event (GUP, mm/memory.c); what a task
#: does after its exit may be in `other`.
FEW = 40

TOUCH = f"""
import mmap
pages = mmap.mmap(-1, {PAGES * 4096})
pages.madvise(mmap.MADV_NOHUGEPAGE)
for at in range(0, {PAGES * 4096}, 4096):
    pages[at] = 1
"""
NAP = """
import time
for _ in range(300):
    time.sleep(0.001)
"""
MIGRATE = """
import os, re, sys
one, other = sorted(os.sched_getaffinity(0))[:2]
for _ in range(200):
    os.sched_setaffinity(0, [one])
    os.sched_setaffinity(0, [other])
told = re.search(r"nr_migrations\\s*:\\s*(\\d+)", open("/proc/self/sched").read())
os.write(1, told[1].encode())
"""
SPIN = """
import time
end = time.thread_time() + 0.4
while time.thread_time() < end:
    pass
"""


def life_of(program, stdout=None, window="100ms"):
    """Run a Python program to its end; its windows, its pid, and what the kernel booked of it (wait4(2))."""
    with collecting(window, counters=EVENTS) as collected:
        collected.await_windows(1)
        process = subprocess.Popen([sys.executable, "-S", "-c", program], stdout=stdout)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        collected.await_windows(1)
    assert process.returncode == 0
    return collected, process, usage


def counts_of(collected, pid):
    """Event → the sum of its counts of a task over all windows."""
    rows = [row for window in collected.windows for row in window.counters.to_pylist() if row["tid"] == pid]
    assert all(row["running_share"] == 1 for row in rows), "software events do not take turns"
    return {event: sum(row["count"] for row in rows if row["event"] == event) for event in EVENTS}


def test_page_faults_are_those_that_the_kernel_books():
    def verdict(collected, process, usage):
        counts = counts_of(collected, process.pid)
        assert counts["minor-faults"] >= PAGES
        assert abs(counts["minor-faults"] - usage.ru_minflt) <= FEW
        assert abs(counts["major-faults"] - usage.ru_majflt) <= 1
        assert 0 <= counts["page-faults"] - counts["minor-faults"] - counts["major-faults"] <= FEW

    judge(lambda: life_of(TOUCH), verdict)


def test_context_switches_are_those_that_the_kernel_books():
    def verdict(collected, process, usage):
        booked = usage.ru_nvcsw + usage.ru_nivcsw
        assert booked >= 300
        assert abs(counts_of(collected, process.pid)["context-switches"] - booked) <= 2

    judge(lambda: life_of(NAP), verdict)


def test_migrations_are_those_that_the_kernel_books():
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    if not os.path.exists("/proc/self/sched"):
        pytest.skip("needs a kernel that tells a task's migrations (CONFIG_SCHED_DEBUG)")

    def observe():
        collected, process, _ = life_of(MIGRATE, stdout=subprocess.PIPE)
        with process.stdout:
            return collected, process, int(process.stdout.read())

    def verdict(collected, process, booked):
        assert booked >= 399
        assert abs(counts_of(collected, process.pid)["cpu-migrations"] - booked) <= 2

    judge(observe, verdict)


def test_the_task_clock_is_its_cpu_time():
    def verdict(collected, process, usage):
        booked = (usage.ru_utime + usage.ru_stime) * 1e9
        assert booked >= 400_000_000
        counted = counts_of(collected, process.pid)["task-clock"]
        assert counted == pytest.approx(booked, rel=0.01, abs=3_000_000)
        assert counted == pytest.approx(collected.sum("cpu_ns", tid=process.pid), rel=0.01, abs=3_000_000)

    judge(lambda: life_of(SPIN), verdict)


def test_in_each_window_the_task_clock_is_the_cpu_time_in_it():
    """The edges are shared with all other tables, though the readings come a little after them."""

    def verdict(collected, process, _usage):
        windows = [w for w in collected.windows if process.pid in w.counters["tid"].to_pylist()]
        assert len(windows) >= 4
        for window in windows[:-1]:  # the last one also has what it did after its completion
            (cpu_ns,) = [row["cpu_ns"] for row in window.tasks.to_pylist() if row["tid"] == process.pid]
            rows = [row for row in window.counters.to_pylist() if row["tid"] == process.pid]
            (clock,) = [row["count"] for row in rows if row["event"] == "task-clock"]
            assert clock == pytest.approx(cpu_ns, rel=0.01, abs=300_000)

    judge(lambda: life_of(SPIN), verdict)


def test_a_task_that_ends_in_a_window_keeps_its_counts():
    with schedtel.live("20s", duration="20s", counters=FAULTS) as source:
        process = subprocess.Popen([sys.executable, "-S", "-c", TOUCH])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        source.stop()
        (window,) = list(source)
    (life,) = [row for row in window.tasks.to_pylist() if row["tid"] == process.pid]
    its = [row for row in window.counters.to_pylist() if row["tid"] == process.pid]
    assert life["completion_ns"] is not None
    assert [row["event"] for row in its] == list(FAULTS)
    for name in ("tgid", "start_boottime_ns", "previous_tid", "comm", "cgroup"):
        assert {row[name] for row in its} == {life[name]}
    assert abs(its[1]["count"] - usage.ru_minflt) <= FEW


class WholeCpus:
    """An event of all that runs on the machine, counted by events of the test's own and read by read(2)."""

    def __init__(self, name):
        (event,) = parse_events([name])
        self._fds = [open_event(event, cpu) for cpu in online_cpus()]

    def read(self):
        return sum(ctypes.c_uint64.from_buffer_copy(os.read(fd, 8)).value for fd in self._fds)

    def close(self):
        for fd in self._fds:
            os.close(fd)


def test_the_sums_over_tasks_and_windows_are_what_the_cpus_counted():
    """Idle tasks have no page faults, so nothing of the whole is outside of the tables."""
    cpus = WholeCpus("page-faults")

    def observe():
        outer = -cpus.read()
        with collecting("50ms", counters=["page-faults"]) as collected:
            collected.await_windows(1)
            inner = -cpus.read()
            for _ in range(5):
                subprocess.run([sys.executable, "-S", "-c", TOUCH], check=True)
            inner += cpus.read()
            collected.await_windows(1)
        return collected, inner, outer + cpus.read()

    def verdict(collected, inner, outer):
        rows = [row for window in collected.windows for row in window.counters.to_pylist()]
        assert 5 * PAGES <= inner <= sum(row["count"] for row in rows) <= outer

    try:
        judge(observe, verdict)
    finally:
        cpus.close()


def test_a_filter_sums_the_counts_of_other_tasks(start):
    touch = f"import time\n{TOUCH}\ntime.sleep(0.5)"
    with collecting("100ms", counters=["page-faults"], comm="schedtel-load") as collected:
        collected.await_windows(1)
        start("spin", 0.3)
        subprocess.run([sys.executable, "-S", "-c", touch], check=True)
        collected.await_windows(1)
    rows = [row for window in collected.windows for row in window.counters.to_pylist()]
    assert {row["comm"] for row in rows} == {"schedtel-load", "other"}
    assert sum(row["count"] for row in rows if row["comm"] == "other") >= PAGES
    for window in collected.windows:
        assert window.counters["tid"].to_pylist()[-1] == 0, "the row `other` is in every window"
        total = sum(window.counters["count"].to_pylist())
        assert window.features()["counter_page_faults_total"] == total
        busy_s = sum(window.cpus["busy_ns"].to_pylist()) / 1e9
        assert window.features()["counter_page_faults_per_cpu_s"] == pytest.approx(total / busy_s)
        assert window.features()["counter_minor_faults_total"] is None


def test_an_exec_by_a_thread_keeps_the_counts_of_the_thread():
    """The thread touches its pages before the exec gives it its leader's tid: in the row with its previous tid."""
    program = f"""
import os, threading, time
def run():
    {TOUCH.strip().replace(chr(10), chr(10) + "    ")}
    os.execv("/bin/true", ["true"])
threading.Thread(target=run).start()
time.sleep(60)
"""
    with schedtel.live("20s", duration="20s", counters="page-faults") as source:
        process = subprocess.Popen([sys.executable, "-S", "-c", program])
        assert process.wait(60) == 0
        source.stop()
        (window,) = list(source)
    rows = [row for row in window.counters.to_pylist() if row["tgid"] == process.pid]
    assert sum(row["count"] for row in rows if row["previous_tid"] is not None) >= PAGES


def test_tasks_beyond_the_table_are_summed_and_told():
    with collecting("500ms", counters=["context-switches"], max_tasks=64) as collected:
        collected.await_windows(1)
        children = [subprocess.Popen(["sleep", "0.05"]) for _ in range(150)]
        for child in children:
            child.wait()
        collected.await_windows(1)
    rows = [row for window in collected.windows for row in window.counters.to_pylist()]
    assert {row["tid"] for row in rows} & {child.pid for child in children}
    assert sum(row["count"] for row in rows) >= 2 * len(children)
    assert any(window.losses["state_failed"] for window in collected.windows)
    assert all(len(set(window.counters["tid"].to_pylist())) <= 64 + 1 for window in collected.windows)


def test_a_cpu_that_comes_back_is_counted_again():
    cpu = hotpluggable_cpu()
    with collecting("100ms", counters=["page-faults"]) as collected:
        collected.await_windows(1)
        with offline(cpu):
            collected.await_windows(1)
        eventually(lambda: collected.windows[-1].losses["programs_skipped"] or len(collected.windows) > 50)
        collected.await_windows(2)
        subprocess.run(["taskset", "-c", str(cpu), sys.executable, "-S", "-c", TOUCH], check=True)
        collected.await_windows(1)
    rows = [row for window in collected.windows for row in window.counters.to_pylist() if row["tid"]]
    counts = {}
    for row in rows:
        counts[row["tid"]] = counts.get(row["tid"], 0) + row["count"]
    assert max(counts.values()) >= PAGES
    assert sum(window.losses["programs_skipped"] for window in collected.windows) >= 1


def test_nothing_of_it_is_there_without_a_counter():
    before = program_ids("count_switch")
    with schedtel.live("1s") as source:
        eventually(lambda: program_ids("count_switch") <= before)  # that of a source before may take its time to go
        assert "count_switch" not in source.program_runs()
    program = (
        "import sys, schedtel; next(iter(schedtel.live('50ms')));"
        "sys.exit(any(name.startswith('schedtel.kernel.counters') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_killed_collector_leaves_nothing_attached():
    before = program_ids("count_switch")
    command = [sys.executable, "-m", "schedtel.cli", "live", "-w", "100ms", "--counter", "page-faults"]
    process = subprocess.Popen([*command, "--format", "ndjson"], stdout=subprocess.PIPE, text=True)
    with process.stdout:
        window = json.loads(process.stdout.readline())
        assert {row["event"] for row in window["counters"]} == {"page-faults"}
        assert len(program_ids("count_switch") - before) == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
    eventually(lambda: program_ids("count_switch") <= before)


def test_a_late_collector_loses_no_count():
    """A collector that is stopped past an edge reads late: what came meanwhile is in one of the two windows."""

    def observe():
        words = [sys.executable, "-m", "schedtel.cli", "live", "-w", "200ms", "--counter", "page-faults"]
        collector = subprocess.Popen([*words, "--format", "ndjson"], stdout=subprocess.PIPE, text=True)
        with collector.stdout:
            first = json.loads(collector.stdout.readline())
            collector.send_signal(signal.SIGSTOP)
            child = subprocess.Popen([sys.executable, "-S", "-c", f"import time\n{TOUCH}\ntime.sleep(0.5)\n{TOUCH}"])
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            ended_ns = time.monotonic_ns()
            collector.send_signal(signal.SIGCONT)
            windows = [first]
            while windows[-1]["summary"]["window_start_ns"] < ended_ns:
                windows.append(json.loads(collector.stdout.readline()))
            collector.send_signal(signal.SIGINT)
            collector.communicate()
        assert collector.wait(60) == 0
        losses = [{name: window["summary"][name] for name in LOSSES} for window in windows]
        told = SimpleNamespace(windows=[SimpleNamespace(losses=each) for each in losses])
        return told, [row for w in windows for row in w["counters"] if row["tid"] == child.pid], usage

    def verdict(_told, rows, usage):
        assert sum(row["count"] for row in rows) >= 2 * PAGES
        assert abs(sum(row["count"] for row in rows) - usage.ru_minflt - usage.ru_majflt) <= FEW

    judge(observe, verdict)
