"""What is known right after a switch in; the tasks that may be next on this CPU, and the features of each, out.

Only what events tell is used, and only events up to the switch. A feature says nothing of who a task is: a model that
learned on some workloads can be used on others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from heapq import nlargest
from itertools import islice

from schedtel.oracle.machine import Cpu, Machine, Task
from schedtel.oracle.runs import IDLE, UNKNOWN_CPU
from schedtel.oracle.successors import Counts, Past, chances

#: The most candidates of a forecast.
MOST_CANDIDATES = 24
#: Each feature's name and meaning. Logarithms are of nanoseconds, to the base of 10, less 5: 0 is 100 µs.
FEATURES = (
    ("queued", "it waits in the queue of this CPU"),
    ("elsewhere", "it waits in the queue of another CPU, or runs there"),
    ("head", "it has been in this queue longest"),
    ("newest", "it came to this queue last"),
    ("place", "its place in this queue, from the end, in tens"),
    ("wait", "logarithm of its wait so far, if it is in this queue"),
    ("ran", "logarithm of the time since it ran"),
    ("run", "logarithm of its mean run"),
    ("sleep", "logarithm of its mean sleep, if it sleeps"),
    ("due", "logarithm of its sleep so far, less that of its mean sleep"),
    ("next_wakeup", "logarithm of the time since its last wakeup, less that of the mean time between two"),
    ("share", "the share of a CPU that it had in the last 20 ms or so"),
    ("blocks", "the share of its runs that end by blocking"),
    ("majority", "its chance by the counts of this CPU"),
    ("markov1", "its chance after the task that runs"),
    ("markov2", "its chance after the last two tasks"),
    ("markov3", "its chance after the last three tasks"),
    ("markov3_log", "the logarithm of that chance, from -4 to 0"),
    ("repeats", "it came when the last two tasks were last the same"),
    ("is_woken", "how often the task that runs woke it, a run"),
    ("relative", "it has the name of the task that runs"),
    ("idle", "it is the idle task"),
    ("leaver", "it has just left this CPU"),
    ("leaver_waits", "it has just left this CPU, and waits"),
    ("real_time", "its priority is of the real-time or deadline class"),
    ("here", "it ran on this CPU last"),
    ("age", "how many others ran here since it did, in tens; 1.2 if more"),
    ("queue", "how many wait in this queue, in tens"),
    ("now_run", "logarithm of the mean run of the task that runs"),
    ("now_blocks", "the share of its runs that end by blocking"),
    ("now_idle", "the idle task runs"),
    ("now_share", "the share of a CPU that the task that runs had"),
    ("now_real_time", "the task that runs is of the real-time or deadline class"),
)
NAMES = tuple(name for name, _ in FEATURES)
_FIRST_FAIR_PRIO, _LEAST_CHANCE = 100, 1e-4


def log_ns(time_ns: float) -> float:
    """A time as a feature."""
    return math.log10(time_ns + 1) - 5


def forecast_of(machine: Machine, cpu: int, now_ns: int) -> tuple[list[int], list[tuple[float, ...]]]:
    """The candidates right after a switch on a CPU, and the row of features of each, in the order of FEATURES."""
    here = machine.cpus[cpu]
    past = (*here.before, here.running)
    counts = machine.successors.after(cpu, past)
    found = list(islice(dict.fromkeys(_in_turn(machine, here, past, counts)), MOST_CANDIDATES))
    view = _View(machine, cpu, here, past, counts, now_ns)
    return found, [view.row(task) for task in found]


def _in_turn(machine: Machine, here: Cpu, past: Past, counts: list[Counts]) -> Iterator[int]:
    """Tasks that may be next, the likeliest kinds of them first, with repeats, without the one that runs."""
    queue, recent = reversed(here.queue), reversed(here.recent)
    ways = (
        (IDLE, past[-2]),
        (counts[2].last, *counts[3].top[:2], *counts[2].top, *counts[1].top, *counts[0].top),
        islice(queue, 5),
        islice(here.queue, 3),
        nlargest(4, machine.wakes[here.running], machine.wakes[here.running].__getitem__),
        islice(recent, 6),
        queue,
        recent,
    )
    for way in ways:
        yield from (task for task in way if task >= 0 and task != here.running)


class _View:
    """What is the same for all candidates."""

    def __init__(self, machine: Machine, cpu: int, here: Cpu, past: Past, counts: list[Counts], now_ns: int) -> None:
        self._machine, self._cpu, self._now_ns, self._counts = machine, cpu, now_ns, counts
        self._running, self._leaver = here.running, past[-2]
        runs = machine.tasks[here.running]
        self._comm = runs.comm
        self._woken, self._runs = machine.wakes[here.running], machine.runs[here.running] + 1
        self._places = {task: place for place, task in enumerate(reversed(here.queue))}
        self._ages = {task: age for age, task in enumerate(reversed(here.recent))}
        self._shared = (
            len(here.queue) / 10,
            _known_log(runs.run_ns),
            runs.blocks,
            float(here.running == IDLE),
            runs.share(now_ns),
            float(runs.prio < _FIRST_FAIR_PRIO),
        )

    def row(self, candidate: int) -> tuple[float, ...]:
        """The features of a candidate."""
        task, place = self._machine.tasks[candidate], self._places.get(candidate, -1)
        is_queued, is_leaver = place >= 0, candidate == self._leaver
        sleeps, by_past = task.blocked_ns is not None, chances(candidate, self._running, self._counts)
        return (
            float(is_queued),
            float(not is_queued and (task.queued_on != UNKNOWN_CPU or task.running_on != UNKNOWN_CPU)),
            float(is_queued and place == len(self._places) - 1),
            float(place == 0),
            place / 10,
            log_ns(self._now_ns - task.since_ns) if is_queued else 0.0,
            _known_log(None if task.ran_ns is None else self._now_ns - task.ran_ns),
            _known_log(task.run_ns),
            _known_log(task.sleep_ns) if sleeps else 0.0,
            self._late(task.blocked_ns, task.sleep_ns),
            self._late(task.woken_ns, task.between_ns),
            task.share(self._now_ns),
            task.blocks,
            *by_past,
            math.log10(max(by_past[3], _LEAST_CHANCE)),
            float(candidate == self._counts[2].last),
            self._woken[candidate] / self._runs if candidate in self._woken else 0.0,
            float(task.comm == self._comm),
            float(candidate == IDLE),
            float(is_leaver),
            float(is_leaver and is_queued),
            float(task.prio < _FIRST_FAIR_PRIO),
            self._was_here(task),
            self._ages.get(candidate, 12) / 10,
            *self._shared,
        )

    def _late(self, since_ns: int | None, usual_ns: float | None) -> float:
        """How long something has lasted, beside how long it usually does."""
        if since_ns is None or usual_ns is None:
            return 0.0
        return log_ns(self._now_ns - since_ns) - log_ns(usual_ns)

    def _was_here(self, task: Task) -> float:
        return float(task.cpu in (self._cpu, UNKNOWN_CPU))


def _known_log(time_ns: float | None) -> float:
    return 4.0 if time_ns is None else log_ns(time_ns)
