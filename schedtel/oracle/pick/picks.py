"""A recording of events with books in; each switch with who came, who was said to come, and why that differs, out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np

from schedtel.errors import RecordingError
from schedtel.eventlog.files import column, known
from schedtel.eventlog.recording import EventRecording
from schedtel.oracle.pick.emulator import Emulator
from schedtel.oracle.pick.steps import COMES, LEAVES, MIGRATE, QUEUED, RUNNABLE, SWITCH, Book, Step, steps
from schedtel.oracle.pick.waiting import FIRST_FAIR, Wait, Waiting
from schedtel.oracle.pick.without_books import WithoutBooks

#: Why another thread came than was said: it was not known to wait, since an event is missing; it or the other one was
#: moved, and nothing was told of it since; one of the two is of a higher class; the two have the same deadline; a group
#: was taken for favoured; else.
REASONS = ("lost event", "moved", "class", "tie", "favoured", "other")
#: Nobody.
_NONE = -1


class Pick(NamedTuple):
    """A switch. The guesses: of the emulator; of the one without books; the last woken; the one with the lowest
    vruntime; the one that waits longest. ``waiting``: how many waited, but for the one that leaves.
    """

    time_ns: int
    cpu: int
    came: int
    waiting: int
    emulator: int
    without_books: int
    last_woken: int
    lowest_vruntime: int
    longest_waiting: int
    reason: str


GUESSES = Pick._fields[4:9]


@dataclass(frozen=True)
class Picks:
    """The switches of a recording at which two or more waited. ``switches``: all of them; ``spoiled``: the contested
    ones in a gap, which are left out.
    """

    contested: list[Pick]
    switches: int
    spoiled: int

    def share(self, guess: str) -> float:
        """The share of the contested switches at which the one that came was the one that was guessed."""
        hits = [getattr(pick, guess) == pick.came for pick in self.contested]
        return sum(hits) / len(hits) if hits else float("nan")


def judge(recording: EventRecording, most_switches: int) -> Picks:
    """Follow a recording until there were so many switches.

    Raises :class:`RecordingError` for a recording without books, or with a filter.
    """
    follower = _Follower(len(recording.cpus))
    for step in steps(recording, most_switches):
        follower.take(step)
    if not follower.has_books and follower.picks:
        raise RecordingError(
            "cannot follow the scheduler's choices: no books in the recording (record with `schedtel events record "
            "--books`)"
        )
    spoiled = _spoiled(recording, follower.picks)
    contested = [(pick, is_out) for pick, is_out in zip(follower.picks, spoiled, strict=True) if pick.waiting > 1]
    kept = [pick for pick, is_out in contested if not is_out]
    return Picks(kept, len(follower.picks), len(contested) - len(kept))


def _spoiled(recording: EventRecording, picks: list[Pick]) -> list[bool]:
    """Which picks are in a gap of their CPU, or of no known one. Births that were lost change no choice."""
    gaps = recording.gaps()
    times, cpus = np.array([pick.time_ns for pick in picks], np.int64), np.array([pick.cpu for pick in picks], np.int64)
    found = np.zeros(len(picks), bool)
    columns = (column(gaps, "from_ns"), column(gaps, "to_ns"), column(gaps, "cpu"), known(gaps, "cpu"))
    rows = zip(*(each.tolist() for each in columns), gaps["cause"].to_pylist(), strict=True)
    for from_ns, to_ns, cpu, has_cpu, cause in rows:
        if cause != "lives_full":
            found |= (from_ns < times) & (times <= to_ns) & ((cpus == cpu) | (not has_cpu))
    return list(found.tolist())


class _Follower:
    """Takes events one by one, and guesses at each switch before it looks at who came."""

    def __init__(self, cpus: int) -> None:
        self.picks: list[Pick] = []
        self.has_books = False
        self._emulator, self._flat, self._waiting = Emulator(), WithoutBooks(cpus), Waiting()
        self._moved: set[int] = set()

    def take(self, step: Step) -> None:
        self.has_books = self.has_books or bool(step.books)
        if step.kind == SWITCH:
            self._switch(step)
        else:
            self._tell(step.books, step.tid, step.source if step.kind == MIGRATE else step.target)
            self._emulator.tell_buddies(step.books)
            if step.kind == MIGRATE and step.tid in self._waiting.on(step.source):
                self._moved.add(step.tid)
        self._waiting.follow(step)
        self._flat.follow(step)

    def _tell(self, books: list[Book], tid: int, cpu: int) -> None:
        """Take over the books of a thread; where there are none, it is not of the fair class, or not any more."""
        if books:
            self._emulator.tell(books, cpu)
            self._moved.discard(tid)
        else:
            self._emulator.forget(tid)

    def _switch(self, step: Step) -> None:
        if self._waiting.begins(step):
            self._emulator.begin(step.cpu)
        ghost = self._waiting.ghost(step)
        if ghost is not None:
            self._waiting.forget(ghost)
            self._emulator.forget(ghost)
        leaves = [book for book in step.books if book.role == LEAVES]
        comes = [book for book in step.books if book.role == COMES]
        self._queued([book for book in step.books if book.role == QUEUED], step)
        self._tell(leaves, step.prev_tid, step.cpu)
        self._emulator.put_back(leaves)
        if step.prev_state not in RUNNABLE:
            self._emulator.fell_asleep(leaves)
        self.picks.append(self._guessed(step, leaves))
        self._tell(comes, step.tid, step.cpu)
        self._emulator.tell_buddies(leaves + comes)
        if step.prio >= FIRST_FAIR:
            self._waiting.pass_over(step.cpu)

    def _queued(self, books: list[Book], step: Step) -> None:
        """Threads that are on this queue, and no event has said so."""
        for tid, own in groupby(books, lambda book: book.tid):
            self._tell(list(own), tid, step.cpu)
            if tid not in self._waiting.on(step.cpu) and tid != step.prev_tid:
                wait = Wait(step.time_ns, was_woken=False, prio=self._waiting.prio(tid))
                self._waiting.begin(tid, step.cpu, wait)

    def _guessed(self, step: Step, leaves: list[Book]) -> Pick:
        waiting = {tid: wait for tid, wait in self._waiting.on(step.cpu).items() if tid != step.prev_tid}
        guess = self._emulated(step, leaves)
        reason = "" if guess == step.tid else self._reason(step, guess, waiting)
        return Pick(
            step.time_ns,
            step.cpu,
            step.tid,
            len(waiting),
            guess,
            self._first(step, self._flat.pick(step)),
            max(waiting, key=lambda tid: (waiting[tid].was_woken, waiting[tid].since_ns), default=_NONE),
            min(waiting, key=self._vruntime, default=_NONE),
            min(waiting, key=lambda tid: waiting[tid].since_ns, default=_NONE),
            reason,
        )

    def _first(self, step: Step, fair: int | None) -> int:
        """One of a higher class, if there is any; else this one of the fair class, or the idle task."""
        first = self._waiting.first_of_a_higher_class(step.cpu)
        return first if first is not None else fair or 0

    def _emulated(self, step: Step, leaves: list[Book]) -> int:
        """The emulator's guess. A switch away from a thread says that it was not chosen again."""
        running = [book.entity for book in leaves]
        picked = self._emulator.pick(step.cpu, running)
        if picked and picked.tid == step.prev_tid:
            picked = self._emulator.pick(step.cpu, running, barred=picked.number)
        return self._first(step, picked.tid if picked else None)

    def _vruntime(self, tid: int) -> int:
        entity = self._emulator.entity_of(tid)
        return entity.vruntime if entity else 1 << 62

    def _reason(self, step: Step, guess: int, waiting: dict[int, Wait]) -> str:
        if step.tid and step.tid not in waiting:
            return "lost event"
        if {step.tid, guess} & self._moved:
            return "moved"
        if step.prio < FIRST_FAIR or (guess in waiting and waiting[guess].prio < FIRST_FAIR):
            return "class"
        own, other = self._emulator.entity_of(step.tid), self._emulator.entity_of(guess)
        rivals = self._emulator.rivals(own, other) if own and other else None
        if rivals and rivals[0].deadline == rivals[1].deadline:
            return "tie"
        return "favoured" if rivals and self._emulator.is_favoured(rivals[1]) else "other"
