"""What is known right after a switch in; the tasks that may be next on this CPU, and the features of each, out.

Only what events tell is used, and only events up to the switch. A feature says nothing of who a task is: a model that
learned on some workloads can be used on others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from heapq import nlargest
from itertools import islice

from schedtel.oracle.habits import Rhythm, Task
from schedtel.oracle.machine import Cpu, Machine
from schedtel.oracle.runs import IDLE, NOBODY, UNKNOWN_CPU
from schedtel.oracle.successors import NO_COUNTS, Counts, Past, chances

#: The most candidates of a forecast.
MOST_CANDIDATES = 24
#: Each feature's name and meaning. Logarithms are of nanoseconds, to the base of 10, less 5: 0 is 100 µs.
FEATURES = (
    ("queued", "it waits in the queue of this CPU"),
    ("runs_elsewhere", "it runs on another CPU"),
    ("waits_elsewhere", "it waits in the queue of another CPU"),
    ("head", "it has been in this queue longest"),
    ("newest", "it came to this queue last"),
    ("place", "its place in this queue, from the end, in tens"),
    ("passed", "how many others this CPU switched to since it came to this queue, in tens; 3 if more"),
    ("wait", "logarithm of its wait so far, if it is in this queue"),
    ("usual_wait", "logarithm of its mean wait"),
    ("ran", "logarithm of the time since it ran"),
    ("run", "logarithm of its mean run"),
    ("last_run", "logarithm of its last run, less that of its mean run"),
    ("served", "logarithm of its CPU time since its last wakeup"),
    ("sleep", "logarithm of its mean sleep, if it sleeps"),
    ("sleep_off", "how far its sleeps are off their mean, as a part of it, if it sleeps"),
    ("due", "logarithm of its sleep so far, less that of its mean sleep"),
    ("awakes", "logarithm of what is left of its mean sleep, less that of the mean run of the task that runs"),
    ("next_wakeup", "logarithm of the time since its last wakeup, less that of the mean time between two"),
    ("between_off", "how far the times between its wakeups are off their mean, as a part of it"),
    ("beat", "logarithm of the time left until its next wakeup by that mean, less that of the mean run of what runs"),
    ("share", "the share of a CPU that it had in the last 20 ms or so"),
    ("least_share", "of those in this queue it had the least share"),
    ("blocks", "the share of its runs that end by blocking"),
    ("majority", "its chance by the counts of this CPU"),
    ("markov1", "its chance after the task that runs"),
    ("markov2", "its chance after the last two tasks"),
    ("markov3", "its chance after the last three tasks"),
    ("markov3_log", "the logarithm of that chance, from -4 to 0"),
    ("state", "its chance after the task that runs, with the newest and the oldest in the queue"),
    ("state_log", "the logarithm of that chance, from -4 to 0"),
    ("name", "the chance of its name after that of the task that runs"),
    ("named_state", "the chance of its name after the names of what runs, the newest and the oldest in the queue"),
    ("repeats", "it came when the last two tasks were last the same"),
    ("is_woken", "how often the task that runs woke it, a run"),
    ("was_woken", "the task that runs woke it last"),
    ("wakes", "it woke the task that runs last"),
    ("relative", "it has the name of the task that runs"),
    ("idle", "it is the idle task"),
    ("leaver", "it has just left this CPU"),
    ("leaver_waits", "it has just left this CPU, and waits"),
    ("real_time", "its priority is of the real-time or deadline class"),
    ("nice", "its nice value, in tens"),
    ("fresh", "it has not run yet"),
    ("here", "it ran on this CPU last"),
    ("age", "how many others ran here since it did, in tens; 1.2 if more"),
    ("queue", "how many wait in this queue, in tens"),
    ("wakeups", "logarithm of the mean time between wakeups to this queue, less that of the mean run of what runs"),
    ("other_queues", "how many wait in other queues, in tens"),
    ("others_idle", "a CPU other than this is idle"),
    ("now_run", "logarithm of the mean run of the task that runs"),
    ("now_last_run", "logarithm of its last run, less that of its mean run"),
    ("now_run_off", "how far its runs are off their mean, as a part of it"),
    ("now_served", "logarithm of its CPU time since its last wakeup"),
    ("now_blocks", "the share of its runs that end by blocking"),
    ("now_idle", "the idle task runs"),
    ("now_share", "the share of a CPU that the task that runs had"),
    ("now_real_time", "the task that runs is of the real-time or deadline class"),
)
NAMES = tuple(name for name, _ in FEATURES)
_FIRST_FAIR_PRIO, _LEAST_CHANCE, _USUAL_PRIO = 100, 1e-4, 120
#: What is left of a time that is over, and the most that counts of switches.
_LEAST_NS, _MOST_PASSED = 1000.0, 30

#: The logarithm of a time that is not known: longer than any that is.
_LONG = 4.0


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
    by_state = machine.by_state.get(here.now(), NO_COUNTS)
    ways = (
        (IDLE, past[-2]),
        (counts[2].last, *by_state.top[:2], *counts[3].top[:2], *counts[2].top, *counts[1].top, *counts[0].top),
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
        self._machine, self._cpu, self._now_ns, self._counts, self._here = machine, cpu, now_ns, counts, here
        self._running, self._leaver = here.running, past[-2]
        self._runs = runs = machine.tasks[here.running]
        self._woken, self._runs_so_far = machine.wakes[here.running], machine.runs[here.running] + 1
        self._places = {task: place for place, task in enumerate(reversed(here.queue))}
        self._ages = {task: age for age, task in enumerate(reversed(here.recent))}
        self._least = min(here.queue, key=lambda task: machine.tasks[task].share(now_ns), default=NOBODY)
        state = here.now()
        self._by_state = machine.by_state.get(state, NO_COUNTS)
        self._by_name = machine.by_name.get(machine.names[here.running], NO_COUNTS)
        self._by_named_state = machine.by_named_state.get(machine.named(state), NO_COUNTS)
        run = runs.rhythm("run")
        self._now_run = _known_log(run.mean_ns)
        others = [each for other, each in machine.cpus.items() if other != cpu]
        self._shared = (
            len(here.queue) / 10,
            _known_log(here.wakeups.mean_ns) - self._now_run,
            sum(len(other.queue) for other in others) / 10,
            float(any(other.running == IDLE for other in others)),
            self._now_run,
            _beside(run),
            run.off,
            log_ns(runs.served_ns),
            runs.blocks,
            float(here.running == IDLE),
            runs.share(now_ns),
            float(runs.prio < _FIRST_FAIR_PRIO),
        )

    def row(self, candidate: int) -> tuple[float, ...]:
        """The features of a candidate."""
        task, is_leaver = self._machine.tasks[candidate], candidate == self._leaver
        return (
            *self._waiting(candidate, task),
            *self._rhythm(task),
            task.share(self._now_ns),
            float(candidate == self._least),
            task.blocks,
            *self._chances(candidate),
            float(candidate == self._counts[2].last),
            self._woken[candidate] / self._runs_so_far if candidate in self._woken else 0.0,
            float(task.waker == self._running),
            float(self._runs.waker == candidate),
            float(task.comm == self._runs.comm),
            float(candidate == IDLE),
            float(is_leaver),
            float(is_leaver and candidate in self._places),
            float(task.prio < _FIRST_FAIR_PRIO),
            (task.prio - _USUAL_PRIO) / 10 if task.prio >= _FIRST_FAIR_PRIO else 0.0,
            float(task.ran_ns is None),
            float(task.cpu in (self._cpu, UNKNOWN_CPU)),
            self._ages.get(candidate, 12) / 10,
            *self._shared,
        )

    def _waiting(self, candidate: int, task: Task) -> tuple[float, ...]:
        place = self._places.get(candidate, -1)
        is_queued = place >= 0
        passed = min(self._here.switches - task.passed_from, _MOST_PASSED)
        return (
            float(is_queued),
            float(task.running_on != UNKNOWN_CPU),
            float(not is_queued and task.queued_on != UNKNOWN_CPU),
            float(is_queued and place == len(self._places) - 1),
            float(place == 0),
            place / 10,
            passed / 10 if is_queued else 0.0,
            log_ns(self._now_ns - task.since_ns) if is_queued else 0.0,
            _known_log(task.rhythm("wait").mean_ns),
        )

    def _rhythm(self, task: Task) -> tuple[float, ...]:
        run, sleep, between = task.rhythm("run"), task.rhythm("sleep"), task.rhythm("between")
        sleeps = task.blocked_ns is not None
        return (
            _known_log(None if task.ran_ns is None else self._now_ns - task.ran_ns),
            _known_log(run.mean_ns),
            _beside(run),
            log_ns(task.served_ns),
            _known_log(sleep.mean_ns) if sleeps else 0.0,
            sleep.off if sleeps else 0.0,
            *self._late(task.blocked_ns, sleep.mean_ns),
            self._late(task.woken_ns, between.mean_ns)[0],
            between.off,
            self._late(task.woken_ns if sleeps else None, between.mean_ns)[1],
        )

    def _late(self, since_ns: int | None, usual_ns: float | None) -> tuple[float, float]:
        """How long something has lasted beside how long it usually does; and how much is left of that, beside a run."""
        if since_ns is None or usual_ns is None:
            return 0.0, _LONG
        so_far_ns = self._now_ns - since_ns
        return log_ns(so_far_ns) - log_ns(usual_ns), log_ns(max(usual_ns - so_far_ns, _LEAST_NS)) - self._now_run

    def _chances(self, candidate: int) -> tuple[float, ...]:
        by_past = chances(candidate, self._running, self._counts)
        name = self._machine.names[candidate]
        by_state = self._by_state.chance(candidate, by_past[1])
        by_name = self._by_name.chance(name, 0.0)
        return (
            *by_past,
            _chance_log(by_past[3]),
            by_state,
            _chance_log(by_state),
            by_name,
            self._by_named_state.chance(name, by_name),
        )


def _chance_log(chance: float) -> float:
    return math.log10(max(chance, _LEAST_CHANCE))


def _beside(rhythm: Rhythm) -> float:
    """The last of some times, beside their mean."""
    return 0.0 if rhythm.mean_ns is None or rhythm.last_ns is None else log_ns(rhythm.last_ns) - log_ns(rhythm.mean_ns)


def _known_log(time_ns: float | None) -> float:
    return _LONG if time_ns is None else log_ns(time_ns)
