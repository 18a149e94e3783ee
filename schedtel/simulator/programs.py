"""A class of a workload in; the instructions of its tasks out.

The instructions are those of :mod:`schedtel.simulator.state`. They do what schedtel/workloads/generator/ does, where
this takes time: see behaviour.c, partner.c and tree.c there.
"""

from schedtel.simulator.state import (
    BEGIN,
    DISK,
    DONE,
    EXIT,
    FORK,
    FREE,
    JUMP,
    LOOP,
    NEXT,
    OWN,
    PEER,
    POST,
    RUN,
    SEND,
    SLEEP,
    TAKE,
    USE,
    WAIT,
)
from schedtel.workloads.behaviours import Behaviour
from schedtel.workloads.graphs import CPU, Graph
from schedtel.workloads.spec import TaskClass

Instruction = tuple[int, int, int]
_MILLION = 1_000_000
#: Workers that are ready wait so long for the start: see dispatcher.c.
_HEAD_START_NS = 5_000_000


def job_tasks(behaviour: Behaviour) -> int:
    """Tasks of one job, the root included: those of its tree, or the parts of its graph. 1 for another behaviour."""
    if behaviour.graph:
        return 1 + len(behaviour.graph.parts)
    return sum(behaviour.fan**level for level in range(behaviour.count + 1)) if behaviour.kind == "fork" else 1


class Program:
    """The instructions of all tasks. ``at`` is where the next one goes."""

    def __init__(self, disk_ns: int, *, gets_ready: bool) -> None:
        self.instructions: list[Instruction] = []
        self._disk_ns = disk_ns
        self._gets_ready = gets_ready

    @property
    def at(self) -> int:
        return len(self.instructions)

    def _add(self, operation: int, a: int = 0, b: int = 0) -> int:
        self.instructions.append((operation, a, b))
        return self.at - 1

    # ---- whole tasks: each returns where it begins ----

    def pool(self, group: int, found: TaskClass, lock: int) -> int:
        """A worker of a pool. Where getting ready takes time, it is born with the run, and then waits for its start."""
        first = begin = self.at
        if self._gets_ready:
            self._add(SLEEP, _HEAD_START_NS)
            begin = self.at
        self._add(TAKE, group)
        self._job(found.behaviour, lock)
        self._add(JUMP, begin)
        return first

    def closed(self, group: int, found: TaskClass, lock: int) -> int:
        """A worker that takes its next job when the one before has ended."""
        begin = self._add(NEXT, group)
        self._job(found.behaviour, lock)
        self._add(JUMP, begin)
        return begin

    def life(self, group: int, found: TaskClass, lock: int) -> int:
        """A task that is born, does one job and exits."""
        begin = self.at
        if found.behaviour.kind == "pipe":
            self._add(FORK, 1)
        self._job(found.behaviour, lock)
        self._add(FREE, group)
        self._add(EXIT)
        return begin

    def partner(self, rounds: int, *, is_child: bool) -> int:
        """What answers a worker of behaviour pipe; that of a life exits after the last round."""
        begin = self._add(WAIT, OWN)
        self._add(RUN, 1, 2 * rounds)
        self._add(POST, PEER)
        if is_child:
            self._add(LOOP, begin, rounds)
            self._add(EXIT)
        else:
            self._add(JUMP, begin)
        return begin

    def node(self, behaviour: Behaviour, *, is_leaf: bool) -> int:
        """A task of a tree below its root: it does its part, waits for its children, and tells its parent."""
        begin = self.at
        self._part_of_tree(behaviour, is_leaf=is_leaf)
        self._add(POST, PEER)
        self._add(EXIT)
        return begin

    def parts(self, graph: Graph) -> list[int]:
        """The parts of a graph. The last ones tell the root that they are over."""
        return [self._part_of_graph(graph, number) for number in range(len(graph.parts))]

    def _part_of_graph(self, graph: Graph, number: int) -> int:
        part = graph.parts[number]
        begin = self._add(RUN, part.time, graph.total) if part.device == CPU else self._add(USE, part.time)
        for target, transfer in part.sends:
            self._add(SEND, target + 1, transfer)
        if not part.sends:
            self._add(POST, PEER)
        self._add(EXIT)
        return begin

    # ---- what a job does ----

    def _job(self, behaviour: Behaviour, lock: int) -> None:
        self._add(BEGIN)
        if behaviour.kind == "sleep":
            self._add(RUN, 1, behaviour.count)
            pause = self._add(SLEEP, behaviour.sleep_ns)
            self._add(RUN, 1, behaviour.count)
            self._add(LOOP, pause, behaviour.count - 1)
        elif behaviour.kind == "pipe":
            begin = self._add(RUN, 1, 2 * behaviour.count)
            self._add(POST, PEER)
            self._add(WAIT, OWN)
            self._add(LOOP, begin, behaviour.count)
        elif behaviour.kind == "fork":
            self._part_of_tree(behaviour, is_leaf=False)
        elif behaviour.graph:
            self._root(behaviour.graph)
        elif behaviour.kind == "lock":
            self._locked(round(behaviour.share * _MILLION), lock)
        elif behaviour.kind == "file" and behaviour.sync:
            self._add(RUN, 1, 2)
            self._add(DISK, self._disk_ns)
            self._add(RUN, 1, 2)
        else:
            self._add(RUN, 1, 1)
        self._add(DONE)

    def _part_of_tree(self, behaviour: Behaviour, *, is_leaf: bool) -> None:
        if not is_leaf:
            self._add(FORK, behaviour.fan)
        self._add(RUN, 1, job_tasks(behaviour))
        if not is_leaf:
            wait = self._add(WAIT, OWN)
            self._add(LOOP, wait, behaviour.fan)

    def _root(self, graph: Graph) -> None:
        """What needs no result begins with the job, which ends with what no other part needs the result of."""
        for number, needs in enumerate(graph.needs, 1):
            if not needs:
                self._add(SEND, number)
        wait = self._add(WAIT, OWN)
        self._add(LOOP, wait, sum(not part.sends for part in graph.parts))

    def _locked(self, share: int, lock: int) -> None:
        if share < _MILLION:
            self._add(RUN, _MILLION - share, _MILLION)
        self._add(WAIT, lock)
        self._add(RUN, share, _MILLION)
        self._add(POST, lock)
