"""Each feature is made to move, and is compared with an independent reading: the kernel's files, getrusage, a clock.

What counts since boot is read twice on each side: `outer` around all windows, `inner` within them. The sum of a
feature over the windows lies between the two, whatever else the machine does. A level is waited for.
"""

import mmap
import os
import resource
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from kernel_books import PAGE_BYTES, TICK_NS, Books, disks, memory
from observe import collecting, judge
from surroundings import limit, made_cgroup
from waiting import PATIENCE_S, eventually

from schedtel.host.cgroups import cpu_hierarchy
from schedtel.host.procfs import mounts

MB = 1 << 20
NS = 1_000_000_000
CPUS = os.cpu_count()
#: Of what the kernel counts by ticks, what lies between two readings of the same moment; idle and iowait of a CPU may
#: also go back a little.
TICKS_APART_NS = 5 * TICK_NS * CPUS


class Around:
    """Windows of a machine that is sampled, and the kernel's own counts around and within them."""

    def __init__(self, collected):
        self.collected, self.inner, self.outer = collected, {}, {}

    @property
    def vectors(self):
        return [window.features() for window in self.collected.windows]

    def total(self, name):
        return sum(vector[name] or 0 for vector in self.vectors)

    def of_time(self, average):
        """An average number of tasks, as task-nanoseconds over all windows."""
        return sum(vector[average] * vector["window_ns"] for vector in self.vectors)

    def latest(self, name):
        return self.vectors[-1][name]


@contextmanager
def sampled(window="200ms", **options):
    """Collect while the body runs. Yields an :class:`Around`, complete after the body."""
    outer = Books.now()
    with collecting(window, machine=True, **options) as collected:
        around, inner = Around(collected), Books.now()
        around.inner_so_far = lambda: Books.now().since(inner)
        collected.await_windows(1)
        yield around
        around.inner = Books.now().since(inner)
    around.outer = Books.now().since(outer)


def assert_between(around, name, apart=0):
    assert around.inner[name] - apart <= around.total(name) <= around.outer[name] + apart, name


def until(around, name, least, act):
    """Act until the kernel itself has counted so much."""
    end = time.monotonic() + PATIENCE_S
    while around.inner_so_far()[name] < least and time.monotonic() < end:
        act()


# ---- from psutil: what counts ----


def test_cpu_time_moves_with_work(start, last_cpu):
    with sampled() as around:
        until(around, "cpu_total_delta_ns", NS // 2, start("spin", 0.7, cpu=last_cpu).wait)
    assert around.inner["cpu_total_delta_ns"] >= NS // 2
    assert_between(around, "cpu_total_delta_ns", TICKS_APART_NS)
    for vector in around.vectors:
        share = vector["cpu_percent_avg"]
        assert share is None or 0 <= share <= 100
    assert max(vector["cpu_percent_avg"] or 0 for vector in around.vectors) > 30 / CPUS


def test_softirq_time_moves_with_packets_on_loopback():
    receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    receiver.bind(("127.0.0.1", 0))

    def flood():
        for _ in range(2000):
            sender.sendto(bytes(1000), receiver.getsockname())

    with receiver, sender, sampled() as around:
        until(around, "softirq_total_delta_ns", 5 * TICK_NS, flood)
    if around.inner["softirq_total_delta_ns"] < 5 * TICK_NS:
        pytest.skip("needs a kernel that accounts for soft interrupts of the loopback device")
    assert_between(around, "softirq_total_delta_ns", TICK_NS * CPUS)
    assert_between(around, "irq_total_delta_ns", TICK_NS * CPUS)
    assert max(vector["softirq_percent_avg"] or 0 for vector in around.vectors) > 0


def direct_writer(folder):
    """Write 1 MB around the page cache, and wait until the disk has it; returns how long that took, in ns."""
    block = mmap.mmap(-1, MB)
    try:
        file = os.open(folder / "direct", os.O_WRONLY | os.O_CREAT | os.O_DIRECT | os.O_DSYNC, 0o600)
    except OSError as error:
        pytest.skip(f"needs a file system with direct I/O: {error}")
    began = time.monotonic_ns()
    try:
        os.pwrite(file, block, 0)
        return time.monotonic_ns() - began
    finally:
        os.close(file)


def need_disk():
    if not disks():
        pytest.skip("needs a disk that the kernel counts the bytes of (/sys/block)")


def test_io_wait_and_bytes_written_move_with_direct_io(tmp_path):
    """The test's own thread waits for the disk and for nothing else while it writes."""
    need_disk()

    def observe():
        waited_ns, before = 0, resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        with sampled() as around:
            for _ in range(40):
                waited_ns += direct_writer(tmp_path)
            slept = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before
        return around.collected, around, waited_ns, slept

    def verdict(_collected, around, waited_ns, slept):
        if around.inner["io_written_total_delta_bytes"] < 40 * MB or slept < 40:
            pytest.skip("needs a file system on a disk, with direct I/O that is waited for")
        assert_between(around, "io_written_total_delta_bytes")
        assert_between(around, "iowait_total_delta_ns", TICKS_APART_NS)
        assert around.of_time("iowait_avg") >= waited_ns / 4
        assert around.of_time("blocked_avg") >= around.of_time("iowait_avg")
        assert max(vector["io_written_avg_bytes_per_s"] for vector in around.vectors) > 0

    judge(observe, verdict)


def test_bytes_read_move_with_a_file_that_is_not_cached(tmp_path):
    need_disk()
    path = tmp_path / "file"
    with path.open("wb") as file:
        for _ in range(32):
            file.write(os.urandom(MB))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with sampled() as around:
        assert len(path.read_bytes()) == 32 * MB
    if around.inner["io_read_total_delta_bytes"] < 16 * MB:
        pytest.skip("needs a file system on a disk")
    assert_between(around, "io_read_total_delta_bytes")
    assert max(vector["io_read_avg_bytes_per_s"] for vector in around.vectors) > 0


# ---- from psutil: levels ----


def test_memory_used_and_available_move_with_pages_that_are_touched():
    with sampled() as around:
        base = {name: around.latest(f"memory_{name}_avg_bytes") for name in ("used", "available")}
        free = memory()["MemAvailable"]
        with mmap.mmap(-1, 512 * MB) as pages:
            for at in range(0, len(pages), PAGE_BYTES):
                pages[at] = 1
            assert memory()["MemAvailable"] < free - 256 * MB
            eventually(lambda: around.latest("memory_used_avg_bytes") > base["used"] + 256 * MB)
            eventually(lambda: around.latest("memory_available_avg_bytes") < base["available"] - 256 * MB)
    changes = [vector["memory_used_percent_change"] for vector in around.vectors]
    assert changes[0] is None
    assert max(change for change in changes[1:] if change is not None) > 0
    assert max(vector["memory_used_total_delta_bytes"] for vector in around.vectors) > 0


def test_cached_memory_moves_with_a_file_in_memory():
    folder = Path("/dev/shm")
    if not os.access(folder, os.W_OK):
        pytest.skip("needs a file system in memory at /dev/shm")
    path = folder / f"schedtel-{os.getpid()}"
    try:
        with sampled() as around:
            base, cached = around.latest("memory_cached_avg_bytes"), memory()["Cached"]
            with path.open("wb") as file:
                for _ in range(256):
                    file.write(bytes(MB))
            assert memory()["Cached"] > cached + 128 * MB
            eventually(lambda: around.latest("memory_cached_avg_bytes") > base + 128 * MB)
    finally:
        path.unlink(missing_ok=True)


def test_buffers_move_with_folders(tmp_path):
    """The file system ext4 has its folders in the buffers of its device."""
    with sampled() as around:
        base, buffers = around.latest("memory_buffers_avg_bytes"), memory()["Buffers"]
        for number in range(4000):
            (tmp_path / str(number)).mkdir()
        grown = memory()["Buffers"] - buffers
        if grown < 4 * MB:
            pytest.skip("needs a file system that uses buffers, such as ext4")
        eventually(lambda: around.latest("memory_buffers_avg_bytes") > base + grown / 2)


@pytest.fixture
def swap(tmp_path):
    """Swap space: the machine's, or a file for as long as the test runs."""
    if len(Path("/proc/swaps").read_text().splitlines()) > 1:
        yield
        return
    path = tmp_path / "swap"
    path.touch(0o600)
    with path.open("r+b") as file:
        for _ in range(96):
            file.write(bytes(MB))
    for command in (["mkswap", path], ["swapon", path]):
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"needs swap, or the right to add a file as swap: {error}")
    yield
    subprocess.run(["swapoff", path], check=True)


def memory_limits():
    """Where cgroups with a limit of memory can be made, and the file of the limit."""
    for mount in mounts():
        if mount.kind == "cgroup" and "memory" in mount.options:
            return Path(mount.point), "memory.limit_in_bytes"
        subtree = Path(mount.point) / "cgroup.subtree_control"
        if mount.kind == "cgroup2" and subtree.exists() and "memory" in subtree.read_text().split():
            return Path(mount.point), "memory.max"
    pytest.skip("needs a cgroup hierarchy with the memory controller")


#: Touches three times as much memory as it may have, again and again, until standard input ends.
TOUCHES = """
import mmap, os, select
os.read(0, 1)
pages = mmap.mmap(-1, 48 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
number = 0
while not select.select([0], [], [], 0)[0]:
    number += 1
    for at in range(0, len(pages), mmap.PAGESIZE):
        pages[at] = number % 256
"""


@pytest.mark.usefixtures("swap")
def test_swap_moves_with_a_task_that_has_too_little_memory():
    root, limit_file = memory_limits()
    with made_cgroup(root / f"schedtel-{os.getpid()}-swapping") as cgroup:
        (cgroup / limit_file).write_text(str(16 * MB))
        with sampled() as around:
            base = around.latest("swap_used_avg_bytes")
            task = subprocess.Popen([sys.executable, "-c", TOUCHES], stdin=subprocess.PIPE)
            (cgroup / "cgroup.procs").write_text(str(task.pid))
            task.stdin.write(b"g")
            task.stdin.flush()
            eventually(lambda: around.inner_so_far()["swap_in_total_delta_bytes"] > 8 * MB)
            eventually(lambda: around.latest("swap_used_avg_bytes") > base + 8 * MB)
            task.communicate()
    for name in ("swap_in_total_delta_bytes", "swap_out_total_delta_bytes"):
        assert around.inner[name] > 8 * MB
        assert_between(around, name)
    assert max(vector["swap_used_total_delta_bytes"] for vector in around.vectors) > 0
    assert max(vector["swap_in_avg_bytes_per_s"] for vector in around.vectors) > 0


# ---- from the kernel ----


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
