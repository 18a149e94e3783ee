"""Filters inside a guest: each selects exactly its tasks, and the totals include all others."""

import subprocess

from observe import collecting

from schedtel.host.cgroups import cgroup_root
from schedtel.windows import invariants as laws

NOBODY = 65534
WINDOW = "1s"
#: The tasks of a job: the shell, a program that forks twenty children, and two more programs.
CHILDREN = 20
TASKS = 1 + 1 + CHILDREN + 2


def check_filters(options):
    """Returns the names of the filters. One collector at a time: each slows a guest down, and they differ by it."""
    cgroup = cgroup_root() / "schedtel-guest"
    cgroup.mkdir(exist_ok=True)
    jobs = {
        "cgroup": waiting_job(before=f"echo $$ > {cgroup}/cgroup.procs;"),
        "pid": waiting_job(),
        "comm": waiting_job("renamed-load"),
        "uid": waiting_job(user=NOBODY),
    }
    filters = {"cgroup": f"/{cgroup.name}", "pid": jobs["pid"].pid, "comm": "renamed-load", "uid": NOBODY}
    for name, job in jobs.items():
        with collecting(WINDOW, **{name: filters[name]}, **options) as view:
            job.stdin.write(b"go\n")
            job.stdin.close()
            assert job.wait(timeout=300) == 0
        try:
            judge(name, filters[name], view)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    return " ".join(filters)


def waiting_job(program="schedtel-load", before="", **options):
    """A shell that waits for a line, then runs a program three times, which also forks."""
    script = f"{before} read go; {program} storm {CHILDREN}; {program} spin 0.2; {program} sleep 0.1; true"
    return subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, **options)


def judge(name, value, view):
    rows = [row for row in view.rows() if row["tid"]]
    tasks = {(row["tid"], row["start_boottime_ns"]) for row in rows}
    expected = TASKS - 1 if name == "comm" else TASKS  # the shell has another name
    # A life has no row where the kernel withheld all of its events; schedtel counts that.
    missed = sum(window.losses["programs_skipped"] for window in view.windows)
    assert expected - missed <= len(tasks) <= expected, f"{len(tasks)} tasks and not {expected}"
    if name == "pid":
        assert value in {row["tid"] for row in rows}, "the shell of the job is missing"
    else:
        assert {row[name] for row in rows} == {value}, f"it selects others too: { ({row[name] for row in rows}) }"
    # Tasks that the filter leaves out are in the row `other`: all CPU time is accounted for.
    broken = [
        (window.window_id, finding, window.losses)
        for window in view.windows
        for finding in laws.check(window)
        if not finding.holds
    ]
    assert not broken, str(broken)
