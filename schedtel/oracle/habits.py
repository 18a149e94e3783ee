"""What a task does one time after another in; what it usually does, and since when it has been what it is, out."""

from __future__ import annotations

import math

from schedtel.oracle.runs import NOBODY, UNKNOWN_CPU

#: CPU time is forgotten with this time constant.
MEMORY_NS = 20_000_000.0
#: Weight of the newest of a task's times in their mean, and of the newest end of a run.
_NEWEST, _NEWEST_END = 0.3, 0.2
#: How far off its mean a time counts at most, as a part of the mean.
_MOST_OFF = 3.0


def moved(mean: float | None, value: float, newest: float = _NEWEST) -> float:
    """A moving mean with one more value."""
    return value if mean is None else mean + newest * (value - mean)


class Rhythm:
    """A time that comes again and again: the last one, their moving mean, and how far off that mean they are, as a part
    of it, 0 for a clock. Nanoseconds; None before the first.
    """

    __slots__ = ("last_ns", "mean_ns", "off")

    def __init__(self) -> None:
        self.last_ns: float | None = None
        self.mean_ns: float | None = None
        self.off = 1.0

    def add(self, time_ns: float) -> None:
        self.last_ns = time_ns
        if self.mean_ns is not None:
            self.off = moved(self.off, min(abs(time_ns - self.mean_ns) / (self.mean_ns + 1), _MOST_OFF))
        self.mean_ns = moved(self.mean_ns, time_ns)


class Habits:
    """The times of a task, or of all tasks of a name: of its runs, of its sleeps, from one wakeup to the next, and of
    its waits in a queue. ``blocks``: the share of its runs that end by blocking.
    """

    __slots__ = ("between", "blocks", "run", "sleep", "wait")

    def __init__(self) -> None:
        self.run, self.sleep, self.between, self.wait = Rhythm(), Rhythm(), Rhythm(), Rhythm()
        self.blocks = 0.5


class Task:
    """What the events so far say of a task. Times are nanoseconds; None where nothing is known.

    :param kin: the habits of all tasks of its name, which stand in for its own until it has some.
    """

    __slots__ = (
        *("comm", "cpu", "prio", "queued_on", "running_on", "since_ns", "ran_ns", "blocked_ns", "woken_ns"),
        *("habits", "kin", "passed_from", "served_ns", "used_ns", "used_at_ns", "waker"),
    )

    def __init__(self, comm: str, kin: Habits) -> None:
        self.comm, self.prio, self.habits, self.kin = comm, 120, Habits(), kin
        self.cpu = self.queued_on = self.running_on = UNKNOWN_CPU
        #: Since when it has waited, when it ran last, when it blocked, when it was woken.
        self.since_ns = 0
        self.ran_ns: int | None = None
        self.blocked_ns: int | None = None
        self.woken_ns: int | None = None
        #: How many switches its CPU had had when it came to the queue.
        self.passed_from = 0
        #: CPU time since its last wakeup; and the task that ran where the wakeup happened.
        self.served_ns, self.waker = 0, NOBODY
        self.used_ns, self.used_at_ns = 0.0, 0

    def rhythm(self, name: str) -> Rhythm:
        """One of its habits, or that of its name where it has none of its own yet."""
        own: Rhythm = getattr(self.habits, name)
        kin: Rhythm = getattr(self.kin, name)
        return kin if own.mean_ns is None else own

    @property
    def blocks(self) -> float:
        """The share of its runs that end by blocking."""
        return self.kin.blocks if self.habits.run.mean_ns is None else self.habits.blocks

    def note(self, name: str, time_ns: float) -> None:
        """Add a time to one of its habits."""
        getattr(self.habits, name).add(time_ns)
        getattr(self.kin, name).add(time_ns)

    def ended(self, *, blocked: bool) -> None:
        """Note how a run ended."""
        for habits in (self.habits, self.kin):
            habits.blocks = moved(habits.blocks, float(blocked), _NEWEST_END)

    def ran(self, length_ns: int, now_ns: int) -> None:
        """Note a run that ends now."""
        self.note("run", length_ns)
        self.served_ns += length_ns
        self.used_ns = self.used_ns * math.exp((self.used_at_ns - now_ns) / MEMORY_NS) + min(length_ns, MEMORY_NS)
        self.used_at_ns = now_ns

    def share(self, now_ns: int) -> float:
        """Share of a CPU that it had lately, from 0 to 1."""
        return self.used_ns * math.exp((self.used_at_ns - now_ns) / MEMORY_NS) / MEMORY_NS
