"""A plan and a machine in; the state in which the machine begins out."""

import numpy as np
from numpy.typing import NDArray

from schedtel.records import layout
from schedtel.simulator import state as arrays
from schedtel.simulator.crew import Crew
from schedtel.simulator.machine import PATIENCE, SHORT_NS, Machine
from schedtel.workloads.generator import RECORD
from schedtel.workloads.plan import Plan, stretches


def beginning(plan: Plan, machine: Machine, start_ns: int, traced: int = 0) -> tuple[arrays.State, NDArray[np.void]]:
    """The state, and what of the tasks' rows never changes, shape (tasks,) of TASK_RECORD.

    :param plan: one that :func:`~schedtel.simulator.crew.refuse_impossible` lets pass.
    :param start_ns: the start of the run on the simulated clock.
    :param traced: events that are kept in the state's ``trace``.
    """
    crew, classes, cpus = Crew(plan, machine, start_ns), plan.workload.classes, machine.cpus
    tasks, rows = crew.tasks, crew.rows
    histograms, samples = arrays.histograms_for(len(tasks), cpus)
    state = arrays.State(
        machine=_machine(machine, tasks, crew, start_ns),
        tasks=tasks,
        cpus=_cpus(machine, start_ns),
        event_keys=np.full(cpus, arrays.NEVER, np.int64),
        timers=_timers(crew, len(tasks), start_ns),
        shorts=np.zeros((len(tasks) + 1, 3), np.int64),
        longs=np.zeros((len(tasks) + 1, 3), np.int64),
        semaphores=_semaphores(crew, tasks, len(classes)),
        pending=np.zeros(cpus, np.int64),
        ready=np.zeros(len(tasks) + 1, np.int64),
        program=np.array(crew.program.instructions or [(0, 0, 0)], np.int64),
        classes=_classes(plan),
        jobs=_jobs(plan, crew, machine, start_ns),
        order=plan.order,
        changes=_changes(plan, start_ns),
        records=np.zeros(len(plan.jobs), RECORD),
        allowed=_allowed(plan, cpus),
        time_ns=np.zeros((len(tasks), 8), np.int64),
        histograms=histograms,
        samples=samples,
        sums_ns=np.zeros((cpus, len(layout.SAMPLE_KINDS), 2), np.int64),
        preemptions=np.zeros((len(classes), len(classes), 3), np.int64),
        trace=np.zeros(traced, arrays.TRACED),
    )
    return state, rows


def _machine(machine: Machine, tasks: NDArray[np.void], crew: Crew, start_ns: int) -> NDArray[np.void]:
    found = np.zeros(1, arrays.MACHINE)
    found["scheduler"] = arrays.SCHEDULERS.index(machine.scheduler)
    found["is_shared"] = machine.is_shared
    found["is_pinned"] = bool((tasks["pinned"] > 0).any())
    found["has_idle"] = bool((tasks["is_idle"] > 0).any()) and machine.scheduler == "eevdf"
    found["has_slices"] = bool((tasks["slice_ns"] != machine.own_slice_ns).any())
    found["slice_ns"], found["short_ns"], found["patience"] = machine.own_slice_ns, SHORT_NS, PATIENCE
    for name in ("tick_ns", "switch_ns", "warm_ns", "balance_ns", "dispatch_ns", "fork_ns", "others_ns"):
        found[name] = getattr(machine, name)
    found["steal_thousandths"] = machine.steal_thousandths
    found["others_gap_ns"] = machine.others_gap_ns
    found["others_at_ns"] = start_ns + machine.others_gap_ns if machine.others_gap_ns else arrays.NEVER >> 1
    found["own_semaphores"], found["timers"] = crew.own_semaphores, len(crew.timers)
    found["start_ns"] = found["now_ns"] = start_ns
    found["idle"] = machine.cpus
    return found


def _cpus(machine: Machine, start_ns: int) -> NDArray[np.void]:
    found = np.zeros(machine.cpus, arrays.CPU)
    for name in ("current", "local", "head", "tail", "interrupted"):
        found[name] = -1
    found["since_ns"] = start_ns
    found["balance_at_ns"] = start_ns + machine.balance_ns
    return found


def _timers(crew: Crew, tasks: int, start_ns: int) -> NDArray[np.int64]:
    """Closed workers begin with the run. Rows in order are a heap. Each part of a graph may have a timer, and each
    transfer to one.
    """
    heap, count = np.zeros((tasks + crew.transfers + 1, 3), np.int64), len(crew.timers)
    heap[:count, 0] = start_ns
    heap[:count, 1] = heap[:count, 2] = crew.timers
    return heap


def _semaphores(crew: Crew, tasks: NDArray[np.void], classes: int) -> NDArray[np.int64]:
    """Of each class: its released jobs, its workers' turns, its lock, which is free. Then devices, and one of each
    task.
    """
    found = np.full((crew.own_semaphores + len(tasks), 3), -1, np.int64)
    found[:, 0] = 0
    found[2 * classes : 3 * classes, 0] = 1
    found[3 * classes : crew.own_semaphores, 0] = list(crew.devices.values())
    for semaphore, first, count in crew.waiting:
        found[semaphore, 1:] = first, first + count - 1
        tasks["behind"][first : first + count - 1] = np.arange(first + 1, first + count)
    return found


def _classes(plan: Plan) -> NDArray[np.void]:
    classes = plan.workload.classes
    found = np.zeros(len(classes), arrays.CLASS)
    found["first"] = np.cumsum([0, *plan.counts])[:-1]
    found["workers"] = [c.workers for c in classes]
    found["total"] = [c.behaviour.graph.total if c.behaviour.graph else 0 for c in classes]
    found["each"] = np.array(plan.counts, np.int64) // found["workers"]
    found["is_open"] = [c.arrival.is_open for c in classes]
    found["is_life"] = [c.life for c in classes]
    found["active"] = [round(stretches(plan.workload, n)[0].factor * c.workers) for n, c in enumerate(classes)]
    return found


def _jobs(plan: Plan, crew: Crew, machine: Machine, start_ns: int) -> NDArray[np.void]:
    """The plan's jobs. Each is released some time after its moment, and is more work on a slower machine."""
    jobs, found = plan.jobs, np.zeros(len(plan.jobs), arrays.JOB)
    is_life = np.array([c.life for c in plan.workload.classes], bool)[jobs["class"]]
    released_ns = start_ns + machine.late_ns + np.where(is_life, machine.fork_ns, 0)
    found["at_ns"] = jobs["at_ns"] + np.where(jobs["worker"] < 0, released_ns, 0)
    found["work_ns"] = jobs["work_ns"] + jobs["work_ns"] * machine.slower_millionths // 1_000_000
    found["group"], found["slot"] = jobs["class"], crew.slots
    return found


def _changes(plan: Plan, start_ns: int) -> NDArray[np.int64]:
    """Each change of a closed class's workers, and the end of the run, in order."""
    rows = [
        (start_ns + part.begin_ns, number, round(part.factor * found.workers))
        for number, found in enumerate(plan.workload.classes)
        if not found.arrival.is_open
        for part in stretches(plan.workload, number)[1:]
    ]
    return np.array(sorted([*rows, (start_ns + plan.workload.duration_ns, -1, 0)]), np.int64)


def _allowed(plan: Plan, cpus: int) -> NDArray[np.uint8]:
    """Row 0 allows every CPU; those behind it are of the classes."""
    found = np.ones((len(plan.workload.classes) + 1, cpus), np.uint8)
    for number, one in enumerate(plan.workload.classes, 1):
        if one.treatment.cpus:
            found[number] = 0
            found[number, list(one.treatment.cpus)] = 1
    return found
