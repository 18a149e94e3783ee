"""Scheduler histories for hypothesis: each of them could have happened on a machine.

A history is a list of events in the order of their times, and of collections of windows. A collection comes after its
window's edge, at once or many events later, and sets the next edge.
"""

import itertools
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from model import SLEEPING, TASK_DEAD, Arrive, Event, Exit, Fork, Release, Switch, Wake

START = 1_000_000
MOST_TASKS = 12


@dataclass(frozen=True)
class Collect:
    """The collector reads the window that ended at ``edge`` and sets the next edge."""

    now: int
    edge: int
    next_edge: int


@dataclass(frozen=True)
class History:
    cpus: int
    tasks: int
    first_edge: int
    steps: list[Event | Collect]

    @property
    def events(self) -> list[Event]:
        return [step for step in self.steps if not isinstance(step, Collect)]

    @property
    def windows(self) -> list[tuple[int, int]]:
        """[start, end) of every window that is reported; the warm-up is not."""
        collects = [step for step in self.steps if isinstance(step, Collect)]
        return [(first.edge, second.edge) for first, second in itertools.pairwise(collects)]


#: Short gaps make events meet on one moment and on an edge; long gaps let tasks sleep across many windows.
TO_THE_EDGE = -1
_gaps = st.one_of(
    st.just(TO_THE_EDGE),
    st.integers(0, 3),
    st.integers(0, 5_000),
    st.integers(0, 20_000_000),
    st.integers(0, 90_000_000_000),
)
_window_lengths = st.one_of(st.integers(0, 10), st.integers(1, 20_000), st.integers(1, 100_000_000))
_KINDS = ("switch", "switch", "switch", "wake", "wake", "fork", "arrive", "exit", "release", "collect")
_steps = st.tuples(st.sampled_from(_KINDS), st.integers(0, 63), st.integers(0, 63), _gaps, _window_lengths)


@st.composite
def histories(draw, most_steps: int = 80) -> History:
    cpus = draw(st.integers(1, 4))
    world = _World(cpus, START + draw(_window_lengths) + 1)
    for kind, choice, how, gap, length in draw(st.lists(_steps, min_size=5, max_size=most_steps)):
        world.now = max(world.now, world.edge) if gap == TO_THE_EDGE else world.now + gap
        getattr(world, kind)(choice, how, length)
    world.finish(draw(_window_lengths))
    return History(cpus, world.forked, world.first_edge, world.steps)


def without_iowait(history: History) -> History:
    """The history as the sched_switch tracepoint tells it, which does not print iowait."""
    steps = [replace(step, iowait=False) if isinstance(step, Switch) else step for step in history.steps]
    return replace(history, steps=steps)


#: Histories of which tracepoints tell everything: for the bcc backend and for traces.
printed_histories = histories().map(without_iowait)


class _World:
    """A machine that takes only steps that are possible, and leaves out the others."""

    def __init__(self, cpus: int, first_edge: int):
        self.now, self.first_edge, self.edge = START, first_edge, first_edge
        self.running: list[int | None] = [None] * cpus
        self.forked = 0
        self.new: list[int] = []
        self.runnable: list[int] = []
        self.blocked: list[int] = []
        self.exiting: set[int] = set()
        self.unreaped: list[int] = []
        self.steps: list[Event | Collect] = []

    def fork(self, choice: int, how: int, length: int) -> None:
        if self.forked < MOST_TASKS:
            self.steps.append(Fork(self.now, self.forked))
            self.new.append(self.forked)
            self.forked += 1

    def arrive(self, choice: int, how: int, length: int) -> None:
        if not self.new:
            self.fork(choice, how, length)
        if self.new:
            task = self.new.pop(choice % len(self.new))
            self.steps.append(Arrive(self.now, task))
            self.runnable.append(task)

    def wake(self, choice: int, how: int, length: int) -> None:
        """Wake a blocked task; sometimes a task that runs or waits, which must change nothing."""
        awake = [task for task in (*self.running, *self.runnable) if task is not None]
        if awake and (how % 4 == 0 or not self.blocked):
            self.steps.append(Wake(self.now, awake[choice % len(awake)]))
        elif self.blocked:
            task = self.blocked.pop(choice % len(self.blocked))
            self.steps.append(Wake(self.now, task))
            self.runnable.append(task)

    def exit(self, choice: int, how: int, length: int) -> None:
        cpu = choice % len(self.running)
        task = self.running[cpu]
        if task is not None and task not in self.exiting:
            self.steps.append(Exit(self.now, task, cpu))
            self.exiting.add(task)
            self.unreaped.append(task)

    def release(self, choice: int, how: int, length: int) -> None:
        """A thread reaps itself before its last switch; a process is reaped by its parent at any time later."""
        if self.unreaped:
            self.steps.append(Release(self.now, self.unreaped.pop(choice % len(self.unreaped))))

    def switch(self, choice: int, how: int, length: int) -> None:
        cpu = choice % len(self.running)
        prev, coming = self.running[cpu], [*self.runnable, None]
        following = coming[how % len(coming)]
        if prev is None and following is None:
            return
        preempt, state, iowait = self._leave(prev, choice // len(self.running))
        if following is not None:
            self.runnable.remove(following)
        self.running[cpu] = following
        self.steps.append(Switch(self.now, cpu, prev, following, preempt, state, iowait))

    def _leave(self, prev: int | None, how: int) -> tuple[bool, int, bool]:
        """Why ``prev`` leaves its CPU: preempt, prev_state and iowait as the tracepoint gives them."""
        if prev is None:
            return False, 0, False
        if prev in self.exiting:
            preempt, state, iowait = (True, 0, False) if how % 2 else (False, TASK_DEAD, False)
        else:
            # The third way is a preemption on the way to sleep: the state says asleep, and the task stays runnable.
            ways = [(False, SLEEPING, False), (False, SLEEPING, True), (True, SLEEPING, False), (True, 0, False)]
            preempt, state, iowait = [*ways, (False, 0, False)][how % 5]
        if preempt or state == 0:
            self.runnable.append(prev)
        elif state != TASK_DEAD:
            self.blocked.append(prev)
        return preempt, state, iowait

    def collect(self, choice: int, how: int, length: int) -> None:
        if self.now <= self.edge:
            return
        following = self.now + 1 + length
        self.steps.append(Collect(self.now, self.edge, following))
        self.edge = following

    def finish(self, length: int) -> None:
        """Collect two more windows, so that the history has a window to report and every frozen bank is read."""
        for _ in range(2):
            self.now = max(self.now, self.edge + 1)
            self.collect(0, 0, length)


# ---- histories that have found a defect: the warm-up ends at 1000 ns, the windows at 2000 and 3000 ns ----


def _history(*events: Event) -> History:
    """The events on one CPU, each collected as soon as its window has ended or 99 ns later."""
    edges = (1_000, 2_000, 3_000)
    steps: list[Event | Collect] = list(events)
    for edge, following in zip(edges, (2_000, 3_000, 4_000), strict=True):
        collected = Collect(edge + 100, edge, following)
        position = next((i for i, step in enumerate(steps) if step.now > collected.now), len(steps))
        steps.insert(position, collected)
    return History(1, 1, edges[0], steps)


FIRST_CPU_ON_THE_EDGE = _history(Fork(1_500, 0), Arrive(1_500, 0), Switch(2_000, 0, None, 0))
RAN_FOR_NO_TIME = _history(Fork(1_500, 0), Arrive(1_500, 0), Switch(1_600, 0, None, 0), Exit(1_600, 0, 0))
RAN_FOR_NO_TIME_ON_THE_EDGE = _history(Fork(1_500, 0), Arrive(1_500, 0), Switch(2_000, 0, None, 0), Exit(2_000, 0, 0))
DEAD_BEFORE_THE_WARM_UP_IS_DRAINED = _history(
    Fork(1_001, 0),
    Arrive(1_001, 0),
    Switch(1_001, 0, None, 0),
    Exit(1_009, 0, 0),
    Switch(1_009, 0, 0, None, prev_state=TASK_DEAD),
)
UNHASHED_BEFORE_ITS_LAST_SWITCH = _history(
    Fork(1_100, 0),
    Arrive(1_100, 0),
    Switch(1_100, 0, None, 0),
    Exit(1_900, 0, 0),
    Release(1_950, 0),
    Switch(2_300, 0, 0, None, prev_state=TASK_DEAD),
)
COMPLETES_ON_THE_EDGE = _history(
    Fork(1_100, 0),
    Arrive(1_100, 0),
    Switch(1_100, 0, None, 0),
    Exit(2_000, 0, 0),
    Release(2_000, 0),
    Switch(2_050, 0, 0, None, prev_state=TASK_DEAD),
)
RAN_DURING_THE_WARM_UP = _history(Fork(900, 0), Arrive(900, 0), Switch(900, 0, None, 0))
