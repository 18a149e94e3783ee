"""The bcc backend on the running kernel: the laws, and the numbers of the core backend from the same events."""

import itertools
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from bcc_here import mounted_tracefs
from observe import assert_buckets_outgrow_16_bits, await_edges, collecting, common_span, judge, wait_for_state
from surroundings import made_cgroup
from waiting import PATIENCE_S, eventually

from schedtel.errors import UsageError
from schedtel.host import procfs
from schedtel.host.cgroups import cgroup_root
from schedtel.kernel.bcc.backend import BccBackend
from schedtel.kernel.filters import Filter
from schedtel.windows import invariants as laws

COUNTS = ("voluntary_switches", "involuntary_switches", "wakeups", "migrations", "bursts")
TIMES = ("cpu_ns", "wait_ns", "wakeup_wait_ns", "preempt_wait_ns", "max_wait_ns", "burst_tat_sum_ns")
LIVES = ("tat_ns", "rt_ns", "total_cpu_ns")
#: By how much two programs on one tracepoint may differ: they run in turn, and each takes its own time stamp.
RELATIVE, ABSOLUTE_NS = 0.01, 50_000


@pytest.fixture(autouse=True, scope="module")
def _tracefs():
    with mounted_tracefs():
        yield


def wait_for(*processes):
    for process in processes:
        assert process.wait(timeout=PATIENCE_S) == 0


def both(work):
    """Makes a function that does ``work`` under both backends at once: returns the windows of both, and the pids."""

    def observe():
        with (
            collecting("100ms", backend="bcc") as bcc,
            collecting("100ms", backend="core") as core,
        ):
            await_edges(bcc, core)
            pids = work()
            await_edges(bcc, core)
        return bcc, core, pids

    return observe


def totals(collected, tid):
    """One task's life, over all windows: sums, and the columns of its last row."""
    rows = collected.rows(tid=tid)
    assert rows, f"no row of {tid}"
    sums = {name: sum(row[name] for row in rows) for name in COUNTS + TIMES if name != "max_wait_ns"}
    return sums | {"max_wait_ns": max(row["max_wait_ns"] for row in rows)} | {name: rows[-1][name] for name in LIVES}


def assert_same(bcc, core, pids):
    """Counts are equal, and times within 1 % or 50 us, for each task."""
    assert pids
    for tid in pids:
        ours, theirs = totals(bcc, tid), totals(core, tid)
        assert {n: ours[n] for n in COUNTS} == {n: theirs[n] for n in COUNTS}, tid
        for name in (*TIMES, *LIVES):
            assert ours[name] == pytest.approx(theirs[name], rel=RELATIVE, abs=ABSOLUTE_NS), (tid, name)


def born_here(collected, names):
    """Tids of threads of these names whose fork and completion the collector has seen."""
    rows = [row for name in names for row in collected.rows(comm=name)]
    return {row["tid"] for row in rows if row["completion_ns"] and row["fork_ns"]}


@pytest.mark.parametrize(
    "work",
    [
        pytest.param([("spin", 0.3), ("spin", 0.3)], id="preemption"),
        pytest.param([("spin", 0.1), ("pingpong", 300), ("storm", 40)], id="wakeups and lives"),
    ],
)
def test_parity_with_core(start, last_cpu, work):
    def run():
        wait_for(*[start(*what, cpu=last_cpu) for what in work])

    def verdict(bcc, core, _):
        names = ("schedtel-load",)
        tids = born_here(core, names)
        assert tids == born_here(bcc, names)
        assert_same(bcc, core, tids)

    judge(both(run), verdict, stamps=True)


def test_the_laws_hold_with_bcc(start):
    def observe():
        with collecting("100ms", backend="bcc") as collected:
            wait_for(start("spin", 0.4), start("pingpong", 2000), start("storm", 300))
        return (collected,)

    def verdict(collected):
        assert len(collected.windows) >= 2
        for before, window in zip([None, *collected.windows], collected.windows, strict=False):
            assert [f for f in laws.check(window, before) if not f.holds] == []
        ended = [row for row in collected.rows(comm="schedtel-load") if row["completion_ns"]]
        assert len({row["tid"] for row in ended}) >= 300

    judge(observe, verdict)


def test_what_a_tracepoint_does_not_say_is_null(start):
    with collecting("100ms", backend="bcc") as collected:
        wait_for(start("storm", 20))
    for window in collected.windows:
        assert window.tasks["iowait_ns"].null_count == window.tasks["exit_code"].null_count == window.tasks.num_rows
        assert window.summary["iowait_avg"][0].as_py() is None
        assert window.metrics.iowait_avg is None


def test_who_a_task_is_agrees_with_proc(start):
    """One task is older than tracing, and one is born later."""
    early = start("spin", 600)  # and killed afterwards
    wait_for_state(early.pid, "R", "schedtel-load")
    with collecting("200ms", backend="bcc") as collected:
        late = start("spin", 0.5)
        stat = {p.pid: Path(f"/proc/{p.pid}/stat").read_text().rsplit(")", 1)[1].split() for p in (early, late)}
        wait_for(late)
    tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
    for process in (early, late):
        row = collected.rows(tid=process.pid)[-1]
        assert row["tgid"] == process.pid
        assert row["comm"] == "schedtel-load"
        assert row["uid"] == os.getuid()
        assert (row["nice"], row["policy"]) == (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0))
        if (row["nice"], row["policy"]) == (0, os.SCHED_OTHER):
            assert row["weight"] == 1024
        assert not row["kernel_thread"]
        assert row["left_censored"] == (process is early)
        assert abs(row["start_boottime_ns"] - int(stat[process.pid][19]) * tick_ns) <= 2 * tick_ns
    kernel = {row["comm"] for row in collected.rows(kernel_thread=True)}
    assert any(name.startswith(("kworker", "rcu", "ksoftirqd", "migration")) for name in kernel), kernel


def test_tasks_beyond_the_slots_are_counted(start):
    with collecting("100ms", backend="bcc", max_tasks=64) as collected:
        wait_for(start("storm", 300))
    assert collected.losses().get("state_failed", 0) > 0
    for window in collected.windows:
        assert [finding for finding in laws.check(window) if not finding.holds] == []


def test_more_lives_than_slots_fit_in_a_window(start):
    """The backend uses the slots of ended lives again before the window ends."""

    def observe():
        for _ in range(5):
            threads = _threads()
            with collecting("2s", backend="bcc", max_tasks=threads + 1000) as collected:
                for _ in range(6):
                    wait_for(start("storm", 200))
                    time.sleep(0.15)  # no event tells the test when slots are free again
            if _threads() < threads + 100:  # no other task has taken the slots
                break
        return (collected,)

    def verdict(collected):
        ended = [row for row in collected.rows(comm="schedtel-load") if row["completion_ns"]]
        assert len({(row["tid"], row["start_boottime_ns"]) for row in ended}) >= 1200
        assert "state_failed" not in collected.losses()

    judge(observe, verdict)


def _threads():
    return len(list(procfs.thread_ids()))


def test_a_reused_tid_is_another_task():
    """The test forks with the same tid again, as soon as it has reaped the last process."""
    last = Path("/proc/sys/kernel/ns_last_pid")
    if not os.access(last, os.W_OK):
        pytest.skip("needs /proc/sys/kernel/ns_last_pid (CONFIG_CHECKPOINT_RESTORE)")

    def observe():
        tids = []

        def reused():
            """Fork under the tid, unless another process forks in between; true after ten times."""
            tids.append(_start_as(last, 31_000))
            return tids.count(tids[-1]) >= 10

        with collecting("100ms", backend="bcc") as collected:
            eventually(reused, every_s=0)
        return collected, tids

    def verdict(collected, tids):
        reused = tids[-1]
        lives = [row for row in collected.rows(tid=reused) if row["completion_ns"]]
        assert len(lives) >= tids.count(reused), (
            "another process may have had the tid in between, but no life is missing"
        )
        assert all(row["total_cpu_ns"] <= row["tat_ns"] and row["rt_ns"] <= row["tat_ns"] for row in lives)
        spans = sorted((row["arrival_ns"], row["completion_ns"]) for row in lives)
        assert all(first[1] < second[0] for first, second in itertools.pairwise(spans))

    judge(observe, verdict)


def _start_as(last, tid):
    last.write_text(str(tid - 1))
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


NAPS = "sleep 0.1; sleep 0.1"


@pytest.mark.parametrize(
    ("options", "column", "value"),
    [
        ({"uid": 65534}, "uid", 65534),
        ({"kernel_threads": "only"}, "kernel_thread", True),
    ],
    ids=["uid", "kernel threads"],
)
def test_a_filter_selects_the_task_itself_and_keeps_the_totals(start, options, column, value):
    def work():
        nobody = subprocess.Popen(["setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", NAPS])
        wait_for(start("pingpong", 300), start("storm", 50), nobody)

    def observe():
        with collecting("100ms", backend="bcc", **options) as few, collecting("100ms", backend="core") as everything:
            await_edges(few, everything)
            work()
            await_edges(few, everything)
        return few, everything

    def verdict(few, everything):
        named = [row for row in few.rows() if row["tid"]]
        assert {row[column] for row in named} == {value}
        windows = common_span(few, everything)
        for name in ("wakeups", "voluntary_switches", "bursts"):
            ours, all_of_it = (sum(int(np.sum(w.tasks[name].to_numpy())) for w in of_one) for of_one in windows)
            assert abs(ours - all_of_it) <= max(4, 0.01 * all_of_it), name

    judge(observe, verdict)


def test_a_process_filter_takes_its_threads_and_descendants(start):
    """The filter selects a shell and all that it forks, before the attach or later, and nothing else."""
    family = "for i in 1 2 3; do sh -c 'sleep 0.02; true'; done"
    script = f"sleep 600 & echo $!; read go; {family}; kill $!; wait; echo done; read stop"
    shell = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    early = int(shell.stdout.readline())
    try:
        with collecting("100ms", backend="bcc", pid=shell.pid) as filtered:
            shell.stdin.write("go\n")
            shell.stdin.flush()
            assert shell.stdout.readline() == "done\n"
            outsider = start("storm", 20)
            wait_for(outsider)
    finally:
        shell.communicate("stop\n")
    found = {row["tid"] for row in filtered.rows() if row["tid"]}
    assert {shell.pid, early} <= found
    assert len(found) >= 2 + 3 + 3
    assert outsider.pid not in found


def test_a_cgroup_filter_takes_the_whole_subtree(start):
    with made_cgroup(cgroup_root() / f"schedtel-bcc-{os.getpid()}") as root, made_cgroup(root / "child") as child:
        with collecting("200ms", backend="bcc", cgroup=str(root)) as filtered:
            done = subprocess.run(["sh", "-c", f"echo $$ > {child}/cgroup.procs; sleep 0.05; true"], check=False)
            wait_for(start("storm", 20))
        assert done.returncode == 0
    named = [row for row in filtered.rows() if row["tid"]]
    assert "sleep" in {row["comm"] for row in named} <= {"sh", "sleep"}
    assert {row["cgroup"] for row in named} <= {f"/{root.name}/child", None}


@pytest.mark.parametrize("number", [0, 63, 1 << 21])
def test_a_senseless_number_of_tasks_is_refused(number):
    with pytest.raises(UsageError, match="cannot follow"):
        BccBackend(Filter(), max_tasks=number)


def test_a_task_counts_past_the_16_bits_of_its_buckets(start, last_cpu):
    assert_buckets_outgrow_16_bits(start, last_cpu, backend="bcc")
