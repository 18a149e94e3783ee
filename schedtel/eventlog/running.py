"""Batches of events in; who is on the CPU at each event, and the events of each CPU by themselves, out. For exports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

import numpy as np
import pyarrow as pa

from schedtel.eventlog.batch import EventBatch
from schedtel.eventlog.files import column, losses, words
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.schema import KINDS

_RUNNING = np.dtype([("tid", "<i8"), ("prio", "<i4"), ("since_ns", "<i8")])
_UNKNOWN = np.array((0, 120, -1), _RUNNING)
#: What writes a piece takes some hundred bytes an event meanwhile.
_PIECE_EVENTS = 1 << 16


class Running:
    """What each CPU is running, as the events so far tell: the thread, its priority, and since when."""

    def __init__(self) -> None:
        self._last: dict[int, np.void] = {}

    def before(self, events: pa.Table, is_switch: np.ndarray) -> np.ndarray:
        """What is on the CPU right before each event, which are in the order of time; shape (n,) of _RUNNING."""
        cpus = column(events, "cpu")
        comes = np.empty(len(cpus), _RUNNING)
        for name, told in (("tid", "tid"), ("prio", "prio"), ("since_ns", "time_ns")):
            comes[name] = column(events, told)
        found = np.empty(len(cpus), _RUNNING)
        for cpu in np.unique(cpus).tolist():
            own = np.flatnonzero(cpus == cpu)
            last = np.maximum.accumulate(np.where(is_switch[own], np.arange(len(own)), -1))
            before = np.concatenate([[-1], last[:-1]])
            found[own] = np.where(before >= 0, comes[own[before]], self._last.get(cpu, _UNKNOWN))
            if last[-1] >= 0:
                self._last[cpu] = comes[own[last[-1]]]
        return found


@dataclass(frozen=True)
class Columns:
    """Columns of a batch's events, shape (n,): as recorded; and who is on the CPU, ``by``, and whom the event is of."""

    events: pa.Table
    kinds: np.ndarray
    before: np.ndarray
    current: np.ndarray
    by: np.ndarray
    whose: np.ndarray
    tgid: np.ndarray
    names: np.ndarray
    _read: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, events: pa.Table, tasks: Tasks, running: Running) -> Self:
        kinds, times, tids = words(events, "event", KINDS), column(events, "time_ns"), column(events, "tid")
        is_switch = kinds == KINDS.index("switch")
        before = running.before(events, is_switch)
        current = np.where(is_switch, column(events, "prev_tid"), before["tid"])
        whose, by = tasks.at(tids, times), tasks.at(current, times)
        return cls(events, kinds, before, current, by, whose, tasks.tgid, np.array(tasks.comm, "S16"))

    def of_kind(self, kind: str, among: np.ndarray | None = None) -> np.ndarray:
        """The rows of a kind; of some rows only, if they are given."""
        if among is None:
            return np.flatnonzero(self.kinds == KINDS.index(kind))
        return among[self.kinds[among] == KINDS.index(kind)]

    def of_rows(self, name: str, rows: np.ndarray) -> np.ndarray:
        """A numeric column of the events, at some rows."""
        if name not in self._read:
            self._read[name] = column(self.events, name)
        return self._read[name][rows]


@dataclass(frozen=True)
class Piece:
    """Events of a CPU that follow each other: their rows in the batch. Right before them ``missing`` events are lost,
    of which the last one was before ``until_ns``.
    """

    cpu: int
    rows: np.ndarray
    missing: int = 0
    until_ns: int = 0


class Pieces:
    """Cuts batches into pieces, at the ends of gaps. Gaps of no known CPU are left out."""

    def __init__(self) -> None:
        self._gaps: dict[int, list[tuple[int, int]]] = {}

    def of(self, batch: EventBatch) -> Iterator[Piece]:
        """The pieces of a batch, by CPU. A gap behind its events is kept for the next one."""
        self._add(batch.gaps)
        cpus, times = column(batch.events, "cpu"), column(batch.events, "time_ns")
        for cpu in np.unique(cpus).tolist():
            own = np.flatnonzero(cpus == cpu)
            yield from self._cut(cpu, own, times[own])

    def _add(self, gaps: pa.Table) -> None:
        rows = losses(gaps)
        columns = (column(gaps, name)[rows].tolist() for name in ("cpu", "to_ns", "events"))
        for cpu, to_ns, events in zip(*columns, strict=True):
            self._gaps.setdefault(cpu, []).append((to_ns, events))

    def _cut(self, cpu: int, own: np.ndarray, times: np.ndarray) -> Iterator[Piece]:
        gaps = sorted(self._gaps.pop(cpu, []))
        due = [gap for gap in gaps if gap[0] <= times[-1]]
        self._gaps[cpu] = gaps[len(due) :]
        edges = [0, *np.searchsorted(times, [to_ns for to_ns, _ in due]).tolist(), len(own)]
        for (begin, end), (to_ns, events) in zip(pairwise(edges), [(0, 0), *due], strict=True):
            yield Piece(cpu, own[begin : min(end, begin + _PIECE_EVENTS)], events, to_ns)
            for at in range(begin + _PIECE_EVENTS, end, _PIECE_EVENTS):
                yield Piece(cpu, own[at : min(end, at + _PIECE_EVENTS)])

    def rest(self) -> Iterator[Piece]:
        """The gaps behind the last events of their CPUs, as pieces without events."""
        for cpu, gaps in sorted(self._gaps.items()):
            for to_ns, events in sorted(gaps):
                yield Piece(cpu, np.zeros(0, np.int64), events, to_ns)
