"""How many events the simulator does in a second of CPU time, with all metrics on, and beside SimPy on the same model.

Runs only on request: ``python -m benchmarks simulator``. The model: tasks that work for 1 ms on average (exponential),
then sleep for 3 ms on average, again and again, on 4 CPUs with 16 tasks and on 64 with 512. All metrics are counted,
and collected for ten windows of a run. An event is the end of a burst, a slice or a sleep. CPU time is that of the
thread, by the kernel, after a first run that compiles. SimPy runs the plan of the same jobs, first come first served in
slices, and counts nothing but the events; how long jobs take in both is printed, since the two must agree.

Other programs make all of it slower, since they take the caches. So there is also what an event takes in the quietest
of a hundred parts of a run, without collecting.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.failures import BenchmarkError
from benchmarks.measures import Plan, Row, Target, ratio, row
from benchmarks.rounds import interleaved
from schedtel.simulator.beginning import beginning
from schedtel.simulator.machine import Machine
from schedtel.simulator.state import SCHEDULERS
from schedtel.workloads import plan as plans
from schedtel.workloads.spec import parse_workload

PART = "simulator"
_ROUNDS = 5
_START_NS = 10**9
_SECOND_NS = 10**9
_WINDOWS, _PARTS = 10, 10
_SWITCH_NS, _SLICE_NS = 1_500, 3_000_000
_MODEL = """
duration = "{seconds}s"
[classes.task]
arrival = {{ kind = "closed", think = {{ kind = "exponential", mean = "3ms" }} }}
service = {{ kind = "exponential", mean = "1ms" }}
workers = {tasks}
"""
#: CPUs and tasks → simulated seconds, and the target in ns an event: 10 and 5 million a second.
_SIZES = {(4, 16): (100, Target(100)), (64, 512): (5, Target(200))}
_SIMPY_SECONDS = {(4, 16): 10, (64, 512): 1}
#: schedtel's CPU time for an event divided by SimPy's.
_PART_OF_SIMPY = Target(1 / 50)


@dataclass(frozen=True)
class Taken:
    """One run: CPU time of an event, and the mean time from the end of a sleep to the end of the work.

    :param quiet_ns: CPU time of an event in the quietest part of the run.
    """

    event_ns: float
    tat_us: float
    quiet_ns: float | None = None


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    subjects = {
        f"{scheduler} {cpus}/{tasks}": partial(_ours, scheduler, cpus, tasks)
        for cpus, tasks in _SIZES
        for scheduler in SCHEDULERS
    } | {f"SimPy {cpus}/{tasks}": partial(_simpy, cpus, tasks) for cpus, tasks in _SIZES}
    samples, notes = interleaved(subjects, plan.rounds(_ROUNDS), lambda sample: sample())
    rows: list[Row] = []
    for (cpus, tasks), (_, target) in _SIZES.items():
        rows += _rows(samples, f"{cpus}/{tasks}", target)
    return rows, notes


def _rows(samples: dict[str, list[Taken]], size: str, target: Target) -> list[Row]:
    rows = []
    for name, taken in samples.items():
        if name.endswith(f" {size}"):
            own = None if name.startswith("SimPy") else target
            rows.append(row("CPU time of an event", name, "ns", [one.event_ns for one in taken], own))
            rows.append(row("TAT of a job", name, "µs", [one.tat_us for one in taken]))
            quiet = [one.quiet_ns for one in taken if one.quiet_ns]
            rows += [row("CPU time of an event, quietest part", name, "ns", quiet, own)] if quiet else []
    theirs = samples.get(f"SimPy {size}")
    if theirs:
        pair = ([one.event_ns for one in each] for each in (samples[f"fifo {size}"], theirs))
        rows.append(ratio("CPU time of an event", *pair, f"schedtel / SimPy, {size}", _PART_OF_SIMPY))
    return rows


def _planned(tasks: int, seconds: int) -> plans.Plan:
    return plans.make_plan(parse_workload(_MODEL.format(tasks=tasks, seconds=seconds), PART))


def _ours(scheduler: str, cpus: int, tasks: int) -> Taken:
    from schedtel.simulator.collect import collect  # noqa: PLC0415
    from schedtel.simulator.engine import advance  # noqa: PLC0415  (numba, which the other parts do without)

    seconds = _SIZES[cpus, tasks][0]
    plan = _planned(tasks, seconds)
    machine = Machine(cpus, scheduler, slice_ns=_SLICE_NS, switch_ns=_SWITCH_NS, migration_ns=0)
    state, rows = beginning(plan, machine, _START_NS)
    advance(state, _START_NS)  # compiles, or loads what was compiled
    window_ns = seconds * _SECOND_NS // _WINDOWS
    began_ns, quiet_ns = time.thread_time_ns(), []
    for number in range(_WINDOWS):
        edge_ns = _START_NS + (number + 1) * window_ns
        quiet_ns += [
            _event_ns(state, lambda to_ns=edge_ns - left * window_ns // _PARTS: advance(state, to_ns))
            for left in reversed(range(_PARTS))
        ]
        collect(state, rows, number + 1, edge_ns - window_ns, edge_ns)
    taken_ns = time.thread_time_ns() - began_ns
    done = state.records[state.records["ended_ns"] > 0]
    tat_ns = (done["ended_ns"] - done["released_ns"]).mean()
    return Taken(taken_ns / int(state.machine["events"][0]), float(tat_ns) / 1000, min(quiet_ns))


def _event_ns(state: Any, run: Callable[[], object]) -> float:
    """CPU time of an event, while the state's machine runs."""
    events, began_ns = int(state.machine["events"][0]), time.thread_time_ns()
    run()
    return (time.thread_time_ns() - began_ns) / max(1, int(state.machine["events"][0]) - events)


class _SimPyModel:
    """The same model as processes of SimPy, with CPUs as a resource."""

    def __init__(self, environment: Any, resource: Any) -> None:
        self.environment, self.cpus = environment, resource
        self.events = self.jobs = self.tat_ns = 0

    def task(self, think_ns: list[int], work_ns: list[int]) -> Generator[Any, Any, None]:
        for think, work in zip(think_ns, work_ns, strict=True):
            yield self.environment.timeout(think)
            self.events += 1
            began, left = self.environment.now, work
            while left > 0:
                with self.cpus.request() as turn:
                    yield turn
                    overhead = _SWITCH_NS
                    while left > 0:
                        ran = min(left, _SLICE_NS)
                        yield self.environment.timeout(ran + overhead)
                        self.events += 1
                        left, overhead = left - ran, 0
                        if self.cpus.queue:
                            break
            self.jobs += 1
            self.tat_ns += self.environment.now - began


def _simpy(cpus: int, tasks: int) -> Taken:
    try:
        import simpy  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise BenchmarkError("SimPy is not installed (pip install 'schedtel[bench]')") from error
    seconds = _SIMPY_SECONDS[cpus, tasks]
    plan = _planned(tasks, seconds)
    environment = simpy.Environment()
    model = _SimPyModel(environment, simpy.Resource(environment, cpus))
    for worker in range(tasks):
        own = plan.jobs[plan.jobs["worker"] == worker]
        environment.process(model.task(own["at_ns"].tolist(), own["work_ns"].tolist()))
    began_ns = time.thread_time_ns()
    environment.run(until=seconds * _SECOND_NS)
    taken_ns = time.thread_time_ns() - began_ns
    return Taken(taken_ns / model.events, model.tat_ns / model.jobs / 1000)
