"""The slots in use: mapped pages of the kernel in, task records and folded tasks of one window out.

The programs write the slots, each under its run queue's lock; here they are read in place, without a lock. Whoever
reads first claims (``flushed``), then looks whether anything has happened meanwhile, and if so gives the claim back and
asks again: so a writer that comes later sees the claim, and one that came earlier is seen.
"""

import time
from collections.abc import Callable, Iterable

import numpy as np

from schedtel.kernel.bcc import slots
from schedtel.kernel.bcc.membarrier import order
from schedtel.kernel.bcc.slots import Edges
from schedtel.records import layout
from schedtel.records.buffer import RecordBuffer, opaque

#: Longer than a program takes that still holds a slot.
_REST_NS = 100_000_000
#: A completed task whose last switch nobody has seen may still run, while the kernel takes it apart; not for so long.
_LONGEST_TEARDOWN_NS = 60_000_000_000
#: A CPU is given half of an even part of all slots, but if possible not fewer than this.
_LEAST_SHARE = 64
_OPAQUE = opaque(slots.SLOT)


class Pool:
    """Slots of shape (n,) of ``slots.SLOT`` and the CPUs' queues, mapped; slot 0 stays unused.

    :param cpu_numbers: the CPUs that are given free slots.
    :param rest_ns: how long a slot rests before it is used again.
    """

    def __init__(
        self,
        pages: np.ndarray,
        cpus: np.ndarray,
        cpu_numbers: Iterable[int],
        settings: np.ndarray,
        rest_ns: int = _REST_NS,
    ) -> None:
        self.slots, self._cpus, self._settings, self._rest_ns = pages, cpus, settings, rest_ns
        self.cpu_numbers = list(cpu_numbers)
        self._opaque = pages.view(_OPAQUE)
        self._words = pages["state"]["seqcount"].view("<u8")
        self._flushed, self._tids = pages["state"]["flushed"], pages["tid"]
        self._free = list(range(len(pages) - 1, 0, -1))
        self._high = 1  # no slot from here on has ever been used
        self._reported_ns: np.ndarray = np.zeros(len(pages), np.int64)  # of completed tasks; 0: not yet
        self._records: list[np.ndarray] = []
        self._folded: dict[int, np.ndarray] = {}
        self.refill()

    @property
    def _share(self) -> int:
        """How many free slots a CPU is given, by how many CPUs there are now."""
        even = (len(self.slots) - 1) // len(self.cpu_numbers)
        return max(1, min(slots.FREE_SLOTS, even, max(_LEAST_SHARE, even // 2)))

    # ---- slots in and out of use ----

    def take(self) -> int:
        """A slot for the collector itself, all zeroes; 0 when there is none."""
        index = self._free.pop() if self._free else 0
        self._high = max(self._high, index + 1)
        return index

    def give_back(self, indices: np.ndarray) -> None:
        """Clear slots that no program holds any more."""
        self._opaque[indices] = np.zeros((), _OPAQUE)
        self._reported_ns[indices] = 0
        self._free += sorted(indices.tolist(), reverse=True)

    def in_use(self) -> np.ndarray:
        """Indices of slots whose task has not been reported for the last time."""
        used = np.flatnonzero(self._tids[: self._high])
        return used[self._reported_ns[used] == 0]

    def short_of_slots(self) -> bool:
        """Whether a CPU has used half of what it was given."""
        queues = self._cpus[self.cpu_numbers]
        return bool(((queues["free_tail"] - queues["free_head"]) < self._share / 2).any())

    def refill(self) -> None:
        """Take back what has rested, and give every CPU its share of free slots, or an equal part of what there is."""
        self._take_back()
        for number in self.cpu_numbers:
            queue = self._cpus[number]
            tail = int(queue["free_tail"])
            wanted = self._share - (tail - int(queue["free_head"]) & 0xFFFFFFFF)
            given = [self.take() for _ in range(min(wanted, len(self._free)))]
            queue["free"][(tail + np.arange(len(given))) % slots.FREE_SLOTS] = given
            order()
            queue["free_tail"] = (tail + len(given)) & 0xFFFFFFFF

    def _take_back(self) -> None:
        now = time.monotonic_ns()
        reported = np.flatnonzero(self._reported_ns[: self._high])
        rested = now - self._reported_ns[reported]
        gone = (self.slots["status"][reported] & slots.GONE) != 0
        self.give_back(reported[(gone & (rested >= self._rest_ns)) | (rested > _LONGEST_TEARDOWN_NS)])

    # ---- reading ----

    def copy(self, indices: np.ndarray) -> np.ndarray:
        """Slots as they are at the moment: shape (n,) of ``slots.SLOT``."""
        return self._opaque[indices].view(slots.SLOT)

    def report_completed(self, window: Edges) -> None:
        """Rows of the tasks that have completed, which need not wait for the window's end."""
        used = self.in_use()
        seen = self._words[used]
        order()
        self._report_last(used[_quiet(seen) & _has(seen, slots.COMPLETED)], window)

    def flush(self, window: Edges) -> int:
        """Report every task for a window whose end has passed. Returns how many must be asked again."""
        used = self.in_use()
        seen = self._words[used]
        order()
        copied = self.copy(used)
        over, known = _has(seen, slots.COMPLETED), _phase(seen) != 0
        before = self._flushed[used]
        owed = known & ~over & (before < window.number)
        self._flushed[used[owed]] = window.number
        order()
        now = self._words[used]
        steady = _quiet(seen) & (seen == now)
        frozen = (copied["state"]["window"] > window.number) & ~_has(now, slots.COMPLETED)
        reported = owed & (steady | frozen)
        self._flushed[used[owed & ~reported]] = before[owed & ~reported]
        self._report(used[reported], copied[reported], window)
        self._report_last(used[over & _quiet(seen)], window)
        return int(np.count_nonzero((owed & ~reported) | (over & ~_quiet(seen))))

    def drain(self, into: RecordBuffer) -> None:
        """Move every row reported since the last time."""
        for records in self._records:
            into.append(records)
        self._records.clear()

    def _report(self, indices: np.ndarray, copied: np.ndarray, window: Edges) -> None:
        rows = slots.records(copied, window)
        self.slots["state"]["total_cpu_ns"][indices] = rows["total_cpu_ns"]
        copied["state"]["total_cpu_ns"] = rows["total_cpu_ns"]
        own = slots.wanted(copied, rows, int(self._settings["min_activity_ns"]))
        self._records.append(rows[own])
        folded = self._folded.setdefault(window.number, np.zeros(1, layout.FOLDED))
        slots.fold(folded, rows[~own])

    def _report_last(self, indices: np.ndarray, window: Edges) -> None:
        """All that is owed of completed tasks: of the window, and of the next if they lived to see it."""
        copied = self.copy(indices)
        for part in (window, Edges(window.number + 1, window.end_ns, 2**64 - 1)):
            state = copied["state"]
            owed = (state["flushed"] < part.number) & (state["window"] >= part.number)
            rows = copied[owed]
            self._report(indices[owed], rows, part)
            copied[owed] = rows
        self._reported_ns[indices] = time.monotonic_ns()

    def folded(self, number: int) -> np.ndarray:
        """What was folded for a window, once: shape (1,) of ``layout.FOLDED``."""
        found = self._folded.pop(number, np.zeros(1, layout.FOLDED))
        self._folded = {window: later for window, later in self._folded.items() if window > number}
        return found

    def select(self) -> None:
        """Ask the filter about every task, for the next window: uid, cgroup and name may have changed."""
        used = self.in_use()
        chosen = slots.selected(self.copy(used), self._settings)
        changed = chosen != (self.slots["state"]["selected"][used] != 0)
        self.slots["state"]["selected"][used[changed]] = chosen[changed]

    def revive(self) -> None:
        """Follow tasks again that a window went by without being asked: as if they had been there before tracing."""
        used = self.in_use()
        hidden = used[_has(self._words[used], slots.HIDDEN)]
        self.slots["state"]["left_censored"][hidden] = 1
        self.slots["state"]["window"][hidden] = 0  # what the bank holds is of the time that nobody has been told of
        self._words[hidden] = 0

    def let_go(self, indices: np.ndarray) -> None:
        """Follow tasks no longer whose end was not delivered; nobody writes their slots any more."""
        self.slots["status"][indices] |= slots.GONE
        self.slots["state"]["seqcount"]["flags"][indices] |= slots.COMPLETED
        self._reported_ns[indices] = time.monotonic_ns()

    def overruled(self, indices: np.ndarray, entries: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Of slots that the collector has seeded, those for whose tid the programs have taken one of their own."""
        tids = self._tids[indices]
        other = entries(tids)
        return indices[(other != 0) & (other != indices) & (self._tids[other] == tids)]


def _phase(words: np.ndarray) -> np.ndarray:
    return (words >> np.uint64(32)) & np.uint64(0xFF)


def _has(words: np.ndarray, flag: int) -> np.ndarray:
    return (words >> np.uint64(40)) & np.uint64(flag) != 0


def _quiet(words: np.ndarray) -> np.ndarray:
    """No writer is inside."""
    return words & np.uint64(1) == 0
