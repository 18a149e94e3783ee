"""Counters inside a guest: what perf events count of a child, and what the kernel books of it."""

import os
import subprocess
import sys

import schedtel

PAGES = 500
EVENTS = ("page-faults", "minor-faults", "context-switches", "task-clock")
#: Faults by which an exec copies its arguments are booked, and are no event.
FEW = 40
TOUCH = f"""
import mmap, time
pages = mmap.mmap(-1, {PAGES * 4096})
pages.madvise(mmap.MADV_NOHUGEPAGE)
for at in range(0, {PAGES * 4096}, 4096):
    pages[at] = 1
for _ in range(50):
    time.sleep(0.001)
"""


def check_counters(options):
    """Page faults and context switches are those that wait4(2) tells. Returns the events."""
    with schedtel.live("10m", duration="10m", counters=EVENTS, **options) as source:
        child = subprocess.Popen([sys.executable, "-S", "-c", TOUCH])
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        source.stop()
        (window,) = list(source)
    assert child.returncode == 0
    rows = [row for row in window.counters.to_pylist() if row["tid"] == child.pid]
    counts = {row["event"]: row["count"] for row in rows}
    assert PAGES <= counts["minor-faults"] <= counts["page-faults"], counts
    assert abs(counts["minor-faults"] - usage.ru_minflt) <= FEW, f"{counts}, booked {usage.ru_minflt}"
    switches = usage.ru_nvcsw + usage.ru_nivcsw
    assert abs(counts["context-switches"] - switches) <= 2, f"{counts}, booked {switches}"
    assert counts["task-clock"] > 0
    return f"{' '.join(EVENTS)}, cycles {hardware(options)}"


def hardware(options):
    try:
        schedtel.live("1s", counters="cycles", **options).close()
    except schedtel.CapabilityError as refusal:
        return f"refused: {refusal}"
    return "counted"
