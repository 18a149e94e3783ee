"""What the generator of workloads costs, and how late it is, at 250 jobs a second of 100 µs each.

Runs only on request: ``python -m benchmarks generator``. The dispatcher's CPU time is that of its process, by the
kernel; what a life costs is the CPU time of the task that forks it. How late it is, is measured for every job. With
two hogs on each CPU, the dispatcher has to take a CPU from one of them each time. A job's own CPU time is compared with
the work that it was planned to be: what is above 1 is the machine's, as other guests and its clock change.
"""

import os

from benchmarks.measures import Plan, Row, Target, row
from benchmarks.rounds import interleaved
from schedtel.workloads.outcome import Outcome
from schedtel.workloads.plan import make_plan
from schedtel.workloads.run import Runner
from schedtel.workloads.spec import parse_workload

PART = "generator"
_ROUNDS = 5
_JOBS = """
duration = "4s"
[classes.job]
arrival = {{ kind = "poisson", rate = 250 }}
service = "100us"
workers = 32
{lines}
"""
_HOGS = '[classes.hog]\narrival = "closed"\nservice = "10ms"\nworkers = {workers}\n'
_SUBJECTS = {
    "pool of processes": _JOBS.format(lines=""),
    "pool of threads": _JOBS.format(lines='tasks = "threads"'),
    "lives": _JOBS.format(lines="life = true"),
    "pool, two hogs a CPU": _JOBS.format(lines="") + _HOGS.format(workers=2 * (os.cpu_count() or 1)),
}
#: Of a CPU, and the bound at which a run calls itself late.
_COST, _LATE = Target(1.0), Target(1000)


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    samples, notes = interleaved(_SUBJECTS, plan.rounds(_ROUNDS), _sample)
    return [line for name, outcomes in samples.items() for line in _rows(name, outcomes)], notes


def _sample(text: str) -> Outcome:
    return Runner(make_plan(parse_workload(text, PART))).run()


def _rows(name: str, outcomes: list[Outcome]) -> list[Row]:
    own = [outcome.summary()["dispatcher"] for outcome in outcomes]
    jobs = [outcome.summary()["classes"]["job"] for outcome in outcomes]
    rows = [
        row("dispatcher", name, "% of a CPU", [100 * one["cpu_share"] for one in own], _COST),
        row("dispatcher, a release", name, "µs", [one["cpu_ns"] / one["released"] / 1000 for one in own]),
        row("late, p50", name, "µs", [one["late_p50_ns"] / 1000 for one in own]),
        row("late, p99", name, "µs", [one["late_p99_ns"] / 1000 for one in own], _LATE),
        row("late, max", name, "µs", [one["late_max_ns"] / 1000 for one in own]),
        row("CPU time of a job / its work", name, "ratio", [one["cpu_ns"] / one["work_ns"] for one in jobs]),
    ]
    forks = [one["forker_cpu_ns"] / one["released"] / 1000 for one in jobs]
    return rows + ([row("forking a life", name, "µs", forks)] if any(forks) else [])
