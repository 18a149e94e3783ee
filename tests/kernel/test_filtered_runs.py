"""Filters, each beside the same run unfiltered: the totals are the same, and rows that are left out are folded."""

import os
import subprocess

import pytest
from observe import await_edges, collecting, common_span, judge, wait_for_state
from surroundings import made_cgroup
from waiting import PATIENCE_S

import schedtel
from schedtel.errors import CapabilityError
from schedtel.host.cgroups import cgroup_root

#: A uid that no user and no other task of the machine has.
OWN_USER = 61_234
#: A shell and three programs that it forks. Some shells become their last command if that is a program.
NAPS = "{nap} 0.1; {nap} 0.1; {nap} 0.1; true"
SUMS = ("voluntary_switches", "involuntary_switches", "wakeups", "bursts")


@pytest.fixture
def cgroup():
    """A cgroup of the test, removed afterwards."""
    try:
        root = cgroup_root()
    except CapabilityError as error:
        pytest.skip(str(error))
    with made_cgroup(root / f"schedtel-test-{os.getpid()}") as path:
        yield path


@pytest.fixture
def nap(workload, tmp_path):
    """The command line, without the duration, of a program that sleeps under a name that no other task has."""
    (tmp_path / "schedtel-nap").symlink_to(workload)
    return f"{tmp_path}/schedtel-nap sleep"


def run_mixed(start, nap):
    """Tasks of several kinds; returns the processes by kind.

    A filter looks at the user of a task at a window's end: these tasks have their user before they first sleep.
    """
    kinds = {
        "mine": start("pingpong", 4000),
        "another's": subprocess.Popen(["sh", "-c", NAPS.format(nap="sleep")], user=OWN_USER, extra_groups=[]),
        "hog": start("spin", 0.5),
        "storm": start("storm", 200),
        "naps": subprocess.Popen(["sh", "-c", NAPS.format(nap=nap)]),
    }
    for process in kinds.values():
        assert process.wait(timeout=PATIENCE_S) == 0
    return kinds


@pytest.fixture
def both(start, nap):
    """One run under two collectors, filtered and unfiltered; asserts that their totals are equal."""

    def run(**options):
        return judge(lambda: observe(options), verdict)

    def observe(options):
        with collecting("100ms", **options) as filtered, collecting("100ms") as everything:
            await_edges(filtered, everything)
            kinds = run_mixed(start, nap)
            await_edges(filtered, everything)
        return filtered, everything, kinds

    def verdict(filtered, everything, kinds):
        assert_totals_equal(filtered, everything)
        return filtered, everything, kinds

    return run


def assert_totals_equal(filtered, everything):
    """Compared over the time of both: the collectors start and end at different moments."""
    windows = common_span(filtered, everything)
    for column in (*SUMS, "cpu_ns", "wait_ns"):
        ours, all_of_it = (sum(int(w.tasks[column].to_numpy().sum()) for w in of_one) for of_one in windows)
        allowed = 0.05 * all_of_it + 1_000_000 if column.endswith("_ns") else 4
        assert abs(ours - all_of_it) <= allowed, column


def named(collected):
    return [row for window in collected.windows for row in window.tasks.to_pylist() if row["tid"]]


def test_by_user(both):
    filtered, everything, kinds = both(uid=OWN_USER)
    assert {row["uid"] for row in named(filtered)} == {OWN_USER}
    assert kinds["another's"].pid in {row["tid"] for row in named(filtered)}
    assert len({row["tid"] for row in named(filtered)}) == 4, "the shell and its three programs"
    assert len({row["tid"] for row in named(everything)}) > 100
    ours = sum(row["wakeups"] for row in named(filtered))
    theirs = sum(row["wakeups"] for row in everything.rows(uid=OWN_USER))
    assert ours == pytest.approx(theirs, abs=2)


def test_by_command_name(both):
    filtered, _everything, _ = both(comm="schedtel-nap")
    assert {row["comm"] for row in named(filtered)} == {"schedtel-nap"}
    assert len({row["tid"] for row in named(filtered)}) == 3


def test_by_a_prefix_of_the_name(both):
    filtered, _, kinds = both(comm="schedtel-l")
    assert {row["comm"] for row in named(filtered)} == {"schedtel-load"}
    assert kinds["hog"].pid in {row["tid"] for row in named(filtered)}


def test_a_task_is_selected_by_its_new_name_from_its_exec_on(nap):
    """Each task ends before the window does, where the filter looks again."""
    with collecting("30s", comm="schedtel-nap") as filtered:
        naps = f"{nap} 0.001; " * 20 + "true"
        assert subprocess.run(["sh", "-c", naps], timeout=PATIENCE_S, check=False).returncode == 0
    assert len({row["tid"] for row in named(filtered) if row["completion_ns"]}) == 20


@pytest.mark.parametrize(("asked", "loaded"), [({}, False), ({"pid": 1}, False), ({"comm": "a"}, True)])
def test_execs_are_followed_only_where_the_filter_asks_for_what_they_change(asked, loaded):
    with schedtel.live(**asked) as source:
        assert ("on_exec" in source.program_runs()) == loaded


@pytest.mark.parametrize("choice", ["exclude", "only"])
def test_by_kernel_threads(both, choice):
    filtered, _everything, _ = both(kernel_threads=choice)
    assert {row["kernel_thread"] for row in named(filtered)} == {choice == "only"}


def test_by_least_activity(both):
    filtered, everything, kinds = both(min_activity="20ms")
    assert all(row["cpu_ns"] + row["wait_ns"] >= 20_000_000 for row in named(filtered))
    assert kinds["hog"].pid in {row["tid"] for row in named(filtered)}
    assert len({row["tid"] for row in named(filtered)}) < len({row["tid"] for row in named(everything)})


def test_by_process_takes_its_threads_and_descendants(start):
    """The filter selects a shell and all that it forks, before the attach or later, and nothing else."""

    def observe():
        family = "for i in 1 2 3; do sh -c 'sleep 0.02; true'; done"
        script = f"sleep 600 & echo $!; read go; {family}; kill $!; wait; echo done; read stop"
        shell = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        early = int(shell.stdout.readline())
        try:
            with collecting("100ms", pid=shell.pid) as filtered, collecting("100ms") as everything:
                await_edges(filtered, everything)
                shell.stdin.write("go\n")
                shell.stdin.flush()
                assert shell.stdout.readline() == "done\n"
                outsider = start("storm", 50)
                assert outsider.wait() == 0
                await_edges(filtered, everything)
        finally:
            shell.communicate("stop\n")
        return filtered, everything, shell, early, outsider

    def verdict(filtered, everything, shell, early, outsider):
        family = {row["tid"] for row in named(filtered)}
        assert shell.pid in family
        assert early in family, "a descendant alive at attach"
        assert len(family) >= 2 + 3 + 3, "and those forked since, two levels deep"
        assert outsider.pid not in family
        assert os.getpid() not in family
        assert_totals_equal(filtered, everything)

    judge(observe, verdict)


def test_by_thread(start):
    process = start("spin", 600)  # and killed afterwards
    with collecting("200ms", tid=process.pid) as filtered:
        start("storm", 20).wait()
        filtered.await_windows(1)
    assert {row["tid"] for row in named(filtered)} == {process.pid}


def test_by_cgroup_counts_a_wakeup_from_outside(start, cgroup):
    """The waker is outside the cgroup, and the woken task inside: the wakeup belongs to the woken task."""

    def observe():
        read_end, write_end = os.pipe()
        inside = subprocess.Popen(
            ["sh", "-c", f"echo $$ > {cgroup}/cgroup.procs; echo ready; while read line; do :; done"],
            stdin=read_end,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.close(read_end)
        assert inside.stdout.readline() == "ready\n"
        with collecting("200ms", cgroup=f"/{cgroup.name}") as filtered, collecting("200ms") as everything:
            await_edges(filtered, everything)
            for _ in range(300):
                wait_for_state(inside.pid, "S")
                os.write(write_end, b"wake\n")
            os.close(write_end)
            inside.wait(timeout=PATIENCE_S)
            await_edges(filtered, everything)
        inside.stdout.close()
        return filtered, everything, inside

    def verdict(filtered, everything, inside):
        rows = named(filtered)
        assert {row["tid"] for row in rows} == {inside.pid}
        assert {row["cgroup"] for row in rows} == {f"/{cgroup.name}"}
        assert sum(row["wakeups"] for row in rows) >= 290
        assert sum(window.metrics.wakeup_wait.count for window in filtered.windows) >= 290
        assert_totals_equal(filtered, everything)

    judge(observe, verdict)


def test_a_cgroup_filter_takes_the_whole_subtree(start, cgroup):
    with made_cgroup(cgroup / "child") as child, collecting("200ms", cgroup=str(cgroup)) as filtered:
        done = subprocess.run(["sh", "-c", f"echo $$ > {child}/cgroup.procs; sleep 0.05; true"], check=False)
        start("storm", 20).wait()
    assert done.returncode == 0
    assert {row["comm"] for row in named(filtered)} <= {"sh", "sleep"}
    assert {row["cgroup"] for row in named(filtered)} == {f"/{cgroup.name}/child"}


@pytest.mark.parametrize("choice", ["exclude", "only"])
def test_the_selection_has_its_own_distributions(both, choice):
    filtered, _, _ = both(kernel_threads=choice)
    for window in filtered.windows:
        in_rows = sum(sum(row["wait_histogram"]) for row in window.tasks.to_pylist() if row["tid"])
        assert window.metrics.wakeup_wait.count + window.metrics.preempt_wait.count == in_rows
        bursts = sum(row["bursts"] for row in window.tasks.to_pylist() if row["tid"])
        assert window.metrics.burst_tat.count == bursts
        lives = [row for row in window.tasks.to_pylist() if row["tid"] and row["completion_ns"] is not None]
        assert window.metrics.tat.count == sum(not row["left_censored"] for row in lives)
    assert sum(window.metrics.wakeup_wait.count for window in filtered.windows) > 0
    if choice == "exclude":
        assert sum(window.metrics.tat.count for window in filtered.windows) >= 200
