"""The bcc backend: a filter in; task records, CPU banks and loss counters of one window at a time out.

It is for kernels without BTF, task storage or task iterators. The state machine is that of core (``bpf/machine.h``). A
task's state lies in a slot of a mapped array (``bpf/slots.h``), which the collector reads in place.
"""

import mmap
import os
import select
import time

import numpy as np

from schedtel.access.descriptors import EXHAUSTED
from schedtel.errors import CapabilityError
from schedtel.host import procfs
from schedtel.host.cpus import possible_cpus
from schedtel.kernel.backend import Backend, patiently
from schedtel.kernel.bcc import slots, tracepoints
from schedtel.kernel.bcc.compiler import LoadedPrograms, source_text
from schedtel.kernel.bcc.pool import Pool
from schedtel.kernel.bcc.seeding import Seeder, visit_cpus
from schedtel.kernel.bcc.slots import Edges
from schedtel.kernel.filters import Filter
from schedtel.kernel.libbpf import KernelTypes
from schedtel.kernel.losses import LossCounts
from schedtel.kernel.privileges import require_capabilities
from schedtel.kernel.settings import DEFAULT_MAX_TASKS, DEFAULT_PREEMPTIONS, require_tasks
from schedtel.latch import Latch
from schedtel.records import layout
from schedtel.records.buffer import RecordBuffer

#: How often the collector checks whether a CPU runs short of slots, and how often while one does.
_LOOK_S, _LOOK_AGAIN_S = 0.1, 0.01
#: After missed events the collector compares its tasks with /proc, but no more often than this.
_RECONCILE_NS = 5_000_000_000


class BccBackend(Backend):
    """The kernel side by bcc: programs at plain tracepoints, compiled on this machine.

    Raises :class:`UsageError` for a wrong value, and :class:`CapabilityError` where the kernel, the machine or the
    user's privileges lack something that is needed.
    """

    name = "bcc"
    unknown = ("iowait_ns", "exit_code")

    def __init__(
        self, task_filter: Filter, max_tasks: int = DEFAULT_MAX_TASKS, preemptions: str = DEFAULT_PREEMPTIONS
    ) -> None:
        require_tasks(max_tasks)
        self._settings = settings_record(task_filter.settings() | self._tell_preemptions(preemptions))
        require_capabilities()
        self._cpus, self._tids, self._slots = possible_cpus(), procfs.most_tids(), max_tasks + 1
        self.is_eevdf = _is_eevdf()
        steps = tracepoints.hotplug_steps()
        programs = (tracepoints.HOTPLUG if steps else {}) | tracepoints.TRACEPOINTS
        self._programs = LoadedPrograms(source_text(self._settings, self._constants() | steps), programs)
        try:
            self._map_memory()
            self._begin()
        except BaseException:
            self._programs.close()
            raise

    def _constants(self) -> dict[str, int]:
        switch = tracepoints.formats()["on_switch"]
        return {
            "SLOTS": self._slots,
            "TIDS": self._tids,
            "CPUS": self._cpus,
            "PREEMPTION_CPUS": self._cpus if self.preempted_by else 1,
            "RUNNABLE_STATES": tracepoints.runnable_states(switch),
            "DEAD_STATES": tracepoints.dead_states(switch),
        }

    def _map_memory(self) -> None:
        cpus = self._mapped("cpus", slots.SLOT_CPU, self._cpus)
        pages, self._entries = (
            self._mapped("slots", slots.SLOT, self._slots),
            self._mapped("tids", slots.TID_ENTRY, self._tids),
        )
        self._control, self._cpu_states = self._mapped("controls", layout.CONTROL, 1)[0], cpus["cpu"]
        if self.preempted_by:
            self._pairs = self._mapped("preemptions", layout.PREEMPTIONS, self._cpus)
        self._woken = Latch()
        self._set_up(pages, cpus)

    def _mapped(self, name: str, dtype: np.dtype, count: int) -> np.ndarray:
        pages = mmap.mmap(self._programs.map_fd(name), dtype.itemsize * count, mmap.MAP_SHARED)
        return np.frombuffer(pages, dtype, count=count)

    def _set_up(self, pages: np.ndarray, cpus: np.ndarray) -> None:
        """Set up all that needs no kernel: the pool, the grid, and free slots for every CPU."""
        self._rows = RecordBuffer(layout.TASK_RECORD)
        self._pool = Pool(pages, cpus, self._online(), self._settings, cpu_of=self._queued_on)
        self._seeder = Seeder(self._pool, self._entries, self._settings)
        self._reconciled_ns = self._missed = 0
        self._short = False
        grid = self._control["grid"]
        grid["edge_ns"][:] = np.iinfo(np.uint64).max
        grid["edge_ns"][0] = 0
        self.window = 1

    def _begin(self) -> None:
        """Attach the programs, then seed the tasks that are older than that."""
        self._programs.attach()
        self._note_absent()
        visit_cpus(self._online())
        if procfs.sees_all_pids():
            self._seeder.seed({tid: tgid for tgid, tid in procfs.thread_ids()})
            self._seeder.identify()
        self._pool.select()
        self._pool.refill()
        self._losses, self._bpf_ns = self._new_losses(), self._count_bpf_ns()
        # The first window counts the older tasks without a slot.
        self._losses.add("state_failed", self._seeder.failed, self.window + 1)

    # ---- reading ----

    def wait(self, deadline_ns: int) -> None:
        """Sleep for a while, until the deadline at most; then refill free slots if a CPU runs short of them."""
        remaining = max(0, deadline_ns - time.monotonic_ns()) / 1e9
        select.select([self._woken], [], [], min(remaining, _LOOK_AGAIN_S if self._short else _LOOK_S))
        self._short = self._pool.short_of_slots()
        if self._short:
            self._pool.report_completed(self._edges())
        if self._short or self._cpu_has_come():
            self._pool.refill()

    def _cpu_has_come(self) -> bool:
        """Whether a CPU without slots of its own has come online. From now on it is among those that have."""
        known, states = self._pool.cpu_numbers, self._cpu_states
        up = (states["window"] >= self.window) & (states["seqcount"]["phase"] != layout.CPU_OFFLINE)
        came = sorted(set(np.flatnonzero(up).tolist()) - set(known))
        self._pool.cpu_numbers = sorted([*known, *came])
        return bool(came)

    def wake(self) -> None:
        self._woken.set()

    def _edges(self) -> Edges:
        number, edge = self.window, self._control["grid"]["edge_ns"]
        return Edges(number, int(edge[number - 1 & 3]), int(edge[number & 3]))

    def _flush(self) -> None:
        window, busy = self._edges(), 0
        self._pool.revive()
        for _ in patiently():
            busy = self._pool.flush(window)
            if not busy:
                break
        self._losses.add("state_failed", busy, window.number)
        self._control["other"] = self._pool.folded(window.number)[0]
        self._keep_up()

    def _keep_up(self) -> None:
        """Between two windows, identify new tasks, reconcile with /proc, apply the filter and refill free slots."""
        self._seeder.drop_overruled()
        if procfs.sees_all_pids():
            self._seeder.identify()
            self._reconcile()
        self._pool.cpu_numbers = self._online()  # a CPU may have come online
        self._pool.select()
        self._pool.refill()

    def _reconcile(self) -> None:
        """Compare the slots with /proc if events have been missed, and count the ends of lives among them."""
        missed, now = int(self._control["losses"]["events_missed"].sum()), time.monotonic_ns()
        if missed != self._missed and now - self._reconciled_ns > _RECONCILE_NS:
            failed_before = self._seeder.failed
            try:
                ended = self._seeder.reconcile()
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                return  # no descriptor is left for /proc; the next window tries again
            # The edge has passed: a life that has ended unseen may have done so since.
            self._losses.add("programs_skipped", ended, self.window, self.window + 1)
            # They may have been without a row since before the edge.
            self._losses.add("state_failed", self._seeder.failed - failed_before, self.window, self.window + 1)
            self._missed, self._reconciled_ns = missed, now

    def _open_waits(self, window: int) -> np.ndarray:
        return self._pool.open_waits.take(window)

    @staticmethod
    def _queued_on(tid: int) -> int:
        """The CPU where a waiting task is queued. No tracepoint of ours tells it: only /proc does."""
        cpu = procfs.cpu_of(tid) if procfs.sees_all_pids() else None
        return layout.WAIT_CPU_UNKNOWN if cpu is None else cpu

    def _drain(self) -> None:
        self._pool.drain(self._rows)

    # ---- losses, and the cost of tracing ----

    def _new_losses(self) -> LossCounts:
        return LossCounts(self._control["losses"], self._skipped())

    def _skipped(self) -> int:
        return sum(counts["recursion_misses"] for counts in self._programs.counts().values())

    def _count_bpf_ns(self) -> int:
        return sum(counts["run_time_ns"] for counts in self._programs.counts().values())

    def run_counts(self) -> dict[str, tuple[int, int]]:
        return {name: (c["run_cnt"], c["run_time_ns"]) for name, c in self._programs.counts().items()}

    def close(self) -> None:
        self._programs.close()


def settings_record(values: dict[str, object]) -> np.ndarray:
    """Fields of ``struct settings`` as a record of ``layout.SETTINGS``, shape ()."""
    settings = np.zeros((), layout.SETTINGS)
    for name, value in values.items():
        settings[name] = value
    return settings


def _is_eevdf() -> bool:
    """Whether the fair class is EEVDF: by the kernel's BTF, else by the names of its debug files (6.6)."""
    try:
        with KernelTypes() as kernel:
            return kernel.has_member("sched_entity", "vlag")
    except CapabilityError:
        return os.path.exists("/sys/kernel/debug/sched/base_slice_ns")
