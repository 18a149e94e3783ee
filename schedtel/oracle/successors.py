"""Who came after whom so far in; the chance of each task to be next out, by counts with a longer and longer past.

The chance is Witten and Bell's: of n successors of a past, t distinct ones, the counts have n / (n + t) of the weight
and what a shorter past says has the rest (I. Witten, T. Bell, "The Zero-Frequency Problem", IEEE Transactions on
Information Theory 37, 1991).
"""

from __future__ import annotations

from typing import TypeAlias

#: How many successors of a past are kept in the order of their counts.
MOST_KEPT = 6
#: The tasks that ran before, the one that runs now last; with the CPU first where there is no past.
Past: TypeAlias = tuple[int, ...]


class Counts:
    """How often each task came after some past. ``top`` has the most frequent ones, ``last`` the newest."""

    __slots__ = ("last", "of", "top", "total")

    def __init__(self) -> None:
        self.of: dict[int, int] = {}
        self.total, self.last = 0, -1
        self.top: list[int] = []

    def add(self, task: int) -> None:
        count = self.of[task] = self.of.get(task, 0) + 1
        self.total, self.last, top = self.total + 1, task, self.top
        if task in top:
            place = top.index(task)
        elif len(top) < MOST_KEPT:
            place = len(top)
            top.append(task)
        elif count > self.of[top[-1]]:
            place = len(top) - 1
            top[place] = task
        else:
            return
        while place and count > self.of[top[place - 1]]:
            top[place], top[place - 1] = top[place - 1], top[place]
            place -= 1

    def chance(self, task: int, otherwise: float) -> float:
        """The chance of a task, by these counts and what a shorter past says."""
        if not self.total:
            return otherwise
        distinct = len(self.of)
        return (self.of.get(task, 0) + distinct * otherwise) / (self.total + distinct)


NO_COUNTS = Counts()


class Successors:
    """Counts for the pasts of up to three tasks, and for each CPU without a past."""

    def __init__(self) -> None:
        self._counts: dict[Past, Counts] = {}
        self._of_cpu: dict[int, Counts] = {}

    def add(self, cpu: int, past: Past, task: int) -> None:
        """Say that a task came to a CPU.

        :param past: the tasks that ran before there, as far as they are known, up to three; the newest last.
        """
        self._of_cpu.setdefault(cpu, Counts()).add(task)
        for length in range(1, len(past) + 1):
            key = past[-length:]
            counts = self._counts.get(key)
            if counts is None:
                counts = self._counts[key] = Counts()
            counts.add(task)

    def after(self, cpu: int, past: Past) -> list[Counts]:
        """The counts without a past, then after the last task, the last two, and the last three."""
        return [
            self._of_cpu.get(cpu, NO_COUNTS),
            *(self._counts.get(past[-n:], NO_COUNTS) if n <= len(past) else NO_COUNTS for n in (1, 2, 3)),
        ]


def chances(task: int, running: int, counts: list[Counts]) -> tuple[float, ...]:
    """The chance that a task is next, by each of the counts, which are of :meth:`Successors.after`.

    Without a past, the task that runs is left out, since a CPU never switches to it.
    """
    first = counts[0]
    total, distinct = first.total - first.of.get(running, 0), len(first.of) - (running in first.of)
    chance = first.of.get(task, 0) / (total + distinct) if total else 0.0
    found = [chance]
    for one in counts[1:]:
        chance = one.chance(task, chance)
        found.append(chance)
    return tuple(found)
