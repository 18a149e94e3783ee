"""What became of a workload's jobs, and the windows of the run, in; the figures of the run out.

Only jobs of open classes count, where there are any: the jobs of a closed class, such as the next piece of a hog's
work, arrive when the one before has ended, so a better scheduler gives it more of them. Jobs that arrive within the
settle time do not count. A workload of programs of others alone has no jobs, so the lives of their tasks are taken for
jobs. A job that had not ended, or not begun, when the run was over counts with its age: its true
time is longer, and to leave it out would favour a scheduler that starves it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from schedtel.analysis.lifetimes import AFTER, WHOLE, lifetimes
from schedtel.durations import NS_PER_S
from schedtel.records.histogram import between_edges_ns, percentile_ns
from schedtel.windows import tables
from schedtel.windows.metrics import fairness
from schedtel.windows.window import Window
from schedtel.workloads.outcome import Outcome, quantile

_SUMMED = ("cpu_ns", "wait_ns", "voluntary_switches", "involuntary_switches", "migrations")


def figures_of_jobs(outcome: Outcome, settle_ns: int) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The figures of all jobs that count, and those of each class by its name. Times in ns; none for a lack of jobs."""
    by_class = {c.name: _times(outcome, number, settle_ns) for number, c in enumerate(outcome.plan.workload.classes)}
    is_open = {c.name: c.arrival.is_open for c in outcome.plan.workload.classes}
    counting = [times for name, times in by_class.items() if is_open[name] or not any(is_open.values())]
    together = [np.concatenate(parts) for parts in zip(*counting, strict=True)] if counting else []
    return _figures(together), {name: _figures(times) for name, times in by_class.items()}


def _times(outcome: Outcome, number: int, settle_ns: int) -> list[np.ndarray]:
    """Turnaround and response times of the class's jobs, and whether each has completed: three arrays."""
    first = sum(outcome.plan.counts[:number])
    jobs = outcome.plan.of_class(number)
    records = outcome.records[first : first + len(jobs)]
    begin, end = (int(outcome.facts[name]) for name in ("started_ns", "ended_ns"))
    is_open = outcome.plan.workload.classes[number].arrival.is_open
    due = begin + jobs["at_ns"] if is_open else records["released_ns"]
    counts = (due >= begin + settle_ns) & (due < end) & (is_open | (records["started_ns"] > 0))
    due, records = due[counts], records[counts]
    ended, started = (np.where(records[name] > 0, records[name], end) for name in ("ended_ns", "started_ns"))
    return [np.maximum(ended - due, 0), np.maximum(started - due, 0), records["ended_ns"] > 0]


def _figures(times: Sequence[np.ndarray]) -> dict[str, float]:
    if not times or not len(times[0]):
        return {}
    tat, rt, completed = times
    return {
        "tat_mean_ns": float(tat.mean()),
        "tat_p99_ns": float(quantile(tat, 0.99) or 0),
        "rt_mean_ns": float(rt.mean()),
        "rt_p99_ns": float(quantile(rt, 0.99) or 0),
        "jobs_completed": float(completed.sum()),
        "jobs_counted": float(len(completed)),
    }


def figures_of_lives(windows: Sequence[Window], is_ours: Callable[[str], bool]) -> dict[str, float]:
    """The figures of a workload whose jobs are the lives of its tasks: those that began in the windows.

    :param is_ours: whether a command name is that of a task of the workload.
    """
    lives = [life for life in lifetimes(windows).table.to_pylist() if life["life"] in (WHOLE, AFTER)]
    ours = [life for life in lives if is_ours(life["comm"])]
    end = windows[-1].end_ns if windows else 0
    ages = [end - life["arrival_ns"] for life in ours]
    tat = [age if life["tat_ns"] is None else life["tat_ns"] for life, age in zip(ours, ages, strict=True)]
    rt = [age if life["rt_ns"] is None else life["rt_ns"] for life, age in zip(ours, ages, strict=True)]
    return _figures([np.array(tat), np.array(rt), np.array([life["life"] == WHOLE for life in ours])])


def figures_of_cpus(windows: Sequence[Window]) -> dict[str, dict[str, float]]:
    """CPU number → its figures over all windows, of all tasks that ran on it: the windows have no more of a CPU."""
    found: dict[int, np.ndarray] = {}
    waits: dict[int, np.ndarray] = {}
    for window in windows:
        sums = np.array([tables.column(window.cpus, name) for name in ("busy_ns", "switches")]).T
        histograms = tables.histograms(window.cpus, "wait_histogram").astype(np.int64)
        for row, cpu in enumerate(tables.column(window.cpus, "cpu").tolist()):
            found[cpu] = found.get(cpu, 0) + sums[row]
            waits[cpu] = waits.get(cpu, 0) + histograms[row]
    length_ns = sum(window.end_ns - window.start_ns for window in windows)
    return {str(cpu): _of_cpu(found[cpu], waits[cpu], length_ns) for cpu in sorted(found)}


def _of_cpu(sums: np.ndarray, waits: np.ndarray, length_ns: int) -> dict[str, float]:
    """The figures of a CPU by time, because windows also cover the moments before and after the workload."""
    busy_ns, switches = sums
    figures = {"core_busy_share": float(busy_ns / length_ns)}
    counts = {"core_switches_per_s": switches, "core_waits_per_s": waits.sum()}
    figures |= {name: float(count * NS_PER_S / length_ns) for name, count in counts.items()}
    for name, share in (("core_wait_p50_ns", 0.5), ("core_wait_p99_ns", 0.99)):
        value = percentile_ns(waits, share)
        figures |= {} if value is None else {name: float(value)}
    return figures


def figures_of_tasks(windows: Sequence[Window], is_ours: Callable[[str], bool]) -> dict[str, float]:
    """The figures of the workload's tasks over all windows; empty where no task of it had a row.

    :param is_ours: whether a command name is that of a task of the workload.
    """
    tasks: dict[tuple[int, int], np.ndarray] = {}
    kinds: dict[tuple[int, int], tuple[int, int]] = {}
    for window in windows:
        for row, key, sums in _rows(window, is_ours):
            tasks[key] = tasks.get(key, np.zeros(len(_SUMMED), np.int64)) + sums
            kinds[key] = (int(_column(window, "weight")[row]), int(_column(window, "policy")[row]))
    if not tasks:
        return {}
    cpu, wait, voluntary, involuntary, migrations = np.array(list(tasks.values())).T
    weight, policy = np.array(list(kinds.values())).T
    even = fairness(cpu, wait, weight, policy)
    found = {
        "cpu_ns": float(cpu.sum()),
        "switches": float(voluntary.sum() + involuntary.sum()),
        "migrations": float(migrations.sum()),
    }
    shares = {"share_cv": even.cv, "share_jain": even.jain}
    return found | {name: value for name, value in shares.items() if value is not None}


def _column(window: Window, name: str) -> np.ndarray:
    return tables.column(window.tasks, name)


def _rows(window: Window, is_ours: Callable[[str], bool]) -> Any:
    """Row number, identity and sums of each task of the workload."""
    comms = window.tasks.column("comm").to_pylist()
    tids, starts = _column(window, "tid"), _column(window, "start_boottime_ns")
    sums = np.array([_column(window, name) for name in _SUMMED]).T
    for row, comm in enumerate(comms):
        if tids[row] and is_ours(comm):
            yield row, (int(tids[row]), int(starts[row])), sums[row]


def figures_of_waits(windows: Sequence[Window], is_ours: Callable[[str], bool]) -> dict[str, float]:
    """The waits of the workload's tasks for a CPU, over all windows, in ns; empty where none of them waited.

    The mean is exact. A task's histogram has two buckets an octave, so quantiles are read between a bucket's edges.

    :param is_ours: whether a command name is that of a task of the workload.
    """
    counts, total_ns = np.zeros(1, np.int64), 0
    for window in windows:
        ours = np.array([is_ours(comm) for comm in window.tasks.column("comm").to_pylist()], bool)
        counts = counts + tables.histograms(window.tasks, "wait_histogram")[ours].sum(axis=0, dtype=np.int64)
        total_ns += int(_column(window, "wait_ns")[ours].sum())
    if not counts.sum():
        return {}
    found = {f"wait_p{percent}_ns": between_edges_ns(counts, percent / 100) or 0.0 for percent in (50, 95, 99)}
    return {"wait_mean_ns": total_ns / int(counts.sum())} | found
