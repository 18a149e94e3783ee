"""Single events of the running kernel, against what the kernel books itself: wait4(2), schedstat, names in /proc."""

import ctypes
import os
import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest
from kernel_programs import program_ids
from traced_events import tracing
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.foreign_text import bytes_of

PROGRAMS = ("on_switch", "on_migrate", "tell_alive")
#: A child that waits to be let go, sleeps often, and stays on one CPU.
SLEEPER = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    time.sleep(float(sys.argv[3]))
"""


def sleeper(cpu, times, seconds):
    command = [sys.executable, "-S", "-c", SLEEPER, str(cpu), str(times), str(seconds)]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def let_go_and_wait(process):
    """The child's end: its voluntary and its involuntary switches as the kernel books them, the last one not."""
    process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_nvcsw, usage.ru_nivcsw


def booked(pid):
    """The switches of a process so far, by /proc."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        lines = dict(line.split(":", 1) for line in file if "ctxt_switches" in line)
    return int(lines["voluntary_ctxt_switches"]), int(lines["nonvoluntary_ctxt_switches"])


def of_a_sleeper(cpu, times, seconds, **options):
    """A traced child; by how much each of its two books grew while it was traced."""
    process = sleeper(cpu, times, seconds)
    eventually(lambda: os.sched_getaffinity(process.pid) == {cpu})
    eventually(lambda: _state(process.pid) == "S")
    before = booked(process.pid)
    with tracing(pid=process.pid, **options) as traced:
        after = let_go_and_wait(process)
    return traced, process.pid, [new - old for new, old in zip(after, before, strict=True)]


def _state(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(") ")[2][0]


def judged(observe, verdict, tries=5):
    """The verdict on a run; on another one where the kernel has withheld events, which it tells as gaps."""
    for left in reversed(range(tries)):
        traced, *rest = observe()
        try:
            return verdict(traced, *rest)
        except AssertionError:
            if not left or not traced.gaps("unseen", "not_run"):
                raise
    raise AssertionError("unreachable")


# ---- counts and times ----


def test_switches_are_those_that_the_kernel_books(last_cpu):
    def verdict(traced, pid, books):
        left = traced.rows("events", event="switch", prev_tid=pid)
        preempted = sum(row["prev_state"] in ("R", "R+") for row in left)
        assert preempted == books[1]
        # The last switch of all comes after the parent has been told of the end.
        assert [row["prev_state"] for row in left].count("S") + 1 >= books[0] >= 300
        assert books[0] <= len(left) - preempted <= books[0] + 1
        assert left[-1]["prev_state"] in ("X", "Z")
        assert traced.gaps("ring_full", "lives_full") == []

    judged(lambda: of_a_sleeper(last_cpu, 300, 0.0005), verdict)


def test_every_sleep_is_a_switch_a_wakeup_and_a_switch_in_this_order(last_cpu):
    def verdict(traced, pid, _books):
        events = traced.table("events").to_pylist()
        mine = [row for row in events if pid in (row["tid"], row["prev_tid"])]
        assert {row["cpu"] for row in mine if row["event"] == "switch"} == {last_cpu}
        assert {row["target_cpu"] for row in mine if row["event"] == "wakeup"} == {last_cpu}
        times = [row["time_ns"] for row in events]
        assert times == sorted(times)
        asleep, unwoken, sleeps = False, 0, 0
        for row in mine:
            if row["event"] == "wakeup":
                asleep = False
            elif row["tid"] == pid:
                unwoken += asleep
            else:
                asleep = row["prev_state"] == "S"
                sleeps += asleep
        assert sleeps >= 100
        # A timer may wake it while the CPU runs a task that the kernel protects from tracing; no gap tells that.
        assert unwoken <= sleeps * 0.05

    judged(lambda: of_a_sleeper(last_cpu, 100, 0.001), verdict)


def test_time_on_a_cpu_is_that_of_schedstat(last_cpu):
    """The first figure of /proc/PID/schedstat, which a child reads of itself at its begin and end."""
    program = (
        "import os, sys\n"
        "def ran(): return int(open('/proc/self/schedstat').read().split()[0])\n"
        f"os.sched_setaffinity(0, {{{last_cpu}}}); sys.stdin.readline()\n"
        "begin = ran()\n"
        "while ran() < begin + 300_000_000: pass\n"
        "print(ran() - begin, flush=True)\n"
    )

    def observe():
        command = [sys.executable, "-S", "-c", program]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        eventually(lambda: _state(process.pid) == "S")
        with tracing(pid=process.pid) as traced:
            told, _ = process.communicate("\n", timeout=PATIENCE_S)
        return traced, process.pid, int(told)

    def verdict(traced, pid, ran_ns):
        came, seen = None, 0
        for row in traced.rows("events", event="switch"):
            if row["tid"] == pid:
                came = row["time_ns"]
            elif row["prev_tid"] == pid:
                seen += row["time_ns"] - came
        # The events also cover its first steps and its end.
        assert ran_ns * 0.99 <= seen <= ran_ns + 150_000_000

    judged(observe, verdict)


def test_all_cpus_are_traced_and_all_switches_of_the_machine_have_both_tasks():
    with tracing() as traced:
        for cpu in os.sched_getaffinity(0):
            let_go_and_wait(sleeper(cpu, 20, 0.001))
    switches = traced.rows("events", event="switch")
    assert {row["cpu"] for row in switches} >= os.sched_getaffinity(0)
    assert all(row["prev_tid"] is not None and row["prev_tid"] != row["tid"] for row in switches)
    for cpu in os.sched_getaffinity(0):
        own = [row for row in switches if row["cpu"] == cpu]
        broken = sum(a["tid"] != b["prev_tid"] for a, b in pairwise(own))
        assert broken == sum(row["cpu"] == cpu for row in traced.gaps("unseen"))


def test_a_task_that_is_moved_has_a_migration(last_cpu):
    first = min(os.sched_getaffinity(0))
    if first == last_cpu:
        pytest.skip("needs two CPUs")
    program = (
        "import os, sys; sys.stdin.readline()\n"
        f"for _ in range(20):\n    os.sched_setaffinity(0, {{{first}}}); os.sched_setaffinity(0, {{{last_cpu}}})\n"
    )
    process = subprocess.Popen([sys.executable, "-S", "-c", program], stdin=subprocess.PIPE)
    with tracing(pid=process.pid) as traced:
        let_go_and_wait(process)
    moves = [(row["source_cpu"], row["target_cpu"]) for row in traced.rows("events", event="migrate", tid=process.pid)]
    assert len(moves) >= 39
    assert moves[-1] == (first, last_cpu)
    assert all(a[1] == b[0] for a, b in pairwise(moves))


# ---- rings ----


def test_a_ring_that_wraps_around_loses_nothing_and_keeps_the_order(last_cpu):
    """A ring of 256 events, of which 2 or 3 come each millisecond."""

    def verdict(traced, pid, books):
        left = traced.rows("events", event="switch", prev_tid=pid)
        assert traced.gaps("ring_full") == []
        assert sum(books) <= len(left) <= sum(books) + 1
        assert len(left) >= 600

    judged(lambda: of_a_sleeper(last_cpu, 600, 0.001, ring_bytes=4096), verdict)


def events_of_a_ping_pong(start, cpu, ring_bytes):
    """Two processes that send each other a byte 30,000 times on one CPU: what is traced of them."""
    process = start("pingpong", 30_000, cpu=cpu, gated=True)
    with tracing(pid=process.pid, ring_bytes=ring_bytes) as traced:
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0
    return traced


def test_what_finds_its_ring_full_is_told_to_the_last_event(start, last_cpu):
    """In 20 ms come more events than a tiny ring has room for. Written and lost ones are as many as without a loss."""
    whole = events_of_a_ping_pong(start, last_cpu, 8 << 20)
    assert whole.gaps("ring_full") == []
    traced = events_of_a_ping_pong(start, last_cpu, 4096)
    gaps = [row for row in traced.gaps("ring_full") if row["cpu"] == last_cpu]
    assert len(gaps) > 1
    known = np.array([row["time_ns"] for row in traced.rows("events", cpu=last_cpu)])
    for gap in gaps[:-1]:
        assert gap["from_ns"] in known
        assert gap["to_ns"] in known
        assert not ((gap["from_ns"] < known) & (known < gap["to_ns"])).any()
    total = whole.table("events").num_rows
    assert total > 60_000
    # Two runs: other work on the CPU makes the partners wait for each other more or less often.
    assert total * 0.7 < len(known) + sum(gap["events"] for gap in gaps) < total * 1.4


# ---- lives and names ----


def test_births_names_and_ends_are_those_of_the_child(last_cpu):
    name = b"\x1b]0;\xff\n'\"`$"
    program = f"import ctypes, os\nctypes.CDLL(None).prctl(15, {name!r}, 0, 0, 0)\nos.sched_yield()\nos._exit(3)\n"
    with tracing() as traced:
        process = subprocess.Popen([sys.executable, "-S", "-c", program])
        assert process.wait(PATIENCE_S) == 3
    told = traced.rows("tasks", tid=process.pid)
    assert [row["event"] for row in told if row["event"] != "rename"] == ["newtask", "exec", "exit"]
    assert told[0]["parent_tid"] in {int(tid) for tid in os.listdir("/proc/self/task")} | {os.getpid()}
    assert bytes_of(told[-1]["comm"]) == name
    assert bytes_of([row for row in told if row["event"] == "rename"][-1]["comm"]) == name
    assert told[-1]["exit_code"] == 3 << 8
    assert {row["tgid"] for row in told} == {process.pid}
    assert len({row["start_boottime_ns"] for row in told}) == 1
    assert [row["time_ns"] for row in told] == sorted(row["time_ns"] for row in told)


def test_a_thread_that_execs_tells_which_tid_it_had(start):
    with tracing() as traced:
        process = start("exec")
        thread = int(process.stdout.readline())
        process.wait(PATIENCE_S)
    assert [row["previous_tid"] for row in traced.rows("tasks", event="exec", tid=process.pid)][-1] == thread


def test_who_is_alive_at_the_begin_is_told_by_the_names_of_proc():
    process = sleeper(min(os.sched_getaffinity(0)), 1, 0)
    eventually(lambda: _state(process.pid) == "S")
    with tracing() as traced:
        pass
    alive = {row["tid"]: row for row in traced.rows("tasks", event="alive")}
    for pid in (process.pid, os.getpid(), os.getppid()):
        with open(f"/proc/{pid}/comm", "rb") as file:
            assert bytes_of(alive[pid]["comm"]) == file.read().rstrip(b"\n")
    let_go_and_wait(process)


# ---- the filter ----


def test_a_filter_by_process_has_its_children_and_nobody_else(last_cpu):
    """Started before tracing: a process with a child. A grandchild comes later."""
    program = (
        "import os, subprocess, sys, time\n"
        "child = os.fork()\n"
        "if child == 0:\n    sys.stdin.readline(); subprocess.run(['sleep', '0.01']); os._exit(0)\n"
        "os.write(1, b'%d\\n' % child); os.waitpid(child, 0)\n"
    )
    command = [sys.executable, "-S", "-c", program]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    with tracing(pid=process.pid) as traced:
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0
    process.stdout.close()
    children = {row["tid"] for row in traced.rows("tasks", event="newtask") if row["parent_tid"] == child}
    ours = {process.pid, child} | children
    assert len(ours) == 3
    woken = {row["tid"] for row in traced.rows("events") if row["event"] != "switch"}
    assert woken <= ours
    assert woken >= {child, process.pid}
    for row in traced.rows("events", event="switch"):
        assert {row["tid"], row["prev_tid"]} & ours


@pytest.mark.parametrize("option", [{"min_activity": "1ms"}, {"all_tasks": True}])
def test_conditions_on_windows_are_refused(option):
    from schedtel.eventlog.live import LiveEvents  # noqa: PLC0415

    with pytest.raises(schedtel.UsageError, match="they are for windows"):
        LiveEvents(schedtel.Filter(**option))


# ---- the end ----


def test_nothing_stays_loaded_and_the_thread_that_went_first_is_gone():
    before = {name: program_ids(name) for name in PROGRAMS}
    threads = threading.active_count()
    with tracing() as traced:
        eventually(lambda: traced is not None)
        assert program_ids("tell_alive") > before["tell_alive"]
    eventually(lambda: all(program_ids(name) <= ids for name, ids in before.items()))
    assert threading.active_count() == threads
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_an_object_that_is_forgotten_ends_tracing():
    before = program_ids("tell_alive")
    source = schedtel.events()
    assert program_ids("tell_alive") > before
    del source
    eventually(lambda: program_ids("tell_alive") <= before)


def test_the_thread_that_copies_goes_first_where_it_may():
    from schedtel.eventlog.tracing import Tracing  # noqa: PLC0415

    running = Tracing(schedtel.Filter())
    try:
        eventually(lambda: running.is_first or not _may_be_first())
        policies = {os.sched_getscheduler(int(tid)) for tid in os.listdir("/proc/self/task")}
        first = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        assert (first in policies) == running.is_first
    finally:
        running.close()


def _may_be_first():
    return ctypes.CDLL(None).sched_get_priority_max(os.SCHED_FIFO) > 0 and os.geteuid() == 0
