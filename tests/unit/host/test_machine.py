"""Readings of the machine against files of /proc that are written by hand, and arithmetic on paper."""

import errno
import time

import psutil
import pytest

from schedtel.host import machine
from schedtel.host.machine import MachineCounters, Reading, percent_change
from schedtel.windows.machine_schema import MACHINE

MEMORY = """\
MemTotal: {total} kB
MemFree: {free} kB
MemAvailable: {available} kB
Buffers: {buffers} kB
Cached: {cached} kB
SReclaimable: 0 kB
Shmem: 0 kB
Active: 0 kB
Inactive: 0 kB
Slab: 0 kB
SwapTotal: 1000 kB
SwapFree: {swap_free} kB
"""
BEFORE = {"total": 9000, "free": 5000, "available": 6000, "buffers": 100, "cached": 400, "swap_free": 1000}
#: Device numbers, name, reads (count, merged, sectors, ms), writes (likewise), and what is in flight.
DISK = "{major} 0 {name} 1 0 {read} 5 1 0 {written} 5 0 5 10\n"
TICK_NS = 10_000_000


class Proc:
    """A /proc of its own, and a /sys/block with one disk, a partition of it, a volume on it, and a loop device."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.block = folder / "proc", folder / "block"
        self.folder.mkdir()
        for device, slaves in {"sda": [], "dm-0": ["sda"], "loop0": [], "zram0": []}.items():
            (self.block / device / "slaves").mkdir(parents=True)
            for slave in slaves:
                (self.block / device / "slaves" / slave).touch()
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(self.folder))
        monkeypatch.setattr(machine, "_BLOCK_DEVICES", str(self.block))
        self.write()

    def write(self, cpu="100 0 100 700 100 0 0 0 0 0", swapped=(0, 0), disks=None, **memory):
        (self.folder / "stat").write_text(f"cpu  {cpu}\ncpu0 {cpu}\n")
        (self.folder / "meminfo").write_text(MEMORY.format(**{**BEFORE, **memory}))
        (self.folder / "vmstat").write_text(f"pswpin {swapped[0]}\npswpout {swapped[1]}\n")
        disks = disks or {"sda": (0, 0), "sda1": (0, 0), "dm-0": (0, 0), "loop0": (0, 0), "zram0": (0, 0)}
        lines = [DISK.format(major=8, name=name, read=r, written=w) for name, (r, w) in disks.items()]
        (self.folder / "diskstats").write_text("".join(lines))


@pytest.fixture
def proc(tmp_path, monkeypatch):
    return Proc(tmp_path, monkeypatch)


@pytest.fixture
def counters(proc):
    return MachineCounters(window_ns=10_000_000_000)


def test_the_columns_of_a_window_are_those_of_the_table(counters):
    assert ["window_id", *counters.since_last()] == [column.name for column in MACHINE]


def test_times_are_shares_of_all_cpu_time_and_nanoseconds(proc, counters):
    """Of 200 ticks: 60 idle, 20 waiting for I/O, 10 in interrupts, 30 in soft ones; 40 user, 20 system, 20 stolen."""
    proc.write(cpu="140 0 120 760 120 10 30 20 15 0")
    row = counters.since_last()
    shares = {name: row[f"{name}_percent_avg"] for name in ("cpu", "iowait", "irq", "softirq")}
    assert shares == {"cpu": 60.0, "iowait": 10.0, "irq": 5.0, "softirq": 15.0}
    deltas = {name: row[f"{name}_total_delta_ns"] for name in shares}
    assert deltas == {"cpu": 120 * TICK_NS, "iowait": 20 * TICK_NS, "irq": 10 * TICK_NS, "softirq": 30 * TICK_NS}


def test_a_window_without_a_tick_has_no_shares(proc, counters):
    row = counters.since_last()
    assert row["cpu_percent_avg"] is None
    assert row["cpu_total_delta_ns"] == 0


def test_time_that_goes_back_is_none(proc, counters):
    """The kernel's iowait and idle of a CPU may get less when it comes back from offline."""
    proc.write(cpu="110 0 100 690 90 0 0 0 0 0")
    row = counters.since_last()
    assert row["iowait_total_delta_ns"] == 0
    assert row["cpu_percent_avg"] == 100.0


def test_levels_are_means_of_samples_and_differences_of_edges(proc, counters, monkeypatch):
    proc.write(available=5000, buffers=200, cached=800, swap_free=900)
    monkeypatch.setattr(counters, "due_ns", 0)
    counters.sample()
    proc.write(available=4000, buffers=400, cached=1600, swap_free=400)
    row = counters.since_last()
    assert row["machine_samples"] == 2
    means = {"memory_available": 4500, "memory_buffers": 300, "memory_cached": 1200, "swap_used": 350}
    deltas = {"memory_available": -2000, "memory_buffers": 300, "memory_cached": 1200, "swap_used": 600}
    assert {name: row[f"{name}_avg_bytes"] for name in means} == {name: 1024 * kb for name, kb in means.items()}
    assert {name: row[f"{name}_total_delta_bytes"] for name in means} == {
        name: 1024 * kb for name, kb in deltas.items()
    }
    assert row["memory_used_total_delta_bytes"] == -row["memory_available_total_delta_bytes"]


def test_flows_are_bytes_and_bytes_a_second(proc, counters):
    proc.write(swapped=(3, 5), disks={"sda": (2, 4)})
    row = counters.since_last()
    totals = {"swap_in": 3 * 4096, "swap_out": 5 * 4096, "io_read": 2 * 512, "io_written": 4 * 512}
    assert {name: row[f"{name}_total_delta_bytes"] for name in totals} == totals
    for name, total in totals.items():
        assert row[f"{name}_avg_bytes_per_s"] == pytest.approx(total * 1e9 / row["machine_ns"])


def test_bytes_are_counted_once(proc, counters):
    """A partition, a volume on the disk and a loop device pass on to the disk; zram is memory."""
    proc.write(disks=dict.fromkeys(("sda", "sda1", "dm-0", "loop0", "zram0"), (2, 4)))
    row = counters.since_last()
    assert (row["io_read_total_delta_bytes"], row["io_written_total_delta_bytes"]) == (1024, 2048)


def test_a_disk_that_comes_counts_from_nothing_and_one_that_goes_counts_no_more(proc, counters):
    proc.write(disks={"sda": (10, 10)})
    counters.since_last()
    (proc.block / "sdb" / "slaves").mkdir(parents=True)
    proc.write(disks={"sdb": (4, 6)})
    row = counters.since_last()
    assert (row["io_read_total_delta_bytes"], row["io_written_total_delta_bytes"]) == (4 * 512, 6 * 512)


def test_without_disks_what_they_transferred_is_unknown(proc, counters):
    (proc.folder / "diskstats").write_text("")
    row = counters.since_last()
    assert row["io_read_avg_bytes_per_s"] is None
    assert row["io_written_total_delta_bytes"] is None
    assert row["swap_in_total_delta_bytes"] == 0


def test_changes_are_in_percent_of_the_average_of_the_window_before(proc, counters):
    proc.write(cpu="150 0 100 750 100 0 0 0 0 0", available=4000)
    first = counters.since_last()
    assert {first[name] for name in first if name.endswith("_percent_change")} == {None}
    proc.write(cpu="225 0 100 775 100 0 0 0 0 0", available=5000)
    second = counters.since_last()
    assert second["cpu_percent_change"] == 50.0
    assert second["memory_available_percent_change"] == 25.0
    assert second["swap_used_percent_change"] == 0.0


@pytest.mark.parametrize(
    ("now", "before", "change"),
    [(3, 2, 50), (1, 2, -50), (0, 2, -100), (0, 0, 0), (1, 0, None), (None, 1, None), (1, None, None)],
)
def test_a_change_from_nothing_to_something_is_unknown(now, before, change):
    assert percent_change(now, before) == change


@pytest.mark.parametrize(
    ("window_ns", "every_ns"), [(10**7, 10**8), (10**9, 10**8), (5 * 10**9, 5 * 10**8), (10**12, 10**9)]
)
def test_samples_are_a_tenth_of_a_window_apart_and_neither_too_dense_nor_too_rare(proc, window_ns, every_ns):
    before = time.monotonic_ns()
    counters = MachineCounters(window_ns)
    assert before + every_ns <= counters.due_ns <= time.monotonic_ns() + every_ns


def test_no_sample_is_taken_before_it_is_due(counters):
    counters.due_ns = time.monotonic_ns() + 10**12
    counters.sample()
    assert counters.since_last()["machine_samples"] == 1


def test_a_window_without_a_descriptor_has_no_row_and_the_next_one_both(proc, counters, monkeypatch):
    def exhausted():
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Reading, "now", exhausted)
        patched.setattr(machine, "levels", exhausted)
        patched.setattr(counters, "due_ns", 0)
        counters.sample()
        proc.write(swapped=(1, 0))
        assert counters.since_last() is None
    proc.write(swapped=(3, 0))
    assert counters.since_last()["swap_in_total_delta_bytes"] == 3 * 4096


def test_another_error_of_the_system_is_not_hidden(counters, monkeypatch):
    def refused():
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Reading, "now", refused)
    with pytest.raises(OSError, match="Permission denied"):
        counters.since_last()


def test_a_count_of_swap_that_could_not_be_read_is_made_up_for(proc, counters):
    """psutil then says 0, and the next window must not have all that was swapped since boot."""
    proc.write(swapped=(1000, 0))
    counters.since_last()
    (proc.folder / "vmstat").unlink()
    assert counters.since_last()["swap_in_total_delta_bytes"] == 0
    proc.write(swapped=(1002, 0))
    assert counters.since_last()["swap_in_total_delta_bytes"] == 2 * 4096


@pytest.mark.parametrize("error", [NotImplementedError(), PermissionError(errno.EACCES, "Permission denied")])
def test_where_disks_are_hidden_all_else_is_read(counters, monkeypatch, error):
    def hidden(**_how):
        raise error

    monkeypatch.setattr(psutil, "disk_io_counters", hidden)
    row = counters.since_last()
    assert row["io_read_total_delta_bytes"] is None
    assert row["memory_used_avg_bytes"] > 0


def test_a_kernel_without_swap_has_no_swap_and_says_nothing(proc, counters):
    (proc.folder / "vmstat").write_text("pgpgin 1\n")
    assert counters.since_last()["swap_in_total_delta_bytes"] == 0
