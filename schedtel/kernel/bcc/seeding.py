"""Threads in /proc in; seeded slots of the tasks that are older than tracing, for the bcc backend, out.

The programs are attached already, and what they see is newer than what /proc said a moment ago. So the collector never
writes a field that the programs write: it offers a slot in the tid's entry (``seeded``), and the programs take it at
the task's next event, unless they have taken another slot for the task.
"""

import os
import threading
import time
from collections.abc import Iterable

import numpy as np

from schedtel.host import procfs
from schedtel.host.cgroups import cgroup_root
from schedtel.kernel.bcc import slots
from schedtel.kernel.bcc.pool import Pool
from schedtel.records import layout

#: How long to wait for a CPU to run a thread of this process.
_PATIENCE_S = 0.5
_TINY_S = 0.000_05


def visit_cpus(cpus: Iterable[int]) -> None:
    """Have every CPU switch at least once, so that the programs see the task that runs there leave."""
    for cpu in cpus:
        visitor = threading.Thread(target=_visit, args=(cpu,), daemon=True)
        visitor.start()
        visitor.join(_PATIENCE_S)


def _visit(cpu: int) -> None:
    try:
        os.sched_setaffinity(0, {cpu})  # of this thread alone
    except OSError:  # not allowed for this process, or offline by now: its next switch will tell
        return
    time.sleep(_TINY_S)


class Seeder:
    """Fills slots from /proc: for threads that have none, and for those whose slot a program has begun.

    :param entries: shape (tids,) of ``slots.TID_ENTRY``.
    :param settings: a record of ``layout.SETTINGS``.
    """

    def __init__(self, pool: Pool, entries: np.ndarray, settings: np.ndarray) -> None:
        self._pool, self._entries = pool, entries
        self._offered: np.ndarray = np.zeros(0, np.int64)
        #: The filter's processes and cgroups; empty where it has no such condition.
        self._tgids = {int(tgid) for tgid in settings["tgid"][: int(settings["by_process"])]}
        self._cgroups = {int(cgroup) for cgroup in settings["cgroup_id"][: int(settings["by_cgroup"])]}
        self.failed = 0  # threads for which there was no slot

    def seed(self, threads: dict[int, int]) -> None:
        """Offer a slot for each of these threads (tid → tgid) that is asleep or waits, and has had no event yet."""
        family, offered = self._family(threads), []
        for tid, tgid in threads.items():
            if tid < len(self._entries) and not self._known(tid):
                offered.append(self._offer(tgid, tid, tgid in family))
        self._offered = np.concatenate([self._offered, np.array([i for i in offered if i], np.int64)])

    def _known(self, tid: int) -> bool:
        """Whether a thread has a slot, taken or offered."""
        entry = self._entries[tid]
        return any(index and self._pool.slots["tid"][index] == tid for index in (entry["slot"], entry["seeded"]))

    def _offer(self, tgid: int, tid: int, in_process: bool) -> int:
        """Offer a slot for a thread; returns its index, or 0 if the thread has ended or no slot is free."""
        thread = procfs.read_thread(tgid, tid)
        if thread is None or thread.over:
            return 0
        index = self._pool.take()
        if not index:
            self.failed += 1
            return 0
        slot = self._pool.slots[index]
        self._describe(slot, thread, in_process)
        state = slot["state"]
        state["since_ns"] = state["alive_since_ns"] = time.monotonic_ns()
        state["first_cpu_ns"] = state["left_censored"] = 1
        # Every CPU has switched since the programs were attached, so a thread without an event does not run.
        state["seqcount"]["phase"] = layout.PREEMPT_WAIT if thread.runnable else layout.BLOCKED
        slot["tid"] = tid
        self._entries["seeded"][tid] = index
        return index

    def _describe(self, slot: np.void, thread: procfs.Thread, in_process: bool) -> None:
        """Fill in what no event says. The CPU time in /proc includes what the slot has counted already."""
        state = slot["state"]
        counted = int(state["bank"]["time_ns"][:, layout.RUNNING].sum())
        state["total_cpu_ns"] = max(0, thread.cpu_ns - counted)
        state["arrival_ns"], state["in_process"] = thread.arrival_ns, in_process
        slot["start_boottime_ns"], slot["kernel_thread"] = thread.start_boottime_ns, thread.kernel_thread
        slot["tgid"], slot["uid"], slot["policy"], slot["prio"] = thread.tgid, thread.uid, thread.policy, thread.prio
        slot["comm"] = thread.comm[: layout.TASK_RECORD["comm"].itemsize - 1]
        slot["cgroup_id"], slot["in_cgroup"] = self._cgroup_of(thread)

    def _cgroup_of(self, thread: procfs.Thread) -> tuple[int, bool]:
        """The id of its cgroup, and whether that is one of the filter's or below one; 0 and False if unknown."""
        if thread.cgroup is None:
            return 0, False
        root = cgroup_root()
        try:
            path = root / thread.cgroup.lstrip("/")
            lineage = [path, *path.parents][: len(path.relative_to(root).parts) + 1]
            ids = [directory.stat().st_ino for directory in lineage]
        except OSError:  # removed meanwhile
            return 0, False
        return ids[0], not self._cgroups.isdisjoint(ids)

    def identify(self) -> None:
        """Ask /proc about tasks whose slot began with an event, and which are older than that event."""
        used = self._pool.in_use()
        anonymous = used[self._pool.slots["anonymous"][used] != 0]
        for index in anonymous:
            slot = self._pool.slots[index]
            slot["anonymous"] = 0
            tgid = procfs.tgid_of(int(slot["tid"]))
            thread = procfs.read_thread(tgid, int(slot["tid"])) if tgid else None
            if thread:
                self._describe(slot, thread, tgid in self._family({int(slot["tid"]): thread.tgid}))
        if self._tgids and len(anonymous):
            self._adopt()

    def _adopt(self) -> None:
        """Mark children in the filter's processes whose parent was not known to be in one when they were forked."""
        used = self._pool.in_use()
        state = self._pool.slots["state"]
        unmarked = used[(state["fork_ns"][used] != 0) & (state["in_process"][used] == 0)]
        tgids = self._pool.slots["tgid"][unmarked]
        family = self._family(dict(enumerate(tgids.tolist())))
        state["in_process"][unmarked[np.isin(tgids, list(family))]] = 1

    def _family(self, threads: dict[int, int]) -> set[int]:
        """Of the tgids of these threads (tid → tgid), those of the filter's processes and their descendants."""
        if not self._tgids:
            return set()
        parents: dict[int, int] = {}
        for tgid in set(threads.values()):
            self._climb(tgid, parents)
        return {tgid for tgid in threads.values() if self._descends(tgid, parents)}

    def _climb(self, tgid: int, parents: dict[int, int]) -> None:
        """Add a process and all its ancestors to ``parents`` (tgid → parent's tgid, 0 for none)."""
        while tgid and tgid not in parents:
            thread = procfs.read_thread(tgid, tgid)
            parents[tgid] = thread.parent if thread else 0
            tgid = parents[tgid]

    def _descends(self, tgid: int, parents: dict[int, int]) -> bool:
        """Whether a process is one of the filter's or descends from one."""
        while tgid and tgid not in self._tgids:
            tgid = parents.get(tgid, 0)
        return bool(tgid)

    def drop_overruled(self) -> None:
        """Give back offered slots whose task has another slot by now, and forget those that the programs have taken."""
        self._offered = self._offered[self._pool.slots["tid"][self._offered] != 0]
        late = self._pool.overruled(self._offered, lambda tids: self._entries["slot"][tids])
        self._entries["seeded"][self._pool.slots["tid"][late]] = 0
        self._pool.give_back(late)
        waiting = self._entries["slot"][self._pool.slots["tid"][self._offered]] != self._offered
        self._offered = self._offered[waiting & ~np.isin(self._offered, late)]

    def reconcile(self) -> int:
        """After missed events, compare the slots with /proc: let go of ended tasks, and seed threads without a slot.

        Returns how many ends were missed.
        """
        used = self._pool.in_use()
        tids = self._pool.slots["tid"][used]
        threads = {tid: tgid for tgid, tid in procfs.thread_ids()}
        state = self._pool.slots["state"]
        gone = used[~np.isin(tids, list(threads))]
        # The listing of a directory of threads may pass over a thread whose neighbour ends meanwhile.
        gone = gone[[not os.path.exists(f"/proc/{tid}") for tid in self._pool.slots["tid"][gone]]]
        flags = state["seqcount"]["flags"][gone] & (slots.COMPLETED | slots.HIDDEN)
        gone = gone[(flags == 0) & (state["completion_ns"][gone] == 0)]
        self._pool.let_go(gone)
        self.seed(threads)
        return len(gone)
