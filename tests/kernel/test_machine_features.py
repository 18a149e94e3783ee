"""Each feature of psutil is made to move, and is compared with the kernel's own files.

What counts since boot is read twice on each side: `outer` around all windows, `inner` within them. The sum of a
feature over the windows lies between the two, whatever else the machine does. A level is waited for.
"""

import mmap
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from around import assert_between, sampled, until
from kernel_books import PAGE_BYTES, TICK_NS, disks, memory
from observe import judge
from surroundings import made_cgroup
from waiting import eventually

from schedtel.host.procfs import mounts

MB = 1 << 20
NS = 1_000_000_000
CPUS = os.cpu_count()
#: Of what the kernel counts by ticks, what lies between two readings of the same moment; idle and iowait of a CPU may
#: also go back a little.
TICKS_APART_NS = 5 * TICK_NS * CPUS


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


@contextmanager
def direct_file(folder):
    """A file of 1 MB that is written around the page cache. It has its blocks, so that no write waits for a journal."""
    try:
        file = os.open(folder / "direct", os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
    except OSError as error:
        pytest.skip(f"needs a file system with direct I/O: {error}")
    try:
        os.pwrite(file, mmap.mmap(-1, MB), 0)
        os.fsync(file)
        yield file
    finally:
        os.close(file)


def on_or_for_a_cpu_ns():
    """How long this thread has run and waited for a CPU, by the kernel's accounting."""
    cpu_ns, wait_ns, _ = Path("/proc/thread-self/schedstat").read_text().split()
    return int(cpu_ns) + int(wait_ns)


def overwrite(file, times):
    """Write the file again and again; returns how long this thread slept meanwhile, which is for the disk, in ns."""
    block = mmap.mmap(-1, MB)
    began, awake = time.monotonic_ns(), on_or_for_a_cpu_ns()
    for _ in range(times):
        os.pwrite(file, block, 0)
    return time.monotonic_ns() - began - (on_or_for_a_cpu_ns() - awake)


def need_disk():
    if not disks():
        pytest.skip("needs a disk that the kernel counts the bytes of (/sys/block)")


def test_io_wait_and_bytes_written_move_with_direct_io(tmp_path):
    need_disk()

    def observe():
        with direct_file(tmp_path) as file, sampled() as around:
            slept_ns = overwrite(file, 60)
        return around.collected, around, slept_ns

    def verdict(_collected, around, slept_ns):
        if around.inner["io_written_total_delta_bytes"] < 60 * MB or slept_ns < 10_000_000:
            pytest.skip("needs a file system on a disk that direct I/O waits for")
        assert_between(around, "io_written_total_delta_bytes")
        assert_between(around, "iowait_total_delta_ns", TICKS_APART_NS)
        assert around.of_time("iowait_avg") >= slept_ns / 2
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
        # A folder may get a block that another one had, and that is still in the buffers.
        grown = 0
        for number in range(20_000):
            (tmp_path / str(number)).mkdir()
            grown = memory()["Buffers"] - buffers if number % 500 == 0 else grown
            if grown > 8 * MB:
                break
        if grown < 8 * MB:
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
