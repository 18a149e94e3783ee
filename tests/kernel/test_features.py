"""Each feature of the kernel part is made to move, and is compared with /proc, getrusage, or the test's own clock."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from around import sampled
from observe import collecting, judge
from surroundings import limit, made_cgroup
from waiting import PATIENCE_S, eventually

from schedtel.host.cgroups import cpu_hierarchy

NS = 1_000_000_000
CPUS = os.cpu_count()


def test_voluntary_and_involuntary_switches_are_two_numbers(start, last_cpu):
    """A ping-pong leaves its CPU by itself, two hogs on one CPU are made to; all switches together are the kernel's."""

    def observe():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with sampled() as around:
            hogs = [start("spin", 1, cpu=last_cpu) for _ in range(2)]
            for process in (start("pingpong", 5000), *hogs):
                assert process.wait(timeout=PATIENCE_S) == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return around.collected, around, after.ru_nvcsw - before.ru_nvcsw, after.ru_nivcsw - before.ru_nivcsw

    def verdict(_collected, around, voluntary, involuntary):
        assert voluntary > 5000
        assert involuntary > 20
        ours = [around.total(f"{kind}voluntary_switches") for kind in ("", "in")]
        # The last switch of a task is its own, and after its completion; getrusage counts it.
        assert ours[0] >= voluntary - 10
        assert ours[1] >= involuntary - 10
        assert ours[0] != ours[1]
        assert sum(ours) <= around.outer["switches"]
        assert around.total("wakeups") >= voluntary - 10

    judge(observe, verdict)


def test_forks_arrivals_and_exits_are_those_of_a_fork_storm(start):
    def observe():
        with sampled(pid=os.getpid(), comm="schedtel-load") as around:
            assert start("storm", 500).wait(timeout=PATIENCE_S) == 0
        return around.collected, around

    def verdict(_collected, around):
        # The storm itself is a task, too. A fork just before an edge, whose task first runs behind it, has no row in
        # its window.
        assert 501 - len(around.vectors) <= around.total("forks") <= 501
        for name in ("tasks_arrived", "tasks_completed", "tat_count", "rt_count"):
            assert around.total(name) == 501, name
        assert around.outer["forks"] >= 501

    judge(observe, verdict)


def test_migrations_move_with_a_task_that_is_moved():
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("needs two CPUs")
    mover = "import os, sys\nfor i in range(400): os.sched_setaffinity(0, {int(sys.argv[1 + i % 2])})"

    def observe():
        with sampled() as around:
            command = [sys.executable, "-c", mover, str(cpus[0]), str(cpus[1])]
            subprocess.run(command, check=True, timeout=PATIENCE_S)
        return around.collected, around

    def verdict(_collected, around):
        assert around.total("migrations") >= 390

    judge(observe, verdict)


#: Threads that read standard input, and a byte once all of them do or are about to.
READERS = """
import os, sys, threading
for _ in range(int(sys.argv[1])):
    threading.Thread(target=os.read, args=(0, 1)).start()
os.write(1, b"x")
"""


def test_tasks_that_read_an_empty_pipe_are_blocked_and_do_not_wait_for_io():
    """A hundred of them, for whole windows. What is blocked is less than the kernel's own number of threads."""
    with sampled() as around:
        before = around.latest("blocked_avg")
        readers = subprocess.Popen(
            [sys.executable, "-c", READERS, "100"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        readers.stdout.read(1)
        around.collected.await_windows(3)
        blocked, on_io = around.latest("blocked_avg"), around.latest("iowait_avg")
        threads = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
        readers.communicate()
        around.collected.await_windows(2)
        after = around.latest("blocked_avg")
    assert 100 <= blocked <= threads + 50
    assert blocked > before + 50
    assert after < blocked - 50
    assert on_io < 50


def schedstat(pid):
    """CPU time and wait of a process with one thread, in ns, by the kernel's accounting."""
    cpu_ns, wait_ns, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(cpu_ns), int(wait_ns)


def test_running_run_queue_and_idle_share_move_with_hogs_on_one_cpu(start, last_cpu):
    """Three hogs on a CPU: one runs and two wait. The kernel's accounting of the three is below the machine's."""

    def observe():
        with sampled() as around:
            hogs = [start("hog", 1, cpu=last_cpu) for _ in range(3)]
            for hog in hogs:
                os.waitid(os.P_PID, hog.pid, os.WSTOPPED)
            accounts = [schedstat(hog.pid) for hog in hogs]
        return around.collected, around, accounts

    def verdict(_collected, around, accounts):
        cpu_ns, wait_ns = (sum(each) for each in zip(*accounts, strict=True))
        assert wait_ns > NS
        assert around.of_time("running_avg") >= 0.97 * cpu_ns
        assert around.of_time("runqueue_length_avg") >= 0.97 * wait_ns
        assert around.of_time("runnable_avg") >= 0.97 * (cpu_ns + wait_ns)
        capacity_ns = CPUS * sum(vector["window_ns"] for vector in around.vectors)
        idle_ns = sum(vector["idle_share"] * CPUS * vector["window_ns"] for vector in around.vectors)
        assert 0 <= idle_ns <= capacity_ns - 0.97 * cpu_ns
        assert around.total("preempt_wait_count") > 0

    judge(observe, verdict)


def test_fairness_moves_with_the_weights_of_two_hogs(start, last_cpu):
    """Nice 0 beside nice 10 on one CPU. The accounting of the kernel gives the same shares."""

    def shares(processes):
        return [cpu_ns / (cpu_ns + wait_ns) for cpu_ns, wait_ns in (schedstat(process.pid) for process in processes)]

    def run():
        hogs = [start("hog", 2, cpu=last_cpu, gated=True) for _ in range(2)]
        os.setpriority(os.PRIO_PROCESS, hogs[1].pid, 10)
        with collecting("1h", pid=[hog.pid for hog in hogs]) as collected:
            for hog in hogs:
                hog.stdin.close()
            for hog in hogs:
                os.waitid(os.P_PID, hog.pid, os.WSTOPPED)
            kernel = shares(hogs)
        return collected, kernel

    def verdict(collected, kernel):
        (window,) = collected.windows
        jain = sum(kernel) ** 2 / (2 * sum(share**2 for share in kernel))
        assert jain < 0.95
        assert window.features()["fairness_jain"] == pytest.approx(jain, rel=0.02)
        assert window.features()["fairness_cv"] == pytest.approx((1 / jain - 1) ** 0.5, rel=0.1)

    judge(run, verdict)


def test_throttling_moves_with_a_bandwidth_limit(start, last_cpu):
    root = cpu_hierarchy()
    if root is None:
        pytest.skip("needs a cgroup hierarchy with the cpu controller")
    with made_cgroup(Path(root) / f"schedtel-{os.getpid()}-features") as cgroup:
        limit(cgroup, 0.2)
        with sampled() as around:
            hog = start("hog", 0.5, cpu=last_cpu)
            (cgroup / "cgroup.procs").write_text(str(hog.pid))
            os.waitid(os.P_PID, hog.pid, os.WSTOPPED)
            told = throttled_ns(cgroup)
            eventually(lambda: around.total("throttled_ns") > told / 2)
        hog.kill()
        hog.wait()
    assert told > 0


def throttled_ns(cgroup):
    counts = dict(line.split() for line in (cgroup / "cpu.stat").read_text().splitlines())
    return int(counts["throttled_time"]) if "throttled_time" in counts else 1000 * int(counts["throttled_usec"])


def test_turnaround_and_response_time_are_those_of_a_clock_around_a_process():
    with sampled(pid=os.getpid()) as around:
        began = time.monotonic_ns()
        subprocess.run(["sleep", "0.3"], check=True)
        lasted = time.monotonic_ns() - began
    (vector,) = [vector for vector in around.vectors if vector["tat_count"]]
    assert 0.3 * NS <= vector["tat_mean_ns"] <= lasted
    assert vector["tat_p50_ns"] == vector["tat_p99_ns"] == vector["tat_mean_ns"]
