"""Filters: each beside the same run unfiltered; what is left out is folded, and the totals are the same."""

import os
import subprocess
import time

import pytest
from observe import collecting, judge
from surroundings import made_cgroup

from schedtel.errors import CapabilityError
from schedtel.filters import cgroup_root

NOBODY = 65534
NAPS = "sleep 0.1; sleep 0.1; sleep 0.1"
SUMS = ("voluntary_switches", "involuntary_switches", "wakeups", "bursts")


@pytest.fixture
def cgroup():
    """A cgroup of our own, removed afterwards."""
    try:
        root = cgroup_root()
    except CapabilityError as error:
        pytest.skip(str(error))
    with made_cgroup(root / f"schedtel-test-{os.getpid()}") as path:
        yield path


def run_mixed(start, cgroup=None):
    """Tasks of several kinds; returns the processes by kind."""
    kinds = {
        "mine": start("pingpong", 4000),
        "nobody": subprocess.Popen(["setpriv", f"--reuid={NOBODY}", "--clear-groups", "sh", "-c", NAPS]),
        "hog": start("spin", 0.5),
        "storm": start("storm", 200),
        "sh": subprocess.Popen(["sh", "-c", "for i in 1 2 3; do sleep 0.05; true; done"]),
    }
    for process in kinds.values():
        assert process.wait(timeout=30) == 0
    return kinds


def both(start, **options):
    """One run under two collectors, filtered and unfiltered, whose totals are found equal."""

    def observe():
        with collecting("100ms", **options) as filtered, collecting("100ms") as everything:
            kinds = run_mixed(start)
            time.sleep(0.3)
        return filtered, everything, kinds

    def verdict(filtered, everything, kinds):
        assert_totals_equal(filtered, everything)
        return filtered, everything, kinds

    return judge(observe, verdict)


def assert_totals_equal(filtered, everything):
    """The two collectors started and ended a moment apart: only whole windows of both are compared."""
    spans = {(w.start_ns, w.end_ns) for w in filtered.windows} & {(w.start_ns, w.end_ns) for w in everything.windows}
    assert spans, "no window in common"
    for column in SUMS:
        ours, all_of_it = (
            sum(int(w.tasks[column].to_numpy().sum()) for w in c.windows if (w.start_ns, w.end_ns) in spans)
            for c in (filtered, everything)
        )
        assert abs(ours - all_of_it) <= 4, column
    for column in ("cpu_ns", "wait_ns"):
        ours, all_of_it = (
            sum(int(w.tasks[column].to_numpy().sum()) for w in c.windows if (w.start_ns, w.end_ns) in spans)
            for c in (filtered, everything)
        )
        assert abs(ours - all_of_it) <= 0.05 * all_of_it + 1_000_000, column


def named(collected):
    return [row for window in collected.windows for row in window.tasks.to_pylist() if row["tid"]]


def test_by_user(start):
    filtered, everything, kinds = both(start, uid=NOBODY)
    assert {row["uid"] for row in named(filtered)} == {NOBODY}
    assert kinds["nobody"].pid in {row["tid"] for row in named(filtered)}
    assert len({row["tid"] for row in named(filtered)}) == 4, "the shell and its three sleeps"
    assert len({row["tid"] for row in named(everything)}) > 100
    ours = sum(row["wakeups"] for row in named(filtered))
    theirs = sum(row["wakeups"] for row in everything.rows(uid=NOBODY))
    assert ours == pytest.approx(theirs, abs=2)


def test_by_command_name(start):
    filtered, _everything, _ = both(start, comm="sleep")
    assert {row["comm"] for row in named(filtered)} == {"sleep"}
    assert len({row["tid"] for row in named(filtered)}) == 6


def test_by_a_prefix_of_the_name(start):
    filtered, _, kinds = both(start, comm="schedtel-l")
    assert {row["comm"] for row in named(filtered)} == {"schedtel-load"}
    assert kinds["hog"].pid in {row["tid"] for row in named(filtered)}


@pytest.mark.parametrize("choice", ["exclude", "only"])
def test_by_kernel_threads(start, choice):
    filtered, _everything, _ = both(start, kernel_threads=choice)
    assert {row["kernel_thread"] for row in named(filtered)} == {choice == "only"}


def test_by_least_activity(start):
    filtered, everything, kinds = both(start, min_activity="20ms")
    assert all(row["cpu_ns"] + row["wait_ns"] >= 20_000_000 for row in named(filtered))
    assert kinds["hog"].pid in {row["tid"] for row in named(filtered)}
    assert len({row["tid"] for row in named(filtered)}) < len({row["tid"] for row in named(everything)})


def test_by_process_takes_its_threads_and_descendants(start):
    """A shell and what it forks, alive at attach or born later; nothing else."""
    family = "for i in 1 2 3; do sh -c 'sleep 0.02; true'; done"
    script = f"sleep 5 & echo $!; read go; {family}; kill $!; wait; echo done; read stop"
    shell = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    early = int(shell.stdout.readline())
    try:
        with collecting("100ms", pid=shell.pid) as filtered, collecting("100ms") as everything:
            time.sleep(0.3)
            shell.stdin.write("go\n")
            shell.stdin.flush()
            assert shell.stdout.readline() == "done\n"
            outsider = start("storm", 50)
            assert outsider.wait() == 0
    finally:
        shell.communicate("stop\n")
    family = {row["tid"] for row in named(filtered)}
    assert shell.pid in family
    assert early in family, "a descendant alive at attach"
    assert len(family) >= 2 + 3 + 3, "and those forked since, two levels deep"
    assert outsider.pid not in family
    assert os.getpid() not in family
    assert_totals_equal(filtered, everything)


def test_by_thread(start):
    process = start("spin", 0.8)
    with collecting("200ms", tid=process.pid) as filtered:
        start("storm", 20).wait()
        process.wait(timeout=60)
    assert {row["tid"] for row in named(filtered)} == {process.pid}


def test_by_cgroup_counts_a_wakeup_from_outside(start, cgroup):
    """The waker is outside, the wakee inside: the wakeup belongs to the wakee."""
    read_end, write_end = os.pipe()
    inside = subprocess.Popen(
        ["sh", "-c", f"echo $$ > {cgroup}/cgroup.procs; echo ready; while read line; do :; done"],
        stdin=read_end,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(read_end)
    assert inside.stdout.readline() == "ready\n"
    time.sleep(0.05)
    with collecting("200ms", cgroup=f"/{cgroup.name}") as filtered, collecting("200ms") as everything:
        for _ in range(300):
            os.write(write_end, b"wake\n")
            time.sleep(0.002)
        os.close(write_end)
        inside.wait(timeout=10)
    inside.stdout.close()
    rows = named(filtered)
    assert {row["tid"] for row in rows} == {inside.pid}
    assert {row["cgroup"] for row in rows} == {f"/{cgroup.name}"}
    assert sum(row["wakeups"] for row in rows) >= 290
    assert sum(window.metrics.wakeup_wait.count for window in filtered.windows) >= 290
    assert_totals_equal(filtered, everything)


def test_a_cgroup_filter_takes_the_whole_subtree(start, cgroup):
    child = cgroup / "child"
    child.mkdir()
    try:
        with collecting("200ms", cgroup=str(cgroup)) as filtered:
            done = subprocess.run(["sh", "-c", f"echo $$ > {child}/cgroup.procs; sleep 0.05; true"], check=False)
            start("storm", 20).wait()
        assert done.returncode == 0
    finally:
        for _ in range(100):
            try:
                child.rmdir()
                break
            except OSError:
                time.sleep(0.05)
    assert {row["comm"] for row in named(filtered)} <= {"sh", "sleep"}
    assert {row["cgroup"] for row in named(filtered)} == {f"/{cgroup.name}/child"}


@pytest.mark.parametrize("choice", ["exclude", "only"])
def test_the_selection_has_its_own_distributions(start, choice):
    filtered, _, _ = both(start, kernel_threads=choice)
    for window in filtered.windows:
        in_rows = sum(sum(row["wait_histogram"]) for row in window.tasks.to_pylist() if row["tid"])
        assert window.metrics.wakeup_wait.count + window.metrics.preempt_wait.count == in_rows
        bursts = sum(row["bursts"] for row in window.tasks.to_pylist() if row["tid"])
        assert window.metrics.burst_tat.count == bursts
    assert sum(window.metrics.wakeup_wait.count for window in filtered.windows) > 0
    lives = sum(window.metrics.tat.count for window in filtered.windows)
    assert lives >= 200 if choice == "exclude" else lives <= 5
