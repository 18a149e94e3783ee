"""Preemptions and throttling of real cgroups on one CPU, against samples and the kernel's own accounting."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest
from bcc_here import mounted_tracefs
from observe import await_edges, collecting, common_span, judge
from surroundings import limit, made_cgroup
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.errors import CapabilityError
from schedtel.host.cgroups import cgroup_root, cpu_hierarchy
from schedtel.records import layout
from schedtel.windows import tables

BACKENDS = ("core", "bcc")


@pytest.fixture
def two_cgroups():
    """Two cgroups, ``/schedtel-…-a`` and ``-b``."""
    try:
        root = cgroup_root()
    except CapabilityError as error:
        pytest.skip(str(error))
    with made_cgroup(root / f"schedtel-{os.getpid()}-a") as a, made_cgroup(root / f"schedtel-{os.getpid()}-b") as b:
        yield a, b


def traceable(backend):
    return mounted_tracefs() if backend == "bcc" else nullcontext()


@contextmanager
def rivals(start, cpu, cgroups):
    """Starts a gated hog in each cgroup, all on one CPU; returns the processes, which are killed at the end."""
    hogs = [start("spin", 600, cpu=cpu, gated=True) for _ in cgroups]
    for hog, cgroup in zip(hogs, cgroups, strict=True):
        (cgroup / "cgroup.procs").write_text(str(hog.pid))
        if len(os.sched_getaffinity(0)) > 1:  # the collector needs a CPU as well
            with suppress(PermissionError):  # so that it is each other to which they lose their CPU
                os.setpriority(os.PRIO_PROCESS, hog.pid, -20)
    try:
        yield hogs
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def pairs_of(windows):
    """(victim, preemptor) → count and wait, over these windows."""
    found = {}
    for window in windows:
        for row in window.preemptions.to_pylist():
            count, wait = found.get((row["victim"], row["preemptor"]), (0, 0))
            found[row["victim"], row["preemptor"]] = (count + row["count"], wait + row["wait_ns"])
    return found


def assert_adds_up(window, *, filtered=False):
    """The rows of selected victims add up to the samples of the summary; without a filter, all rows do."""
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
            with rivals(start, last_cpu, two_cgroups) as hogs:
                collected.await_windows(2)  # bcc learns their cgroups in the next window
                since, begun_ns = len(collected.windows), time.monotonic_ns()
                for hog in hogs:
                    hog.stdin.close()
                collected.await_windows(4)
                eventually(lambda: all(preempted(collected.windows[since:], pair) > 20 for pair in ((a, b), (b, a))))
            ran_ns = time.monotonic_ns() - begun_ns
        return collected, hogs, since, ran_ns

    def verdict(collected, hogs, since, ran_ns):
        for window in collected.windows:
            assert_adds_up(window)
        pairs = pairs_of(collected.windows[since:])
        for victim, hog in zip((a, b), hogs, strict=True):
            lost = [figures for pair, figures in pairs.items() if pair[0] == victim]
            rows = [row for row in collected.rows(tid=hog.pid) if row["window_id"] > since]
            told = {name: sum(row[name] for row in rows) for name in ("involuntary_switches", "preempt_wait_ns")}
            # The last wait may not have ended when the task was killed.
            assert 0 <= told["involuntary_switches"] - sum(count for count, _ in lost) <= 1
            assert 0.2 * ran_ns < sum(wait for _, wait in lost) <= told["preempt_wait_ns"] < ran_ns

    judge(observe, verdict)


def preempted(windows, pair):
    """How often this victim lost its CPU to this preemptor."""
    return pairs_of(windows).get(pair, (0, 0))[0]


def test_a_filter_names_its_victims_and_keeps_the_totals(start, last_cpu, two_cgroups):
    a, b = (f"/{cgroup.name}" for cgroup in two_cgroups)

    def observe():
        with (
            collecting("100ms", cgroup=a) as filtered,
            collecting("100ms") as everything,
            rivals(start, last_cpu, two_cgroups) as hogs,
        ):
            await_edges(filtered, everything)
            for hog in hogs:
                hog.stdin.close()
            for pair in ((a, b), (b, a)):
                eventually(lambda pair=pair: preempted(everything.windows, pair) > 20)
            await_edges(filtered, everything)
        return filtered, everything

    def verdict(filtered, everything):
        for window in filtered.windows:
            assert_adds_up(window, filtered=True)
        assert {victim for victim, _ in pairs_of(filtered.windows)} == {a, tables.OTHER_COMM}
        ours, theirs = (
            sum(int(tables.column(window.preemptions, "count").sum()) for window in windows)
            for windows in common_span(filtered, everything)
        )
        assert ours > 20
        # A wait that began before tracing has no sample; there is at most one such wait for each CPU.
        assert abs(ours - theirs) <= 2 + os.cpu_count()

    judge(observe, verdict)


def test_more_pairs_than_a_table_has_room_for_are_folded_and_counted(start, last_cpu):
    """Two tasks yield to each other, each time under another name. (bcc reads a name once in a window.)"""
    with collecting("24h", backend="core", preemptions="comm") as collected:
        assert start("rename", 3000, cpu=last_cpu).wait(timeout=PATIENCE_S) == 0
    for window in collected.windows:
        assert_adds_up(window)
    pairs = pairs_of(collected.windows)
    assert pairs[tables.OTHER_COMM, tables.OTHER_COMM][0] > 1000
    named = [pair for pair in pairs if all(name.startswith("name-") for name in pair)]
    assert len(pairs) > 100, "other tasks on that CPU take places too"
    assert 0 < len(named) <= 2 * layout.PREEMPTION_PAIRS


def test_off_tells_nothing(start, last_cpu):
    with collecting("200ms", preemptions="off") as collected:
        for hog in [start("spin", 0.3, cpu=last_cpu) for _ in range(2)]:
            hog.wait(timeout=PATIENCE_S)
    assert collected.total("involuntary_switches") > 0
    assert pairs_of(collected.windows) == {}


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_recording_says_what_preemptions_were_told_by(tmp_path, scheme):
    record = [sys.executable, "-m", "schedtel.cli", "record", "-q", "-w", "100ms", "-n", "1", "--preemptions", "off"]
    subprocess.run([*record, "-o", f"{scheme}{tmp_path}/off"], check=True)
    recording = schedtel.read(tmp_path / "off")
    assert recording.metadata["preemptions"] == "off"
    assert not recording.has_rows("preemptions")


def throttled(cgroup):
    """The kernel's own accounting: throttled for how many ns (version 2 counts us), and in how many periods."""
    stat = dict(line.split() for line in (cgroup / "cpu.stat").read_text().splitlines())
    ns = int(stat.get("throttled_time", 1000 * int(stat.get("throttled_usec", 0))))
    return ns, int(stat["nr_throttled"])


def throttled_in_rows(collected, cgroup):
    rows = [row for window in collected.windows for row in window.throttled.to_pylist()]
    mine = [row for row in rows if row["cgroup"] == f"/{cgroup.name}"]
    return tuple(sum(row[name] for row in mine) for name in ("throttled_ns", "throttled_periods"))


def test_a_throttled_cgroup_is_named_with_the_time_the_kernel_counts(start, last_cpu):
    """A hog that wants a whole CPU gets a twentieth of it."""
    root = cpu_hierarchy()
    if root is None:
        pytest.skip("needs a cgroup hierarchy with the cpu controller")
    with made_cgroup(Path(root) / f"schedtel-{os.getpid()}-limited") as limited:
        limit(limited, 0.05)
        with collecting("500ms") as collected:
            hog = start("spin", 600, cpu=last_cpu)
            (limited / "cgroup.procs").write_text(str(hog.pid))
            eventually(lambda: throttled(limited)[0] > 1_000_000_000)
            hog.kill()
            hog.wait()
            # schedtel looks for new limits once a second.
            eventually(lambda: throttled_in_rows(collected, limited) == throttled(limited))
        told, _ = throttled(limited)
        assert throttled_in_rows(collected, limited) == throttled(limited)
        for window in collected.windows:
            by_cgroup = sum(row["throttled_ns"] for row in window.throttled.to_pylist())
            assert by_cgroup == window.summary["throttled_ns"][0].as_py()
        # The hog was runnable all the while: for the scheduler, and so for schedtel, it had lost its CPU.
        assert collected.sum("preempt_wait_ns", tid=hog.pid) > 0.8 * told
