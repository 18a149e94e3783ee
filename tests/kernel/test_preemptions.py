"""Who preempted whom and who was throttled: real cgroups on one CPU, against samples and the kernel's own books."""

import os
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from bcc_here import mounted_tracefs
from observe import collecting, judge
from surroundings import made_cgroup

from schedtel import layout, tables
from schedtel.errors import CapabilityError
from schedtel.filters import cgroup_root
from schedtel.throttling import cpu_hierarchy

BACKENDS = ("core", "bcc")


@pytest.fixture
def two_cgroups():
    """``/schedtel-…-a`` and ``-b``."""
    try:
        root = cgroup_root()
    except CapabilityError as error:
        pytest.skip(str(error))
    with made_cgroup(root / f"schedtel-{os.getpid()}-a") as a, made_cgroup(root / f"schedtel-{os.getpid()}-b") as b:
        yield a, b


def traceable(backend):
    return mounted_tracefs() if backend == "bcc" else nullcontext()


def rivals(start, cpu, cgroups, seconds):
    """A hog in each cgroup, all on one CPU, until they have ended; the processes."""
    hogs = [start("spin", seconds, cpu=cpu) for _ in cgroups]
    for hog, cgroup in zip(hogs, cgroups, strict=True):
        (cgroup / "cgroup.procs").write_text(str(hog.pid))
    for hog in hogs:
        assert hog.wait(timeout=30) == 0
    return hogs


def pairs_of(collected):
    """(victim, preemptor) → count and wait, over all windows."""
    found = {}
    for window in collected.windows:
        for row in window.preemptions.to_pylist():
            count, wait = found.get((row["victim"], row["preemptor"]), (0, 0))
            found[row["victim"], row["preemptor"]] = (count + row["count"], wait + row["wait_ns"])
    return found


def assert_adds_up(window, *, filtered=False):
    """The rows of selected victims are the samples of the summary; without a filter, so is the whole table."""
    rows = [r for r in window.preemptions.to_pylist() if not filtered or r["victim"] != tables.OTHER_COMM]
    told = window.metrics.preempt_wait
    assert sum(row["count"] for row in rows) == told.count
    assert abs(sum(row["wait_ns"] for row in rows) - (told.mean_ns or 0) * told.count) <= told.count
    assert max((row["max_wait_ns"] for row in rows), default=None) == told.max_ns


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_cgroups_on_one_cpu_preempt_each_other(start, last_cpu, two_cgroups, backend):
    a, b = (f"/{cgroup.name}" for cgroup in two_cgroups)

    def observe():
        with traceable(backend), collecting("200ms", backend=backend) as collected:
            time.sleep(0.1)
            hogs = rivals(start, last_cpu, two_cgroups, 1.0)
            time.sleep(0.3)
        return collected, hogs

    def verdict(collected, hogs):
        for window in collected.windows:
            assert_adds_up(window)
        pairs = pairs_of(collected)
        for victim, preemptor, hog in ((a, b, hogs[0]), (b, a, hogs[1])):
            count, wait = pairs[victim, preemptor]
            assert count > 20
            # Each had half of the CPU at best, and the other one the rest.
            assert 0.2e9 < wait < 1.1e9
            lost = [figures for pair, figures in pairs.items() if pair[0] == victim]
            # Before it was moved, the hog may have been preempted too; bcc learns of the move in the next window.
            missing = collected.sum("involuntary_switches", tid=hog.pid) - sum(n for n, _ in lost)
            assert -1 <= missing <= (10 if backend == "core" else 60)
            assert sum(wait for _, wait in lost) <= collected.sum("preempt_wait_ns", tid=hog.pid)

    judge(observe, verdict)


def test_a_filter_names_its_victims_and_keeps_the_totals(start, last_cpu, two_cgroups):
    a, b = (f"/{cgroup.name}" for cgroup in two_cgroups)

    def observe():
        with collecting("100ms", cgroup=a) as filtered, collecting("100ms") as everything:
            rivals(start, last_cpu, two_cgroups, 0.6)
            time.sleep(0.2)
        return filtered, everything

    def verdict(filtered, everything):
        for window in filtered.windows:
            assert_adds_up(window, filtered=True)
        assert {victim for victim, _ in pairs_of(filtered)} == {a, tables.OTHER_COMM}
        assert {(a, b), (b, a)} <= set(pairs_of(everything))
        unfiltered = {(w.start_ns, w.end_ns): w for w in everything.windows}
        common = [
            (w, unfiltered[w.start_ns, w.end_ns]) for w in filtered.windows if (w.start_ns, w.end_ns) in unfiltered
        ]
        assert common, "no window in common"
        for ours, whole in common[1:]:  # what was preempted before tracing began has no sample
            theirs = tables.column(whole.preemptions, "count").sum()
            assert abs(int(tables.column(ours.preemptions, "count").sum()) - int(theirs)) <= 2

    judge(observe, verdict)


def test_more_pairs_than_a_table_has_room_for_are_folded_and_counted(start, last_cpu):
    """Two tasks give way to each other, each time under another name. (bcc reads a name once in a window.)"""
    with collecting("10s", backend="core", preemptions="comm") as collected:
        assert start("rename", 3000, cpu=last_cpu).wait(timeout=30) == 0
    for window in collected.windows:
        assert_adds_up(window)
    pairs = pairs_of(collected)
    assert pairs[tables.OTHER_COMM, tables.OTHER_COMM][0] > 1000
    named = [pair for pair in pairs if all(name.startswith("name-") for name in pair)]
    assert 100 < len(named) <= 2 * layout.PREEMPTION_PAIRS


def test_off_tells_nothing(start, last_cpu):
    with collecting("200ms", preemptions="off") as collected:
        for hog in [start("spin", 0.3, cpu=last_cpu) for _ in range(2)]:
            hog.wait(timeout=30)
    assert collected.total("involuntary_switches") > 0
    assert pairs_of(collected) == {}


def limit(cgroup: Path, share: float) -> None:
    """Set a bandwidth limit, in the words of either version."""
    quota, period = round(share * 100_000), 100_000
    if (cgroup / "cpu.max").exists():
        (cgroup / "cpu.max").write_text(f"{quota} {period}")
    elif (cgroup / "cpu.cfs_quota_us").exists():
        (cgroup / "cpu.cfs_quota_us").write_text(str(quota))
    else:
        pytest.skip("needs a cgroup hierarchy with the cpu controller enabled, and bandwidth limits in the kernel")


def test_a_throttled_cgroup_is_named_with_the_time_the_kernel_counts(start, last_cpu):
    """A fifth of a CPU for a hog that wants all of it."""
    root = cpu_hierarchy()
    if root is None:
        pytest.skip("needs a cgroup hierarchy with the cpu controller")
    with made_cgroup(Path(root) / f"schedtel-{os.getpid()}-limited") as limited:
        limit(limited, 0.2)
        with collecting("500ms") as collected:
            hog = start("spin", 1.5, cpu=last_cpu)
            (limited / "cgroup.procs").write_text(str(hog.pid))
            assert hog.wait(timeout=30) == 0
            stat = dict(line.split() for line in (limited / "cpu.stat").read_text().splitlines())
            time.sleep(1.2)  # a limit that is new is looked for once a second
        told = int(stat.get("throttled_time", 1000 * int(stat.get("throttled_usec", 0))))
        rows = [row for window in collected.windows for row in window.throttled.to_pylist()]
        mine = [row for row in rows if row["cgroup"] == f"/{limited.name}"]
        assert told > 300_000_000
        assert sum(row["throttled_ns"] for row in mine) == told
        assert sum(row["throttled_periods"] for row in mine) == int(stat["nr_throttled"])
        for window in collected.windows:
            throttled = sum(row["throttled_ns"] for row in window.throttled.to_pylist())
            assert throttled == window.summary["throttled_ns"][0].as_py()
        # It was runnable all the while: to the scheduler, and so to us, it had lost its CPU.
        assert collected.sum("preempt_wait_ns", tid=hog.pid) > 0.8 * told
