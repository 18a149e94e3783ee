"""A plan in; the tasks that do its jobs out."""

import numpy as np
from numpy.typing import NDArray

from schedtel.durations import NS_PER_S, format_duration
from schedtel.errors import UsageError
from schedtel.records import layout
from schedtel.simulator import state as arrays
from schedtel.simulator.machine import Machine
from schedtel.simulator.programs import Program, job_tasks
from schedtel.workloads.behaviours import Behaviour
from schedtel.workloads.graphs import CPU, Graph
from schedtel.workloads.plan import Plan
from schedtel.workloads.policies import POLICIES
from schedtel.workloads.spec import TaskClass

#: Tasks have about 1 KB each, and a life is one.
MOST_TASKS = 100_000
#: Virtual time of the lightest task fits 64 bits for ten times as long.
_LONGEST_NS = 30 * 86_400 * NS_PER_S
_FIRST_TID = 1000
#: Work by a time of a graph has to fit 64 bits.
_MOST_PRODUCT = 1 << 62
#: Load weights by nice value, from -20 (sched_prio_to_weight, kernel/sched/core.c), and that of SCHED_IDLE.
_WEIGHTS = (
    *(88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916),
    *(9548, 7620, 6100, 4904, 3906, 3121, 2501, 1991, 1586, 1277),
    *(1024, 820, 655, 526, 423, 335, 272, 215, 172, 137),
    *(110, 87, 70, 56, 45, 36, 29, 23, 18, 15),
)
_IDLE_WEIGHT = 3


def refuse_impossible(plan: Plan, machine: Machine) -> None:
    """Raise :class:`UsageError` for what a workload asks for and no simulated machine does, or not this one."""
    if plan.workload.duration_ns > _LONGEST_NS:
        raise UsageError(f"cannot simulate {format_duration(plan.workload.duration_ns)}: at most 30 days (shorten it)")
    for one in plan.workload.externals:
        raise UsageError(f"cannot simulate external.{one.name}: only planned jobs can be (drop it)")
    for number, found in enumerate(plan.workload.classes):
        where, treatment = f"classes.{found.name}", found.treatment
        if treatment.policy not in ("other", "batch", "idle"):
            raise UsageError(f"cannot simulate {where}: policy {treatment.policy} (give other, batch or idle)")
        missing = [cpu for cpu in treatment.cpus if cpu >= machine.cpus]
        if missing:
            raise UsageError(f"cannot simulate {where}: CPU {missing[0]} is not there (there are {machine.cpus})")
        if job_tasks(found.behaviour) > 1 and not found.arrival.is_open:
            raise UsageError(f"cannot simulate {where}: its jobs fork and have no end (give it an open arrival)")
        graph, jobs = found.behaviour.graph, plan.of_class(number)
        if graph and len(jobs) and int(jobs["work_ns"].max()) * graph.longest > _MOST_PRODUCT:
            raise UsageError(f"cannot simulate {where}: the numbers of its graph are too large (take a larger unit)")
    tasks = sum(_tasks_of(plan, number) for number in range(len(plan.workload.classes)))
    if tasks > MOST_TASKS:
        raise UsageError(f"cannot simulate {tasks:,} tasks: at most {MOST_TASKS:,} (shorten the duration)")


def _tasks_of(plan: Plan, number: int) -> int:
    found, jobs = plan.workload.classes[number], plan.counts[number]
    pairs = 2 if found.behaviour.kind == "pipe" else 1
    if found.life:
        return jobs * pairs * job_tasks(found.behaviour)
    return found.workers * pairs + (jobs * (job_tasks(found.behaviour) - 1))


class Crew:
    """The tasks of a plan.

    :param plan: one that :func:`refuse_impossible` lets pass.
    :param start_ns: the start of the run on the simulated clock.
    """

    def __init__(self, plan: Plan, machine: Machine, start_ns: int) -> None:
        self._plan, self._machine, self._start_ns = plan, machine, start_ns
        self._classes = plan.workload.classes
        self.program = Program(machine.disk_ns, gets_ready=machine.ready_ns > 0)
        #: Queue → devices that it is for. Their semaphores are those behind the classes'.
        self.devices = plan.workload.devices()
        self.own_semaphores = 3 * len(self._classes) + len(self.devices)
        #: The most transfers to parts of graphs that go on at a time.
        self.transfers = 0
        self._tasks: list[NDArray[np.void]] = []
        self._rows: list[NDArray[np.void]] = []
        self._slot = 0
        #: Semaphores for which tasks wait at first: the first task, and how many there are, one behind the other.
        self.waiting: list[tuple[int, int, int]] = []
        #: Tasks that wake when the run begins.
        self.timers: list[int] = []
        #: Of each job: the slot of its life, or the one before the first that it forks.
        self.slots = np.full(len(plan.jobs), -1, np.int64)

        for number, found in enumerate(self._classes):
            (self._lives if found.life else self._workers)(number, found)

    @property
    def tasks(self) -> NDArray[np.void]:
        """All tasks, shape (n,) of TASK; a task's slot is its place here."""
        return np.concatenate([np.zeros(0, arrays.TASK), *self._tasks])

    @property
    def rows(self) -> NDArray[np.void]:
        """What of a task's row never changes, shape (n,) of TASK_RECORD."""
        return np.concatenate([np.zeros(0, layout.TASK_RECORD), *self._rows])

    # ---- tasks ----

    def _add(self, number: int, pc: int, count: int, *, born: bool, leader: int = -1) -> NDArray[np.void]:
        """So many tasks of a class that begin at one instruction. Returns them; their first slot was ``_slot``.

        :param born: they arrive while the machine runs.
        :param leader: the slot of the process that they are threads of; else each is a process.
        """
        found, tasks = self._classes[number], np.zeros(count, arrays.TASK)
        slots = self._slot + np.arange(count)
        self._tasks.append(tasks)
        self._rows.append(self._row(found, slots, leader, born=born))
        self._slot += count
        unset = ("peer", "job", "next", "previous", "behind", "first_cpu_ns", "completion_ns")
        for name in (*unset, "cpu", "device", "load_cpu"):
            tasks[name] = -1
        tasks["group"], tasks["pc"] = number, pc
        tasks["weight"] = weight_of(found.treatment.policy, found.treatment.nice)
        tasks["is_batch"], tasks["is_idle"] = found.treatment.policy != "other", found.treatment.policy == "idle"
        tasks["slice_ns"] = found.treatment.runtime_ns or self._machine.own_slice_ns
        tasks["migration_ns"] = self._machine.warming_ns(
            found.behaviour.size_bytes * (found.behaviour.kind == "memory")
        )
        tasks["pinned"] = number + 1 if found.treatment.cpus else 0
        tasks["since_ns"] = tasks["arrival_ns"] = self._start_ns
        tasks["phase"] = layout.NOT_ALIVE if born else layout.BLOCKED
        if not born:
            usable = found.treatment.cpus or range(self._machine.cpus)
            tasks["cpu"] = np.array(usable)[slots % len(usable)]
            tasks["first_cpu_ns"] = self._start_ns
        return tasks

    def _row(self, found: TaskClass, slots: NDArray[np.int64], leader: int, *, born: bool) -> NDArray[np.void]:
        rows = np.zeros(len(slots), layout.TASK_RECORD)
        rows["tid"] = _FIRST_TID + slots
        rows["tgid"] = rows["tid"] if leader < 0 else _FIRST_TID + leader
        rows["weight"], rows["nice"] = weight_of(found.treatment.policy, found.treatment.nice), found.treatment.nice
        rows["policy"], rows["comm"] = POLICIES[found.treatment.policy], found.name.encode()
        rows["left_censored"] = not born
        return rows

    def _workers(self, number: int, found: TaskClass) -> None:
        """The tasks of a pool, or of a closed class, which are older than the run."""
        first, lock = self._slot, self._lock(number)
        leader = first if found.tasks == "threads" else -1
        if found.arrival.is_open:
            begin = self.program.pool(number, found, lock)
            if self._machine.ready_ns:
                self.timers += range(first, first + found.workers)
            else:
                self.waiting.append((number, first, found.workers))
        else:
            begin = self.program.closed(number, found, lock)
            self.timers += range(first, first + found.workers)
        workers = self._add(number, begin, found.workers, born=False, leader=leader)
        workers["worker"] = np.arange(found.workers)
        workers["remaining_ns"] = self._machine.ready_ns if found.arrival.is_open else 0
        if found.behaviour.kind == "pipe":
            workers["peer"] = self._slot + workers["worker"]
            partners = self._slot
            begin = self.program.partner(found.behaviour.count, is_child=False) + 1
            self._add(number, begin, found.workers, born=False, leader=leader)["peer"] = first + workers["worker"]
            self.waiting += [(self.own_semaphores + slot, slot, 1) for slot in range(partners, self._slot)]
        below = job_tasks(found.behaviour) - 1
        if below:
            jobs = self._plan.counts[number]
            self.slots[self._jobs(number)] = self._slot - 1 + below * np.arange(jobs)
            self._plant(found, self._add(number, 0, jobs * below, born=True).reshape(jobs, below))

    def _lives(self, number: int, found: TaskClass) -> None:
        """A task for each job, and behind each what it forks."""
        jobs, first = self._plan.counts[number], self._slot
        begin = self.program.life(number, found, self._lock(number))
        width = 2 if found.behaviour.kind == "pipe" else job_tasks(found.behaviour)
        together = self._add(number, begin, jobs * width, born=True).reshape(jobs, width)
        roots = first + width * np.arange(jobs)
        self.slots[self._jobs(number)] = roots
        together["job"][:, 0] = self._jobs(number)
        if found.behaviour.kind == "pipe":
            together["pc"][:, 1] = self.program.partner(found.behaviour.count, is_child=True)
            together["peer"][:, 0] = roots + 1
        else:
            self._plant(found, together[:, 1:])

    def _plant(self, found: TaskClass, below: NDArray[np.void]) -> None:
        """Give the tasks below the roots of jobs, shape (jobs, tasks), their place and their instructions."""
        below["node"] = np.arange(1, below.shape[1] + 1)
        if found.behaviour.graph:
            self._plant_graphs(found.behaviour.graph, below)
        elif found.behaviour.kind == "fork":
            self._plant_trees(found.behaviour, below)

    def _plant_graphs(self, graph: Graph, below: NDArray[np.void]) -> None:
        numbers = {CPU: -1} | {name: 3 * len(self._classes) + number for number, name in enumerate(self.devices)}
        below["device"] = [numbers[part.device] for part in graph.parts]
        below["missing"] = np.maximum(1, graph.needs)  # what needs no result is begun by the root
        below["pc"] = self.program.parts(graph)
        self.transfers += len(below) * sum(transfer > 0 for part in graph.parts for _, transfer in part.sends)

    def _plant_trees(self, behaviour: Behaviour, below: NDArray[np.void]) -> None:
        inner = self.program.node(behaviour, is_leaf=False) if behaviour.count > 1 else -1
        leaf = self.program.node(behaviour, is_leaf=True)
        is_leaf = below["node"] >= job_tasks(behaviour) - behaviour.fan**behaviour.count
        below["pc"] = np.where(is_leaf, leaf, inner)

    # ---- numbers ----

    def _jobs(self, number: int) -> NDArray[np.int64]:
        first = sum(self._plan.counts[:number])
        return np.arange(first, first + self._plan.counts[number])

    def _lock(self, number: int) -> int:
        """The semaphore that is a class's lock. Before it are those of released jobs, and of workers' turns."""
        return 2 * len(self._classes) + number


def weight_of(policy: str, nice: int) -> int:
    """The load weight of a task of the fair class."""
    return _IDLE_WEIGHT if policy == "idle" else _WEIGHTS[nice + 20]
