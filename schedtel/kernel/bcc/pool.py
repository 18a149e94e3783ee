"""Mapped slots in; task records and folded tasks of one window out.

The programs write the slots, each under its run queue's lock; the flush reads them in place, without a lock. It claims
a task first (``flushed``), then looks whether a program has written the slot meanwhile. If so, it takes the claim back
and asks the task again. So a program that writes later sees the claim, and the flush sees that one has written earlier.
"""

import time
from collections.abc import Callable, Iterable

import numpy as np

from schedtel.kernel.bcc import slots
from schedtel.kernel.bcc.at_edge import OpenWaits, note_occupants
from schedtel.kernel.bcc.membarrier import order
from schedtel.kernel.bcc.slots import Edges
from schedtel.records import layout
from schedtel.records.buffer import RecordBuffer, opaque

#: How long a slot rests before it is used again: longer than a program that still holds it can take.
_REST_NS = 100_000_000
#: A completed task may still run while the kernel takes it apart. If no program sees its last switch, its slot is taken
#: back after this time, which no teardown lasts.
_LONGEST_TEARDOWN_NS = 60_000_000_000
#: A CPU gets half of its even part of all slots, but at least this many if its even part has as many.
_LEAST_SHARE = 64
_OPAQUE = opaque(slots.SLOT)


class Pool:
    """All slots and the CPUs' queues of free ones. Slot 0 stays unused.

    :param pages: the mapped slots, shape (n,) of ``slots.SLOT``.
    :param cpus: the mapped queues, of ``slots.SLOT_CPU``, one for each possible CPU.
    :param cpu_numbers: the CPUs that get free slots.
    :param settings: a record of ``layout.SETTINGS``.
    :param rest_ns: how long a slot rests before it is used again.
    :param cpu_of: tid → the CPU where a task is queued.
    """

    def __init__(
        self,
        pages: np.ndarray,
        cpus: np.ndarray,
        cpu_numbers: Iterable[int],
        settings: np.ndarray,
        rest_ns: int = _REST_NS,
        cpu_of: Callable[[int], int] = lambda _: layout.WAIT_CPU_UNKNOWN,
    ) -> None:
        self.slots, self._cpus, self._settings, self._rest_ns = pages, cpus, settings, rest_ns
        self.open_waits = OpenWaits(cpu_of)
        self.cpu_numbers = list(cpu_numbers)
        self._opaque = pages.view(_OPAQUE)
        self._seqcounts = pages["state"]["seqcount"].view("<u8")
        self._flushed, self._tids = pages["state"]["flushed"], pages["tid"]
        self._free = list(range(len(pages) - 1, 0, -1))
        self._high = 1  # slots from here on have never been used
        #: When a completed task was reported for the last time; 0: not yet.
        self._reported_ns: np.ndarray = np.zeros(len(pages), np.int64)
        self._records: list[np.ndarray] = []
        self._folded: dict[int, np.ndarray] = {}
        self.refill()

    @property
    def _share(self) -> int:
        """How many free slots each CPU gets, by the present number of CPUs."""
        even = (len(self.slots) - 1) // len(self.cpu_numbers)
        return max(1, min(slots.FREE_SLOTS, even, max(_LEAST_SHARE, even // 2)))

    # ---- slots in and out of use ----

    def take(self) -> int:
        """The index of a zeroed slot, for the collector to fill; 0 if no slot is free."""
        index = self._free.pop() if self._free else 0
        self._high = max(self._high, index + 1)
        return index

    def give_back(self, indices: np.ndarray) -> None:
        """Clear slots that no program holds any more, and make them free."""
        self._opaque[indices] = np.zeros((), _OPAQUE)
        self._reported_ns[indices] = 0
        self._free += sorted(indices.tolist(), reverse=True)

    def in_use(self) -> np.ndarray:
        """Indices of slots whose task has not been reported for the last time."""
        used = np.flatnonzero(self._tids[: self._high])
        return used[self._reported_ns[used] == 0]

    def short_of_slots(self) -> bool:
        """Whether a CPU has used half of its share."""
        queues = self._cpus[self.cpu_numbers]
        return bool(((queues["free_tail"] - queues["free_head"]) < self._share / 2).any())

    def refill(self) -> None:
        """Take back slots that have rested; then fill up every CPU's queue to its share, while free slots last."""
        self._take_back()
        for number in self.cpu_numbers:
            queue = self._cpus[number]
            tail = int(queue["free_tail"])
            missing = self._share - (tail - int(queue["free_head"]) & 0xFFFFFFFF)
            added = [self.take() for _ in range(min(missing, len(self._free)))]
            queue["free"][(tail + np.arange(len(added))) % slots.FREE_SLOTS] = added
            order()
            queue["free_tail"] = (tail + len(added)) & 0xFFFFFFFF

    def _take_back(self) -> None:
        """Free the slots of reported tasks that have left their CPU for good, or should have."""
        now = time.monotonic_ns()
        reported = np.flatnonzero(self._reported_ns[: self._high])
        rested = now - self._reported_ns[reported]
        gone = (self.slots["status"][reported] & slots.GONE) != 0
        self.give_back(reported[(gone & (rested >= self._rest_ns)) | (rested > _LONGEST_TEARDOWN_NS)])

    # ---- reading ----

    def copy(self, indices: np.ndarray) -> np.ndarray:
        """A copy of slots as they are now: shape (n,) of ``slots.SLOT``."""
        return self._opaque[indices].view(slots.SLOT)

    def report_completed(self, window: Edges) -> None:
        """Report the tasks that have completed, which need not wait for the window's end."""
        used = self.in_use()
        seen = self._seqcounts[used]
        order()
        self._report_last(used[_quiet(seen) & _has(seen, slots.COMPLETED)], window)

    def flush(self, window: Edges) -> int:
        """Report every task for a window whose end has passed. Returns how many busy tasks must be asked again."""
        used = self.in_use()
        seen = self._seqcounts[used]
        order()
        copied = self.copy(used)
        completed, known = _has(seen, slots.COMPLETED), _phase(seen) != 0
        flushed_before = self._flushed[used]
        owed = known & ~completed & (flushed_before < window.number)
        self._flushed[used[owed]] = window.number
        order()
        seen_after = self._seqcounts[used]
        # A copy is good if no program has written since `seen`, or if the task has rolled: its old bank is frozen then.
        steady = _quiet(seen) & (seen == seen_after)
        frozen = (copied["state"]["window"] > window.number) & ~_has(seen_after, slots.COMPLETED)
        reported = owed & (steady | frozen)
        self._flushed[used[owed & ~reported]] = flushed_before[owed & ~reported]
        self._report(used[reported], copied[reported], window)
        self._report_last(used[completed & _quiet(seen)], window)
        return int(np.count_nonzero((owed & ~reported) | (completed & ~_quiet(seen))))

    def drain(self, into: RecordBuffer) -> None:
        """Move the rows that have been reported since the last call."""
        for records in self._records:
            into.append(records)
        self._records.clear()

    def _report(self, indices: np.ndarray, copied: np.ndarray, window: Edges) -> None:
        """Make rows of claimed slots and their copies; fold the rows that the filter leaves out."""
        rows = slots.records(copied, window)
        self.slots["state"]["total_cpu_ns"][indices] = rows["total_cpu_ns"]
        copied["state"]["total_cpu_ns"] = rows["total_cpu_ns"]
        own = slots.wanted(copied, rows, int(self._settings["min_activity_ns"]))
        self._records.append(rows[own])
        folded = self._folded.setdefault(window.number, np.zeros(1, layout.FOLDED))
        slots.fold(folded, rows[~own])
        seen = copied["state"]["seqcount"].view("<u8")
        self.open_waits.add(copied, rows, window, lambda at: self._seqcounts[indices[at]] == seen[at])
        note_occupants(copied, window, self._cpus["cpu"])

    def _report_last(self, indices: np.ndarray, window: Edges) -> None:
        """Report all that is owed of completed tasks: the window, and the next one if they have rolled into it."""
        copied = self.copy(indices)
        for part in (window, Edges(window.number + 1, window.end_ns, 2**64 - 1)):
            state = copied["state"]
            owed = (state["flushed"] < part.number) & (state["window"] >= part.number)
            rows = copied[owed]
            self._report(indices[owed], rows, part)
            copied[owed] = rows
        self._reported_ns[indices] = time.monotonic_ns()

    def folded(self, number: int) -> np.ndarray:
        """The tasks folded for a window, for the first call only: shape (1,) of ``layout.FOLDED``."""
        folded = self._folded.pop(number, np.zeros(1, layout.FOLDED))
        self._folded = {window: later for window, later in self._folded.items() if window > number}
        return folded

    def select(self) -> None:
        """Apply the filter to every task, for the next window: uid, cgroup and name may have changed."""
        used = self.in_use()
        chosen = slots.selected(self.copy(used), self._settings)
        changed = chosen != (self.slots["state"]["selected"][used] != 0)
        self.slots["state"]["selected"][used[changed]] = chosen[changed]

    def revive(self) -> None:
        """Follow tasks again that no flush has reported for a whole window, as if they were older than tracing."""
        used = self.in_use()
        hidden = used[_has(self._seqcounts[used], slots.HIDDEN)]
        self.slots["state"]["left_censored"][hidden] = 1
        self.slots["state"]["window"][hidden] = 0  # the bank's contents are of a time that no flush has reported
        for name in ("wait_since_ns", "burst_since_ns"):  # of a wait or burst that may have ended since
            self.slots["state"][name][hidden] = 0
        self._seqcounts[hidden] = 0

    def let_go(self, indices: np.ndarray) -> None:
        """Stop following tasks whose end was not delivered; no program writes their slots any more."""
        self.slots["status"][indices] |= slots.GONE
        self.slots["state"]["seqcount"]["flags"][indices] |= slots.COMPLETED
        self._reported_ns[indices] = time.monotonic_ns()

    def overruled(self, indices: np.ndarray, entries: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Those of the slots seeded by the collector for whose tid the programs have taken another slot.

        :param entries: tids → the slots that the programs have taken for them.
        """
        tids = self._tids[indices]
        other = entries(tids)
        return indices[(other != 0) & (other != indices) & (self._tids[other] == tids)]


def _phase(seqcounts: np.ndarray) -> np.ndarray:
    return (seqcounts >> np.uint64(32)) & np.uint64(0xFF)


def _has(seqcounts: np.ndarray, flag: int) -> np.ndarray:
    return (seqcounts >> np.uint64(40)) & np.uint64(flag) != 0


def _quiet(seqcounts: np.ndarray) -> np.ndarray:
    """Whether no program is writing."""
    return seqcounts & np.uint64(1) == 0
