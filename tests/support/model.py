"""What a scheduler history means, from the definitions alone: events in, exact figures per task and window out.

Nothing here is incremental. The model writes down each life in full, as stretches of time and as moments; a window is
the part of it in [start, end). The model is slow and plain, and has no banks, rolls or sequence numbers.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

from schedtel.records.histogram import FINE_EDGES_NS, TASK_EDGES_NS

TASK_DEAD = 0x80
SLEEPING = 1
#: The tid of task 0 on a machine, and in a trace; that of the others follows it.
FIRST_TID = 100


@dataclass(frozen=True)
class Fork:
    now: int
    task: int


@dataclass(frozen=True)
class Arrive:
    """sched_wakeup_new."""

    now: int
    task: int


@dataclass(frozen=True)
class Wake:
    """sched_wakeup. The kernel reports wakeups of running tasks too."""

    now: int
    task: int


@dataclass(frozen=True)
class Exit:
    """sched_process_exit."""

    now: int
    task: int
    cpu: int


@dataclass(frozen=True)
class Switch:
    """sched_switch; ``prev`` or ``next`` is None for the idle task."""

    now: int
    cpu: int
    prev: int | None
    next: int | None
    preempt: bool = False
    prev_state: int = 0
    iowait: bool = False

    @property
    def runnable(self) -> bool:
        return self.preempt or self.prev_state == 0


@dataclass(frozen=True)
class Release:
    """The task is reaped and unhashed: it is on no list any more, though its last switch may still come."""

    now: int
    task: int


@dataclass(frozen=True)
class CpuDies:
    """A CPU is offline and dead. No event told of the last switch there, which its stopper left by."""

    now: int
    cpu: int


@dataclass(frozen=True)
class CpuComes:
    """The kernel is about to bring a CPU up."""

    now: int
    cpu: int


Event = Fork | Arrive | Wake | Exit | Switch | Release | CpuDies | CpuComes


@dataclass(frozen=True)
class Sample:
    """A wait or a burst: ``end`` and ``cpu`` are None while it goes on."""

    kind: str
    start: int
    end: int | None = None
    cpu: int | None = None

    @property
    def duration(self) -> int:
        return self.end - self.start


@dataclass
class Life:
    """One task, from fork to completion; what it still runs after that is teardown of its CPU."""

    fork: int
    arrival: int | None = None
    first_cpu: int | None = None
    completion: int | None = None
    #: (moment, what it does from then on)
    doing: list[tuple[int, str]] = field(default_factory=lambda: [(0, "not_alive")])
    samples: list[Sample] = field(default_factory=list)
    #: name of a counter → moments at which it was counted
    moments: dict[str, list[int]] = field(default_factory=dict)
    last_cpu: int | None = None

    def now_doing(self) -> str:
        return self.doing[-1][1]

    def count(self, name: str, now: int) -> None:
        self.moments.setdefault(name, []).append(now)

    def begin(self, kind: str, now: int) -> None:
        self.samples.append(Sample(kind, now))

    def end(self, kinds: tuple[str, ...], now: int, cpu: int) -> None:
        """End the open samples of these kinds, now and on this CPU."""
        self.samples = [replace(s, end=now, cpu=cpu) if s.end is None and s.kind in kinds else s for s in self.samples]


WAITS = ("wakeup_wait", "preempt_wait")
COUNTERS = ("voluntary_switches", "involuntary_switches", "wakeups", "migrations")


def lives(events: list[Event]) -> dict[int, Life]:
    """Every task's life: task → life."""
    found: dict[int, Life] = {}
    for event in events:
        if isinstance(event, Fork):
            found[event.task] = Life(fork=event.now)
        elif isinstance(event, Arrive):
            found[event.task].arrival = event.now
            _becomes_runnable(found[event.task], event.now)
        elif isinstance(event, Wake):
            _wakes(found[event.task], event.now)
        elif isinstance(event, Exit):
            _completes(found[event.task], event)
        elif isinstance(event, Switch):
            if event.prev is not None:
                _leaves(found[event.prev], event)
            if event.next is not None:
                _comes_in(found[event.next], event)
    return found


def _becomes_runnable(life: Life, now: int) -> None:
    life.doing.append((now, "wakeup_wait"))
    life.begin("wakeup_wait", now)
    life.begin("burst_tat", now)


def _wakes(life: Life, now: int) -> None:
    if life.now_doing() in ("blocked", "iowait"):
        life.count("wakeups", now)
        _becomes_runnable(life, now)


def _completes(life: Life, event: Exit) -> None:
    life.completion = event.now
    life.doing.append((event.now, "not_alive"))
    life.end(("burst_tat",), event.now, event.cpu)


def _leaves(life: Life, event: Switch) -> None:
    if life.completion is not None:
        return
    if event.runnable:
        life.count("involuntary_switches", event.now)
        life.doing.append((event.now, "preempt_wait"))
        life.begin("preempt_wait", event.now)
    else:
        life.count("voluntary_switches", event.now)
        life.doing.append((event.now, "iowait" if event.iowait else "blocked"))
        life.end(("burst_tat",), event.now, event.cpu)


def _comes_in(life: Life, event: Switch) -> None:
    if life.completion is not None:
        return
    life.end(WAITS, event.now, event.cpu)
    life.doing.append((event.now, "running"))
    if life.first_cpu is None:
        life.first_cpu = event.now
    elif life.last_cpu != event.cpu:
        life.count("migrations", event.now)
    life.last_cpu = event.cpu


def times(life: Life, start: int, end: int) -> Counter[str]:
    """How long the task did each thing between two moments: what it does → ns."""
    spent: Counter[str] = Counter()
    ends = [moment for moment, _ in life.doing[1:]] + [end]
    for (begin, what), finish in zip(life.doing, ends, strict=True):
        spent[what] += max(0, min(finish, end) - max(begin, start))
    return spent


def alive_ns(life: Life, start: int, end: int) -> int:
    if life.arrival is None:
        return 0
    death = end if life.completion is None else min(life.completion, end)
    return max(0, death - max(life.arrival, start))


def bucket(edges: list[int], ns: int) -> int:
    """The bucket of a duration: the last one whose lower edge is not above it."""
    return max(i for i, edge in enumerate(edges[:-1]) if edge <= ns)


def histogram(edges, durations: list[int]) -> list[int]:
    counts = Counter(bucket(list(edges), ns) for ns in durations)
    return [counts[i] for i in range(len(edges) - 1)]


def row(life: Life, start: int, end: int) -> dict[str, object]:
    """The task's row of the window [start, end).

    A life that ends on the edge has no part in the next window: its completion belongs to the one it ends with.
    """

    def inside(moment: int | None) -> bool:
        return moment is not None and start <= moment < end

    def happened(moment: int | None) -> int:
        return moment if moment is not None and moment < end else 0

    spent = times(life, start, end)
    completion = life.completion if life.completion is not None and life.completion <= end else 0
    waits = [s.duration for s in life.samples if s.kind in WAITS and inside(s.end)]
    bursts = [s.duration for s in life.samples if s.kind == "burst_tat" and inside(s.end)]
    going_on = [s for s in life.samples if s.start < end and (s.end is None or s.end >= end)]
    waiting_since = [s.start for s in going_on if s.kind in WAITS]
    return {
        "alive_ns": alive_ns(life, start, end),
        "fork_ns": happened(life.fork),
        "arrival_ns": happened(life.arrival),
        "first_cpu_ns": life.first_cpu or 0 if completion else happened(life.first_cpu),
        "completion_ns": completion,
        **{what: spent[what] for what in ("running", *WAITS, "blocked", "iowait")},
        **{name: sum(map(inside, life.moments.get(name, []))) for name in COUNTERS},
        "bursts": len(bursts),
        "burst_tat_sum_ns": sum(bursts),
        "max_wait_ns": max(waits, default=0),
        "waits_unfinished": len(waiting_since),
        "open_wait_ns": end - min(waiting_since, default=end),
        "bursts_unfinished": len(going_on) - len(waiting_since),
        "wait_histogram": histogram(TASK_EDGES_NS, waits),
        "burst_tat_histogram": histogram(TASK_EDGES_NS, bursts),
    }


def demand_ns(numbers: dict[str, object]) -> int:
    """Time for which the task asked for a CPU: running and waiting."""
    return numbers["running"] + numbers["wakeup_wait"] + numbers["preempt_wait"]


def cpu_row(events: list[Event], cpu: int, start: int, end: int) -> dict[str, int]:
    """What one CPU did, by the tasks that switched in; it is idle until its first switch."""
    doing, completed, switches = [(0, "idle_ns")], set(), 0
    for event in events:
        if isinstance(event, Exit):
            completed.add(event.task)
        if isinstance(event, Exit) and event.cpu == cpu:
            doing.append((event.now, "teardown_ns"))
        if isinstance(event, Switch) and event.cpu == cpu:
            running = "teardown_ns" if event.next in completed else "busy_ns"
            doing.append((event.now, "idle_ns" if event.next is None else running))
            switches += start <= event.now < end
    spent = {"busy_ns": 0, "idle_ns": 0, "teardown_ns": 0}
    ends = [moment for moment, _ in doing[1:]] + [end]
    for (begin, what), finish in zip(doing, ends, strict=True):
        spent[what] += max(0, min(finish, end) - max(begin, start))
    return {**spent, "untracked_ns": 0, "switches": switches}


def samples(found: list[Life], kind: str, cpu: int, start: int, end: int) -> dict[str, object]:
    """Samples of these tasks that ended on one CPU in the window."""
    ended = [
        sample.duration
        for life in found
        for sample in life.samples
        if sample.kind == kind and sample.cpu == cpu and start <= sample.end < end
    ]
    return {"sum_ns": sum(ended), "max_ns": max(ended, default=0), "histogram": histogram(FINE_EDGES_NS, ended)}


IDLE = "(idle)"


def preemptions(events: list[Event], start: int, end: int) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Who preempted whom, by the tasks' own names: number, sum and longest of the waits that ended in the window."""
    taken, completed, waits = {}, set(), {}
    for event in events:
        if isinstance(event, Exit):
            completed.add(event.task)
        if not isinstance(event, Switch):
            continue
        if event.prev is not None and event.runnable and event.prev not in completed:
            taken[event.prev] = (event.now, IDLE if event.next is None else name_of(event.next))
        if event.next in taken:
            since, preemptor = taken.pop(event.next)
            if start <= event.now < end:
                waits.setdefault((name_of(event.next), preemptor), []).append(event.now - since)
    return {pair: (len(found), sum(found), max(found)) for pair, found in waits.items()}


def longest_waits(events: list[Event], start: int, end: int) -> list[dict[str, object]]:
    """All waits that ended in the window, or go on past its end, the longest first; those of no time left out.

    ``behind`` is the task that left the CPU as the waiter came in, ``IDLE`` for none; None for a wait that goes on.
    """
    left: dict[tuple[int, int | None], str] = {}
    for event in (e for e in events if isinstance(e, Switch)):  # of two at one moment, the second ends no wait
        left.setdefault((event.now, event.next), IDLE if event.prev is None else name_of(event.prev))
    found = []
    for task, life in lives(events).items():
        for sample in (s for s in life.samples if s.kind in WAITS and s.start < end):
            row = {"tid": FIRST_TID + task, "kind": sample.kind.removesuffix("_wait"), "wait_start_ns": sample.start}
            if sample.end is None or sample.end >= end:
                found.append(row | {"wait_ns": end - sample.start, "goes_on": True, "cpu": None, "behind": None})
            elif sample.end >= start:
                told = {"cpu": sample.cpu, "behind": left[sample.end, task]}
                found.append(row | {"wait_ns": sample.duration, "goes_on": False} | told)
    waits = [row for row in found if row["wait_ns"]]
    return sorted(waits, key=lambda row: (-row["wait_ns"], row["wait_start_ns"], row["tid"]))


def name_of(task: int) -> str:
    return f"task-{task}"
