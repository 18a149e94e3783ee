"""The table ``tasks`` in; which row of it tells of a thread at a moment, out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from schedtel.eventlog.files import column, words
from schedtel.eventlog.schema import LIFE_KINDS
from schedtel.foreign_text import bytes_of

_NEWTASK = LIFE_KINDS.index("newtask")


class Tasks:
    """Who a tid is at a moment: what the last of its rows says; before the first one, what that says.

    The idle task, and a thread without any row (its birth was lost), have rows of their own behind those of the table:
    ``swapper``, and a name such as ``:4711``, as perf has it.
    """

    def __init__(self, tasks: pa.Table) -> None:
        self.tid, self.time_ns = column(tasks, "tid").astype(np.int64), column(tasks, "time_ns")
        self.tgid, self.kind = column(tasks, "tgid").astype(np.int64), words(tasks, "event", LIFE_KINDS)
        self.parent, self.prio = column(tasks, "parent_tid").astype(np.int64), column(tasks, "prio")
        self.comm = [bytes_of(name) for name in tasks["comm"].to_pylist()]
        born = np.where(self.kind == _NEWTASK, np.arange(len(self.tid)), -1)
        #: The life that each row is of: the row that began it, else the thread's first row.
        self.life = self._lives(born)
        self._add(0, b"swapper")

    def _lives(self, born: np.ndarray) -> np.ndarray:
        order = np.lexsort((self.time_ns, self.tid))
        first = np.diff(self.tid[order], prepend=-1) != 0
        begins = np.where(first | (born[order] >= 0), np.arange(len(order)), -1)
        lives = np.zeros(len(order), np.int64)
        if len(order):
            lives[order] = order[np.maximum.accumulate(begins)]
        return lives

    def _add(self, tid: int, comm: bytes) -> None:
        """A row of a thread that the table does not have."""
        self.life = np.append(self.life, len(self.tid))
        self.tid, self.tgid = np.append(self.tid, tid), np.append(self.tgid, tid)
        self.time_ns, self.kind = np.append(self.time_ns, 0), np.append(self.kind, np.int8(-1))
        self.parent, self.prio = np.append(self.parent, 0), np.append(self.prio, 120)
        self.comm.append(comm)

    def at(self, tids: np.ndarray, times: np.ndarray) -> np.ndarray:
        """The row of each thread at each time; all of shape (n,)."""
        for tid in np.setdiff1d(tids, self.tid).tolist():
            self._add(int(tid), b":%d" % tid)
        distinct = np.unique(self.tid)
        # A thread and a time as one number: what is left of 63 bits beside the threads is for the time.
        bits = 63 - len(distinct).bit_length()
        begin = int(min(self.time_ns.min(initial=0), times.min(initial=0)))
        end = int(max(self.time_ns.max(initial=0), times.max(initial=0)))
        shift = max(0, (end - begin).bit_length() - bits)

        def key(of: np.ndarray, at: np.ndarray) -> np.ndarray:
            return np.searchsorted(distinct, of) << bits | (at.astype(np.int64) - begin) >> shift

        rows = key(self.tid, self.time_ns)
        order = np.argsort(rows, kind="stable")
        rows, first = rows[order], np.searchsorted(distinct, tids) << bits
        last = np.searchsorted(rows, key(tids, times), side="right") - 1
        return order[np.maximum(last, np.searchsorted(rows, first))]
