"""Filters inside a guest: one run, seen through each filter and through none at the same time."""

import contextlib
import subprocess
import time

from observe import collecting

from schedtel import tables
from schedtel.filters import cgroup_root

NOBODY = 65534
COUNTS = ("voluntary_switches", "involuntary_switches", "wakeups", "bursts")
TIMES = ("cpu_ns", "wait_ns")
WINDOW = "1s"
WINDOW_NS = 10**9
EDGES = 3
#: What a job is made of: the shell, a program that forks twenty children, and two more.
CHILDREN = 20
TASKS = 1 + 1 + CHILDREN + 2


def check_filters(options):
    """Each filter takes exactly the tasks it names, and changes no total. Returns the names of the filters."""
    cgroup = cgroup_root() / "schedtel-guest"
    cgroup.mkdir(exist_ok=True)
    jobs = {
        "cgroup": waiting_job(before=f"echo $$ > {cgroup}/cgroup.procs;"),
        "pid": waiting_job(),
        "comm": waiting_job("renamed-load"),
        "uid": waiting_job(user=NOBODY),
    }
    filters = {"cgroup": f"/{cgroup.name}", "pid": jobs["pid"].pid, "comm": "renamed-load", "uid": NOBODY}
    everything, views = observe(jobs.values(), filters, options)
    for name, view in views.items():
        try:
            judge(name, filters[name], view, everything)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    return " ".join(filters)


def waiting_job(program="schedtel-load", before="", **options):
    """A shell that waits for a line, then runs a program three times, which also forks."""
    script = f"{before} read go; {program} storm {CHILDREN}; {program} spin 0.2; {program} sleep 0.1; true"
    return subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, **options)


def observe(jobs, filters, options):
    """Let the jobs run under a collector for each filter and one without; returns that one, and the others by name."""
    with contextlib.ExitStack() as collectors:
        everything = collectors.enter_context(collecting(WINDOW, **options))
        views = {
            name: collectors.enter_context(collecting(WINDOW, **{name: value}, **options))
            for name, value in filters.items()
        }
        sleep_past_edges()
        for job in jobs:
            job.stdin.write(b"go\n")
            job.stdin.close()
        assert [job.wait(timeout=120) for job in jobs] == [0] * len(jobs)
        sleep_past_edges()
    return everything, views


def sleep_past_edges():
    """Until a few edges of the windows have passed: one will be shared even where a collector is held up."""
    time.sleep((EDGES * WINDOW_NS - time.monotonic_ns() % WINDOW_NS) / 1e9 + 0.2)


def judge(name, value, view, everything):
    rows = [row for row in view.rows() if row["tid"]]
    tasks = {identity(row) for row in rows}
    expected = TASKS - 1 if name == "comm" else TASKS  # the shell has another name
    assert len(tasks) == expected, f"{len(tasks)} tasks and not {expected}"
    if name == "pid":
        assert value in {row["tid"] for row in rows}, "its shell is not there"
    else:
        assert {row[name] for row in rows} == {value}, f"others too: { ({row[name] for row in rows}) }"
    same = [row for row in everything.rows() if identity(row) in tasks]
    missed = sum(sum(window.losses.values()) for c in (view, everything) for window in c.windows)
    sums = {column: [sum(row[column] for row in side) for side in (rows, same)] for column in COUNTS + TIMES}
    assert_close(sums, missed)
    first, last = shared_span(view, everything)
    sums = {column: [total(c, column, first, last) for c in (view, everything)] for column in COUNTS + TIMES}
    assert_close(sums, missed)


def identity(row):
    return row["tid"], row["start_boottime_ns"]


def shared_span(*collectors):
    """The first and the last edge that all have: they began and ended a moment apart."""
    shared = set.intersection(*({w.start_ns for w in c.windows} | {c.windows[-1].end_ns} for c in collectors))
    assert len(shared) > 1, "no window in common"
    return min(shared), max(shared)


def total(collected, column, first, last):
    windows = [w for w in collected.windows if first <= w.start_ns and w.end_ns <= last]
    return sum(int(tables.column(window.tasks, column).sum()) for window in windows)


def assert_close(sums, missed):
    """Each collector takes its own time stamps, one after another: an event at an edge may fall on either side.

    Each may also miss events of its own. Where that was an exit, the switches of the tear-down belong to the life.
    """
    for column, (filtered, unfiltered) in sums.items():
        room = 0.05 * unfiltered + 10_000_000 if column in TIMES else 6 + 20 * missed
        assert abs(filtered - unfiltered) <= room, f"{column} is {filtered} with and {unfiltered} without the filter"
