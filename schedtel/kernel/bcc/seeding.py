"""Tasks older than tracing, for the bcc backend: what /proc says of them in, slots that know them out.

The programs are attached already, and what they see is newer than what /proc said a moment ago. So the collector never
writes an entry that the programs write: it offers a slot (``seeded``), and they take it at the task's next event unless
they have taken one of their own.
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

#: How long a CPU may take to let a thread of ours in.
_PATIENCE_S = 0.5
_TINY_S = 0.000_05


def visit_cpus(cpus: Iterable[int]) -> None:
    """Have every CPU switch at least once: what runs there is seen when it leaves."""
    for cpu in cpus:
        visitor = threading.Thread(target=_visit, args=(cpu,), daemon=True)
        visitor.start()
        visitor.join(_PATIENCE_S)


def _visit(cpu: int) -> None:
    try:
        os.sched_setaffinity(0, {cpu})  # of this thread alone
    except OSError:  # not ours to use, or offline by now: it tells with its next switch
        return
    time.sleep(_TINY_S)


class Seeder:
    """Fills slots with what /proc knows: of threads without one, and of those that an event has brought up.

    :param entries: of ``slots.TID_ENTRY``, one a tid.
    """

    def __init__(self, pool: Pool, entries: np.ndarray, settings: np.ndarray) -> None:
        self._pool, self._entries, self._settings = pool, entries, settings
        self._offered: np.ndarray = np.zeros(0, np.int64)
        self._tgid = int(settings["tgid"]) if settings["by_process"] else 0
        self.failed = 0  # threads for which there was no slot

    def seed(self, found: dict[int, int]) -> None:
        """Offer a slot for each of these threads (tid → tgid) that is asleep or waits, and has had no event yet."""
        family, offered = self._family(found), []
        for tid, tgid in found.items():
            if tid < len(self._entries) and not self._known(tid):
                offered.append(self._offer(tgid, tid, tgid in family))
        self._offered = np.concatenate([self._offered, np.array([i for i in offered if i], np.int64)])

    def _known(self, tid: int) -> bool:
        entry = self._entries[tid]
        return any(index and self._pool.slots["tid"][index] == tid for index in (entry["slot"], entry["seeded"]))

    def _offer(self, tgid: int, tid: int, in_process: bool) -> int:
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
        # Every CPU has switched since the programs were attached: a thread without an event does not run.
        state["seqcount"]["phase"] = layout.PREEMPT_WAIT if thread.runnable else layout.BLOCKED
        slot["tid"] = tid
        self._entries["seeded"][tid] = index
        return index

    def _describe(self, slot: np.void, thread: procfs.Thread, in_process: bool) -> None:
        """What no event tells. CPU time that the slot has counted already is part of what /proc says."""
        state = slot["state"]
        counted = int(state["bank"]["time_ns"][:, layout.RUNNING].sum())
        state["total_cpu_ns"] = max(0, thread.cpu_ns - counted)
        state["arrival_ns"], state["in_process"] = thread.arrival_ns, in_process
        slot["start_boottime_ns"], slot["kernel_thread"] = thread.start_boottime_ns, thread.kernel_thread
        slot["tgid"], slot["uid"], slot["policy"], slot["prio"] = thread.tgid, thread.uid, thread.policy, thread.prio
        slot["comm"] = thread.comm[: layout.TASK_RECORD["comm"].itemsize - 1]
        slot["cgroup_id"], slot["in_cgroup"] = self._cgroup_of(thread)

    def _cgroup_of(self, thread: procfs.Thread) -> tuple[int, bool]:
        """Id, and whether it is the filter's or below it."""
        if thread.cgroup is None:
            return 0, False
        root = cgroup_root()
        try:
            path = root / thread.cgroup.lstrip("/")
            lineage = [path, *path.parents][: len(path.relative_to(root).parts) + 1]
            ids = [directory.stat().st_ino for directory in lineage]
        except OSError:  # removed meanwhile
            return 0, False
        return ids[0], int(self._settings["cgroup_id"]) in ids

    def identify(self) -> None:
        """Ask /proc about tasks that began with an event, and are older than it."""
        used = self._pool.in_use()
        anonymous = used[self._pool.slots["anonymous"][used] != 0]
        for index in anonymous:
            slot = self._pool.slots[index]
            slot["anonymous"] = 0
            tgid = procfs.tgid_of(int(slot["tid"]))
            thread = procfs.read_thread(tgid, int(slot["tid"])) if tgid else None
            if thread:
                self._describe(slot, thread, tgid in self._family({int(slot["tid"]): thread.tgid}))
        if self._tgid and len(anonymous):
            self._adopt()

    def _adopt(self) -> None:
        """What they forked before they were asked about did not learn that it is in the process."""
        used = self._pool.in_use()
        state = self._pool.slots["state"]
        strangers = used[(state["fork_ns"][used] != 0) & (state["in_process"][used] == 0)]
        tgids = self._pool.slots["tgid"][strangers]
        family = self._family(dict(enumerate(tgids.tolist())))
        state["in_process"][strangers[np.isin(tgids, list(family))]] = 1

    def _family(self, found: dict[int, int]) -> set[int]:
        """Of these threads' processes, the ``--pid`` process and its descendants."""
        if not self._tgid:
            return set()
        parents: dict[int, int] = {}
        for tgid in set(found.values()):
            self._climb(tgid, parents)
        return {tgid for tgid in found.values() if self._descends(tgid, parents)}

    def _climb(self, tgid: int, parents: dict[int, int]) -> None:
        while tgid and tgid not in parents:
            thread = procfs.read_thread(tgid, tgid)
            parents[tgid] = thread.parent if thread else 0
            tgid = parents[tgid]

    def _descends(self, tgid: int, parents: dict[int, int]) -> bool:
        while tgid and tgid != self._tgid:
            tgid = parents.get(tgid, 0)
        return bool(tgid)

    def drop_overruled(self) -> None:
        """Give back slots that were offered too late, and forget about those that were taken."""
        self._offered = self._offered[self._pool.slots["tid"][self._offered] != 0]
        late = self._pool.overruled(self._offered, lambda tids: self._entries["slot"][tids])
        self._entries["seeded"][self._pool.slots["tid"][late]] = 0
        self._pool.give_back(late)
        waiting = self._entries["slot"][self._pool.slots["tid"][self._offered]] != self._offered
        self._offered = self._offered[waiting & ~np.isin(self._offered, late)]

    def reconcile(self) -> int:
        """After events were missed: let go of tasks that are no more, take up those that nobody told of.

        Returns how many ends were missed.
        """
        before = self._pool.in_use()
        tids = self._pool.slots["tid"][before]
        found = {tid: tgid for tgid, tid in procfs.thread_ids()}
        state = self._pool.slots["state"]
        gone = before[~np.isin(tids, list(found))]
        # A listing of a directory of threads may pass one over when its neighbour ends.
        gone = gone[[not os.path.exists(f"/proc/{tid}") for tid in self._pool.slots["tid"][gone]]]
        flags = state["seqcount"]["flags"][gone] & (slots.COMPLETED | slots.HIDDEN)
        gone = gone[(flags == 0) & (state["completion_ns"][gone] == 0)]
        self._pool.let_go(gone)
        self.seed(found)
        return len(gone)
