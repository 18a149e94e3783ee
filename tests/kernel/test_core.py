"""What the core backend chooses on the running kernel: how it visits tasks, and how much memory it maps."""

import subprocess
import sys
import time
from pathlib import Path

import pyarrow.compute as pc
import pytest
from observe import collecting, judge

from schedtel.errors import CapabilityError
from schedtel.kernel.core import backend as core
from schedtel.kernel.core import programs
from schedtel.kernel.filters import Filter


def test_a_kernel_that_refuses_the_walk_gets_the_iterators(start, no_walk):
    def observe():
        with collecting("100ms") as collected:
            start("storm", 50).wait()
        return (collected,)

    def verdict(collected):
        ended = [row for row in collected.rows(comm="schedtel-load") if row["completion_ns"] is not None]
        assert len(ended) == 51
        assert collected.losses() == {}

    judge(observe, verdict)


def everyone_through_a_small_page(start):
    """Every task has a row in every window, and a page of 64 KB holds 130: each flush must empty it ten times."""
    threads = 1200

    def observe():
        with collecting("500ms", ring_bytes=1 << 16, all_tasks=True) as collected:
            process = start("threads", threads, 600)
            assert int(process.stdout.readline()) == process.pid
            began_ns = time.monotonic_ns()
            collected.await_windows(4)
        process.kill()
        return collected, process, began_ns

    def verdict(collected, process, began_ns):
        whole = [window for window in collected.windows if window.start_ns >= began_ns]
        assert whole
        for window in whole:
            rows = window.tasks.filter(pc.field("tgid") == process.pid)
            assert rows.num_rows == len(set(rows["tid"].to_pylist())) == threads + 1
            assert set(rows["alive_ns"].to_pylist()) == {window.end_ns - window.start_ns}
            assert window.losses["state_failed"] == 0

    judge(observe, verdict)


def test_a_page_that_is_full_is_emptied_and_no_task_is_missed(start):
    everyone_through_a_small_page(start)


def test_so_it_is_with_the_iterators(start, no_walk):
    everyone_through_a_small_page(start)


def mapped_bytes():
    """Resident bytes of this process that are BPF maps, as the kernel counts them."""
    found, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            ours = rest[-1] == "anon_inode:bpf-map"
        elif ours and name == "Rss:":
            found += int(rest[0]) << 10
    return found


def test_memory_is_for_the_rows_that_there_are(start):
    """The page is for 33,288 rows of 504 bytes, and the ring is as large; then some thousands of rows are in use."""
    ring, threads, before = 16 << 20, 3000, mapped_bytes()
    with collecting("500ms", ring_bytes=ring, all_tasks=True) as collected:
        collected.await_windows(2)
        rows = max(window.tasks.num_rows for window in collected.windows)
        assert mapped_bytes() - before - ring < 504 * 2 * rows + (1 << 20)
        process = start("threads", threads, 600)
        assert int(process.stdout.readline()) == process.pid
        began_ns = time.monotonic_ns()
        collected.await_windows(3)
    (*_, window) = (window for window in collected.windows if window.start_ns >= began_ns)
    told = window.tasks.filter(pc.field("tgid") == process.pid)["tid"].to_pylist()
    assert len(told) == len(set(told)) == threads + 1


@pytest.mark.parametrize("window", ["10ms", "999ms"])
def test_a_short_window_does_not_open_before_it_could_be_read(window):
    """A collector that imports modules at the first window would make that window too long."""
    program = f"import sys, schedtel\nwith schedtel.live({window!r}): print('schedtel.windows.build' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_a_mixed_installation_is_refused(monkeypatch):
    wrong = core.layout.CONTRACT | {"bank": core.layout.FOLDED}
    monkeypatch.setattr(core.layout, "CONTRACT", wrong)
    with pytest.raises(CapabilityError, match="struct bank differs"):
        core.CoreBackend(programs.load(Filter()))
