"""A window in; a finding for each law that must hold for it out.

The laws have the numbers of docs/meaning.md. Law 4, agreement with the kernel's own accounting, needs tasks whose
accounting the kernel still shows: :mod:`schedtel.doctor.verify` checks it with child processes of its own. The tests
check law 6, filters.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schedtel.windows import tables
from schedtel.windows.arrow import from_numpy, valid
from schedtel.windows.wait_table import MOST_WAITS
from schedtel.windows.window import Window

#: Where a CPU's time is that no task has in its row.
_WITHOUT_TASKS = ("idle_ns", "teardown_ns", "untracked_ns", "offline_ns")
#: A program that is held up at an edge counts in the window after it, with the time that it took before. A hypervisor
#: may take its CPU away at that moment, for a while.
_HELD_UP_NS = 1_000_000_000


@dataclass(frozen=True)
class Finding:
    """Whether one law holds for one window (or child), and the figure that it was judged by."""

    law: str
    holds: bool
    figure: str


def check(window: Window, previous: Window | None = None) -> list[Finding]:
    """Check laws 1, 2, 3, 7, 8, 9 and 10 for one window, and law 5 if the window before it is given.

    Law 9 says more if the window before is given, and nothing about recordings that lack ``open_wait_ns``.
    Law 8 needs the table ``preemptions``: the finding says nothing about a window that was collected without it.
    Law 10 needs the table ``waits`` likewise.
    """
    findings = [_times_add_up(window), _cpus_add_up(window), _lives_are_possible(window), _nothing_lost(window)]
    findings += [_preemptions_add_up(window), _open_waits_are_possible(window, previous), _longest_waits_told(window)]
    return findings if previous is None else [*findings, _windows_tile(previous, window)]


def _times_add_up(window: Window) -> Finding:
    parts = (tables.column(window.tasks, name) for name in ("cpu_ns", "wait_ns", "blocked_ns"))
    off = np.abs(sum(parts) - tables.column(window.tasks, "alive_ns"))
    worst = int(off.max(initial=0))
    return Finding("1 cpu + wait + blocked = alive", worst == 0, f"{len(off)} rows, largest difference {worst} ns")


def _cpus_add_up(window: Window) -> Finding:
    """Over all CPUs, the time of tasks (alive, in tear-down, or hidden from us), idle and offline time fill the window.

    Each CPU by itself is busy, idle or offline, to the nanosecond.
    """
    ran = int(tables.column(window.tasks, "cpu_ns").sum())
    rest = sum(int(tables.column(window.cpus, name).sum()) for name in _WITHOUT_TASKS)
    length = window.end_ns - window.start_ns
    available = length * window.cpus.num_rows
    off = ran + rest - available
    busy, idle, offline = (tables.column(window.cpus, name) for name in ("busy_ns", "idle_ns", "offline_ns"))
    return Finding(
        "2 task CPU + idle = window x CPUs",
        abs(off) <= available / 1000 and bool((busy + idle + offline == length).all()),
        f"difference {off} ns of {available}",
    )


def _lives_are_possible(window: Window) -> Finding:
    completed = window.tasks.filter(pc.is_valid(window.tasks["tat_ns"]))
    tat = tables.column(completed, "tat_ns")
    wrong = (tables.column(completed, "total_cpu_ns") > tat) | (tables.column(completed, "rt_ns") > tat)
    return Finding("3 CPU <= TAT, RT <= TAT", not wrong.any(), f"{len(tat)} completed, {int(wrong.sum())} impossible")


def _windows_tile(previous: Window, window: Window) -> Finding:
    gap = window.start_ns - previous.end_ns
    return Finding("5 windows tile time", gap == 0, f"gap {gap} ns")


def _preemptions_add_up(window: Window) -> Finding:
    """Waits by pair of victim and preemptor are the samples of preempt wait.

    Pairs of the victim ``other`` may be of tasks that the filter leaves out, whose waits are no samples of the summary.
    If there are such pairs, the samples lie between the waits without them and the waits with them.
    """
    counts, waits = (tables.column(window.preemptions, name) for name in ("count", "wait_ns"))
    other = np.array([victim == tables.OTHER_COMM for victim in window.preemptions["victim"].to_pylist()], bool)
    samples = window.metrics.preempt_wait
    sum_ns = samples.count * (samples.mean_ns or 0)  # exact up to the rounding of the mean
    exact = counts.sum() == samples.count and abs(int(waits.sum()) - sum_ns) <= samples.count
    bounded = counts[~other].sum() <= samples.count <= counts.sum() and waits[~other].sum() <= sum_ns + samples.count
    figure = f"{int(counts.sum())} waits by {len(counts)} pairs, {samples.count} samples"
    return Finding("8 waits by preemptor = preempt waits", bool(bounded if other.any() else exact), figure)


def _open_waits_are_possible(window: Window, previous: Window | None) -> Finding:
    """A wait that goes on past the window's end began after its task's arrival; and see :func:`_open_waits_broken_off`.

    Where events were missed, samples discarded or tasks not followed, the wait of the window before is not judged.
    """
    tasks = window.tasks
    age, arrival = (tables.column(tasks, name) for name in ("open_wait_ns", "arrival_ns"))
    wrong = valid(tasks["arrival_ns"]) & (age > 0) & (age > window.end_ns - arrival)
    judged = valid(tasks["open_wait_ns"]) & ~tables.is_other(tasks)
    wrong |= judged & ((age > 0) != (tables.column(tasks, "waits_unfinished") > 0))
    count = int(wrong.sum())
    if previous is not None and previous.end_ns == window.start_ns and not any(window.losses.values()):
        count += _open_waits_broken_off(previous, window)
    open_ = int((judged & (age > 0)).sum())
    return Finding("9 open waits grow until they end", count == 0, f"{open_} waits go on, {count} impossible")


def _open_waits_broken_off(previous: Window, window: Window) -> int:
    """How many waits that went on past the previous window's end neither grew by the window nor ended longer in it."""
    before, now = _lasting(previous), _lasting(window)
    _, i, j = np.intersect1d(tables.column(before, "tid"), tables.column(now, "tid"), return_indices=True)
    was, age, longest = (
        tables.column(tasks, name)[at]
        for tasks, name, at in ((before, "open_wait_ns", i), (now, "open_wait_ns", j), (now, "max_wait_ns", j))
    )
    ended = tables.histograms(now, "wait_histogram")[j].any(axis=1)
    judged = (was > 0) & valid(now["open_wait_ns"])[j] & (tables.column(now, "arrival_ns")[j] < window.start_ns)
    wrong = np.where(ended, longest < was, age != was + window.end_ns - window.start_ns)
    return int((judged & wrong).sum())


def _longest_waits_told(window: Window) -> Finding:
    """The table ``waits`` has the longest waits of the summary and of ``tasks``, each in its window, longest first."""
    waits, lost = window.waits, any(window.losses.values())
    goes_on, known = tables.column(waits, "goes_on").astype(bool), valid(waits["wait_start_ns"])
    length, start = (tables.column(waits, name) for name in ("wait_ns", "wait_start_ns"))
    end = start + length
    outside = np.where(goes_on, end != window.end_ns, (end > window.end_ns) | (end < window.start_ns - _HELD_UP_NS))
    count = int((known & outside).sum() + (np.diff(length) > 0).sum() + (length <= 0).sum())
    count += len(length) > MOST_WAITS
    if len(length) and not lost:
        count += _longest_missing(window, length, goes_on) + _ages_that_differ(window, length, goes_on & known)
    figure = f"{len(length)} told, {int(goes_on.sum())} of them go on, {count} impossible"
    return Finding("10 the longest waits are told", count == 0, figure)


def _longest_missing(window: Window, length: np.ndarray, goes_on: np.ndarray) -> int:
    """How many are missing of the longest wait that ended and the longest that goes on, or are another one."""
    cut = int(length[-1]) if len(length) == MOST_WAITS else 0
    ended, open_ = (int(length[which].max(initial=0)) for which in (~goes_on, goes_on))
    samples = max(window.metrics.wakeup_wait.max_ns or 0, window.metrics.preempt_wait.max_ns or 0)
    oldest = int(tables.column(window.tasks, "open_wait_ns")[~tables.is_other(window.tasks)].max(initial=0))
    # A task without a row, for want of activity, may have waits.
    return int(ended != samples and not (ended == 0 and samples <= cut)) + int(oldest > max(open_, cut))


def _ages_that_differ(window: Window, length: np.ndarray, goes_on: np.ndarray) -> int:
    """How many waits that go on have another age than in the task's row."""
    judged = valid(window.tasks["open_wait_ns"])
    tids, ages = (tables.column(window.tasks, name)[judged] for name in ("tid", "open_wait_ns"))
    told = zip(tables.column(window.waits, "tid")[goes_on].tolist(), length[goes_on].tolist(), strict=True)
    return sum(bool((tids == tid).any() and not (ages[tids == tid] == age).any()) for tid, age in told)


def _lasting(window: Window) -> pa.RecordBatch:
    """The rows of tasks that their tid names: not those of a tid that has passed to another task in the window."""
    tids, counts = np.unique(tables.column(window.tasks, "tid"), return_counts=True)
    alone = np.isin(tables.column(window.tasks, "tid"), tids[(counts == 1) & (tids != tables.OTHER_TID)])
    return window.tasks.filter(from_numpy(alone & ~valid(window.tasks["previous_tid"])))


def _nothing_lost(window: Window) -> Finding:
    lost = {name: count for name, count in window.losses.items() if count}
    return Finding("7 losses are counted", True, ", ".join(f"{n} {k}" for k, n in lost.items()) or "none")
