"""Figures of a run whose jobs and windows were made up: what must come out can be added up on paper."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from samples import replaced

from schedtel.experiments.at_birth import is_whole, treated
from schedtel.experiments.outcomes import (
    figures_of_cpus,
    figures_of_jobs,
    figures_of_lives,
    figures_of_tasks,
    figures_of_waits,
)
from schedtel.records.layout import TASK_BUCKETS
from schedtel.schedulers.names import parse_arm
from schedtel.workloads.generator import RECORD
from schedtel.workloads.outcome import Outcome
from schedtel.workloads.plan import JOB, Plan
from schedtel.workloads.spec import parse_workload

MS = 1_000_000
BEGIN, END = 1_000 * MS, 2_000 * MS
WORKLOAD = parse_workload(
    """
duration = "1s"
[classes.job]
arrival = { kind = "poisson", rate = 5 }
service = "5ms"
[classes.hog]
arrival = "closed"
service = "10ms"
""",
    "made up",
)


def outcome_of(jobs, hogs=(), workload=WORKLOAD):
    """A run. ``jobs``: planned moment, start, end in ms after the begin, or None; ``hogs``: release, start, end."""
    plan, records = np.zeros(len(jobs) + len(hogs), JOB), np.zeros(len(jobs) + len(hogs), RECORD)
    for number, (at, started, ended) in enumerate([*jobs, *hogs]):
        is_hog = number >= len(jobs)
        plan[number] = (0 if is_hog else at * MS, 5 * MS, int(is_hog), 0 if is_hog else -1)
        moments = [0 if moment is None else BEGIN + moment * MS for moment in (at, started, ended)]
        records[number] = (*moments, 5 * MS)
    facts = {"started_ns": BEGIN, "ended_ns": END, "released": len(jobs), "interrupted": False}
    return Outcome(Plan(workload, plan, (len(jobs), len(hogs))), records, facts, 100.0)


def test_times_are_from_the_planned_moment_and_hogs_do_not_count():
    together, classes = figures_of_jobs(outcome_of([(100, 101, 106), (200, 203, 210)], [(0, 0, 50), (50, 50, 90)]), 0)
    assert together == {
        "tat_mean_ns": 8 * MS,
        "tat_p99_ns": 10 * MS,
        "rt_mean_ns": 2 * MS,
        "rt_p99_ns": 3 * MS,
        "jobs_completed": 2,
        "jobs_counted": 2,
    }
    assert classes["hog"]["tat_mean_ns"] == 45 * MS


def test_a_job_that_was_starved_counts_with_its_age():
    """One that never began has been waiting for 900 ms, one that never ended is 800 ms old."""
    together, _ = figures_of_jobs(outcome_of([(100, None, None), (200, 250, None)]), 0)
    assert together["rt_mean_ns"] == (900 + 50) / 2 * MS
    assert together["tat_mean_ns"] == (900 + 800) / 2 * MS
    assert (together["jobs_completed"], together["jobs_counted"]) == (0, 2)


def test_jobs_that_arrive_while_the_run_settles_do_not_count():
    together, _ = figures_of_jobs(outcome_of([(99, 500, 600), (100, 101, 106)]), 100 * MS)
    assert (together["tat_mean_ns"], together["jobs_counted"]) == (6 * MS, 1)


def test_no_job_has_no_figures():
    assert figures_of_jobs(outcome_of([]), 0) == ({}, {"job": {}, "hog": {}})


def with_two_tasks(window, **columns):
    """The window with two tasks of the name job, with these values, and one of another name that took as much."""
    named = {"comm": ["job", "job", "other"], "tid": [10, 11, 12], "start_boottime_ns": [7] * 3}
    values = {name: [*two, 60 * MS] for name, two in columns.items()}
    return replace(window, tasks=replaced(window.tasks.take(pa.array([0, 0, 0])), **named, **values))


def test_tasks_are_added_up_over_windows_and_shares_are_of_the_whole_run(windows):
    """In any window alone one of the two tasks is ahead; over the whole run both have half of what they asked for."""
    made = [
        with_two_tasks(windows[0], cpu_ns=[30 * MS, 0], wait_ns=[0, 30 * MS]),
        with_two_tasks(windows[1], cpu_ns=[0, 30 * MS], wait_ns=[30 * MS, 0]),
    ]
    figures = figures_of_tasks(made, "job".__eq__)
    assert figures["cpu_ns"] == 60 * MS
    assert figures["share_jain"] == pytest.approx(1)
    assert figures["share_cv"] == pytest.approx(0)
    assert figures_of_tasks(made, "no such".__eq__) == {}


def histogram(**counts):
    """A task's histogram with so many samples in buckets, by number."""
    found = [0] * TASK_BUCKETS
    for bucket, count in counts.items():
        found[int(bucket[1:])] = count
    return found


def test_waits_are_those_of_the_workloads_tasks(windows):
    """30 waits in [512, 1024) ns and 10 in [1024, 1536); another task's do not count. Half are below the 20th."""
    counts = [histogram(b1=10), histogram(b1=20, b2=10), histogram(b9=100)]
    rows = {"comm": ["job", "job", "other"], "wait_histogram": counts, "wait_ns": [8000, 28_000, 9 * MS]}
    made = replace(windows[0], tasks=replaced(windows[0].tasks.take(pa.array([0, 0, 0])), **rows))
    figures = figures_of_waits([made], "job".__eq__)
    assert figures["wait_mean_ns"] == 36_000 / 40
    assert figures["wait_p50_ns"] == pytest.approx(512 + 512 * 20 / 30)
    assert figures["wait_p95_ns"] == pytest.approx(1024 + 512 * 8 / 10)
    assert figures_of_waits([made], "no such".__eq__) == {}


def test_lives_are_the_jobs_of_a_workload_without_classes(windows):
    """In samples.py, short lives from 1 to 12 ms, with a CPU from 2 ms on; web goes on until the end at 300 ms."""
    assert figures_of_lives(windows, "short".__eq__) == {
        "tat_mean_ns": 11 * MS,
        "tat_p99_ns": 11 * MS,
        "rt_mean_ns": MS,
        "rt_p99_ns": MS,
        "jobs_completed": 1,
        "jobs_counted": 1,
    }
    both = figures_of_lives(windows, "web".__eq__)
    assert (both["tat_mean_ns"], both["jobs_completed"], both["jobs_counted"]) == (299 * MS, 0, 2)
    assert both["rt_mean_ns"] == (0 + 12) / 2 * MS
    assert figures_of_lives(windows[1:], "web".__eq__) == {}, "they began before"


def test_the_figures_of_a_cpu_are_those_of_all_tasks_on_it(windows):
    """CPU 0 has tasks from 1 to 250 ms, CPU 1 from 2 to 300 ms; see samples.py for the switches."""
    cpus = figures_of_cpus(windows)
    assert {cpu: figures["core_busy_share"] for cpu, figures in cpus.items()} == {"0": 249 / 300, "1": 298 / 300}
    assert {cpu: figures["core_switches_per_s"] for cpu, figures in cpus.items()} == {"0": 4 / 0.3, "1": 5 / 0.3}
    # The waits that ended on CPU 0: 0 (task 0 at 1 ms), 50 (task 2 at 51), and 40 (task 0 at 91).
    assert cpus["0"]["core_waits_per_s"] == 3 / 0.3
    assert 40 * MS <= cpus["0"]["core_wait_p50_ns"] <= 43 * MS
    assert 50 * MS <= cpus["0"]["core_wait_p99_ns"] <= 54 * MS


@pytest.mark.parametrize(
    ("arm", "job", "hog"),
    [
        ("eevdf", ("other", 0, 0, 0), ("other", 0, 0, 0)),
        ("policy:batch", ("batch", 0, 0, 0), ("batch", 0, 0, 0)),
        ("policy:job:rr=7", ("rr", 0, 7, 0), ("other", 0, 0, 0)),
        ("policy:comm=hog:idle", ("other", 0, 0, 0), ("idle", 0, 0, 0)),
        ("policy:short:nice=-5+nice=5", ("other", -5, 0, 0), ("other", 5, 0, 0)),
        ("policy:hog:slice=3ms", ("other", 0, 0, 0), ("other", 0, 0, 3 * MS)),
        ("policy:absent:idle", ("other", 0, 0, 0), ("other", 0, 0, 0)),
    ],
)
def test_what_an_arm_sets_of_threads_is_set_by_the_workloads_tasks_themselves(arm, job, hog):
    classes = {"job": ("job",), "hog": ("hog",), "short": ("job",), "absent": ()}
    under = {c.name: c.treatment for c in treated(WORKLOAD, parse_arm(arm), classes).classes}
    for name, wanted in (("job", job), ("hog", hog)):
        treatment = under[name]
        assert (treatment.policy, treatment.nice, treatment.priority, treatment.runtime_ns) == wanted


def test_a_partition_gives_each_class_its_cpus():
    under = treated(WORKLOAD, parse_arm("policy:hog:cpus=0+cpus=1"), {"hog": ("hog",)}).classes
    assert {c.name: c.treatment.cpus for c in under} == {"job": (1,), "hog": (0,)}


@pytest.mark.parametrize(
    ("arm", "whole"),
    [
        ("eevdf", True),
        ("policy:job:rr=10+slice=0.1ms", True),
        ("policy:comm=hog:cpus=0", True),
        ("policy:hog:idle+hog:autogroup=19", False),
        ("policy:pid=1:batch", False),
    ],
)
def test_tasks_are_looked_for_only_under_an_arm_that_they_cannot_set_for_themselves(arm, whole):
    assert is_whole(WORKLOAD, parse_arm(arm)) is whole
