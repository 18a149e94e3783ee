"""The core backend: loaded programs in; task records, CPU banks and loss counters of one window at a time out.

It knows the BPF object and nothing of Arrow. Its base, :class:`schedtel.kernel.backend.Backend`, handles windows, edges
and CPUs.
"""

from __future__ import annotations

import mmap
import os
import select
import time
from typing import TYPE_CHECKING

import numpy as np

from schedtel.access.descriptors import Reserve
from schedtel.errors import CapabilityError, CollectorError
from schedtel.kernel.backend import Backend, patiently
from schedtel.kernel.btf import check_contract
from schedtel.kernel.core.programs import PROGRAMS, Programs
from schedtel.kernel.core.ring import Ring
from schedtel.kernel.losses import LossCounts
from schedtel.latch import Latch
from schedtel.records import layout
from schedtel.records.buffer import RecordBuffer, opaque

if TYPE_CHECKING:
    from schedtel.kernel.libbpf import ProgInfo
    from schedtel.records.perf_events import PerfEvent

ITERATORS = ("seed", "flush")
_MOST_PASSES = 200
#: At least this many rows of the page are mapped.
_FEWEST_MAPPED = 512
_NOTHING_FOLDED = np.zeros((), layout.FOLDED)
_NO_WAITS = np.zeros(layout.WAIT_KINDS, layout.LONGEST)


class CoreBackend(Backend):
    """The kernel side by CO-RE objects, task storage and a walk over all tasks. It owns, and closes, the programs."""

    name = "core"
    #: Names of the programs that are loaded.
    _programs: tuple[str, ...] = PROGRAMS

    def __init__(self, programs: Programs) -> None:
        self._object, self._walks, self._page_rows = programs.object, programs.walks, programs.page_rows
        self._cpus, self._programs = programs.plan.cpus, programs.plan.names
        self._reserve = Reserve()
        self.preempted_by = programs.plan.preempted_by
        try:
            check_contract(programs.structs, layout.CONTRACT)
            self._map_memory(programs.plan.ring_bytes)
            self._control["grid"]["cache_shift"] = 32 - programs.plan.cache_bits
            self._attach()
            self._seed()
        except BaseException:
            self._reserve.close()
            self._object.close()
            raise

    def _map_memory(self, ring_bytes: int) -> None:
        self._control_map = mmap.mmap(self._object.map_fd("schedtel.bss"), layout.CONTROL.itemsize, mmap.MAP_SHARED)
        self._control = np.frombuffer(self._control_map, layout.CONTROL, count=1)[0]
        cpu_bytes = self._cpus * layout.CPU_STATE.itemsize
        self._cpu_map = mmap.mmap(self._object.map_fd("cpus"), cpu_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
        self._cpu_states = np.frombuffer(self._cpu_map, layout.CPU_STATE, count=self._cpus)
        if self.preempted_by:
            pair_bytes = self._cpus * layout.PREEMPTIONS.itemsize
            pair_fd = self._object.map_fd("preemptions")
            self._pair_map = mmap.mmap(pair_fd, pair_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
            self._pairs = np.frombuffer(self._pair_map, layout.PREEMPTIONS, count=self._cpus)
        self._ring = Ring(self._object.map_fd("ring"), ring_bytes, layout.TASK_RECORD)
        self._page = np.zeros(0, layout.TASK_RECORD)
        self._epoll = select.epoll()
        self._epoll.register(self._object.map_fd("ring"), select.EPOLLIN | select.EPOLLET)
        self._woken = Latch()
        self._epoll.register(self._woken, select.EPOLLIN | select.EPOLLET)
        self._rows = RecordBuffer(layout.TASK_RECORD)

    def _attach(self) -> None:
        grid = self._control["grid"]
        grid["edge_ns"][:] = np.iinfo(np.uint64).max
        grid["edge_ns"][0] = 0
        self.window = 1
        for iterator in () if self._walks else ITERATORS:
            self._object.attach_iterator(iterator)
        for program in self._programs:
            self._object.attach(program)
        self._note_absent()

    def _seed(self) -> None:
        """Visit all tasks until the state of each is known.

        Raises :class:`CapabilityError` if the last pass still leaves as many tasks unknown as the first.
        """
        for passes in range(_MOST_PASSES):
            self._control["tasks_unknown"] = 0
            self._run_iterator("seed")
            unknown = int(self._control["tasks_unknown"])
            if not unknown:
                break
            if not passes:
                unknown_at_first = unknown
        else:
            if unknown >= unknown_at_first:
                raise CapabilityError(
                    "cannot follow any task: the kernel gives BPF programs no memory for task storage "
                    "(on recent kernels it needs a CPU with cmpxchg16b: see `grep cx16 /proc/cpuinfo`)"
                )
        self.is_eevdf = bool(self._control["is_eevdf"])
        self._losses = LossCounts(self._control["losses"], self._skipped())
        self._bpf_ns = self._count_bpf_ns()

    def count(self, events: tuple[PerfEvent, ...], max_tasks: int) -> None:
        from schedtel.kernel.counters.counting import Counting  # noqa: PLC0415  (nothing of it without counters)

        control = self._object.map_fd("schedtel.bss")
        self._counting = Counting(events, control, self._cpus, self._online(), max_tasks)

    # ---- reading ----

    def wait(self, deadline_ns: int) -> None:
        """Sleep until the ring needs draining, or until the deadline; then drain it."""
        remaining = max(0, deadline_ns - time.monotonic_ns())
        self._epoll.poll(min(remaining / 1e9, 3600.0))
        self._drain()

    def wake(self) -> None:
        self._woken.set()

    def _flush(self) -> None:
        """Report every task for the open window; the flush asks a task in the middle of a change again."""
        self._control["other"], self._control["rows"] = _NOTHING_FOLDED, 0
        self._control["open_waits"] = _NO_WAITS
        for _ in patiently():
            self._control["tasks_busy"] = 0
            self._run_iterator("flush")
            if not self._control["tasks_busy"]:
                return
            self._drain()  # tasks exit while the flush waits for a busy one
        self._losses.add("state_failed", int(self._control["tasks_busy"]), self.window)

    def _run_iterator(self, name: str) -> None:
        """Visit every task once; make room whenever the program asks for it."""
        if self._walks:
            self._walk(name)
        else:
            self._read(name)

    def _walk(self, name: str) -> None:
        while self._object.run(name):
            self._make_room()

    def _read(self, name: str) -> None:
        with self._reserve.given_up():
            fd = self._object.open_iterator(name)
            try:
                while _read_byte(fd, name):
                    self._make_room()
            finally:
                os.close(fd)

    def _make_room(self) -> None:
        """Move into ``_rows`` what the flush has written so far, and the exits that the ring holds."""
        self._rows.append(self._flushed())
        self._control["rows"] = 0
        self._drain()

    def _flushed(self) -> np.ndarray:
        """The rows that the flush has written since the page was last emptied."""
        return self._rows_of_page(int(self._control["rows"]))

    def _rows_of_page(self, count: int) -> np.ndarray:
        """The page's first ``count`` rows, of ``layout.TASK_RECORD``; maps more of the page if necessary.

        Mapped rows count as resident memory whether used or not, so they are mapped only as windows need them.
        """
        if count > len(self._page):
            rows = min(self._page_rows, max(_FEWEST_MAPPED, 2 * count))
            page_map = mmap.mmap(self._object.map_fd("page"), rows * layout.TASK_RECORD.itemsize, mmap.MAP_SHARED)
            self._page = np.frombuffer(page_map, layout.TASK_RECORD, count=rows)
        return self._page[:count]

    def _take(self, window: int) -> np.ndarray:
        # The fewer rows move: in most windows those of exits; in a storm of exits, or where the page has no room for
        # them, those that the flush has written.
        flushed = self._flushed()
        if len(self._rows) > min(len(flushed), self._page_rows - len(flushed)):
            self._rows.append(flushed)
            return super()._take(window)
        whole, exits = opaque(layout.TASK_RECORD), super()._take(window)
        rows = self._rows_of_page(len(flushed) + len(exits))
        rows[len(flushed) :].view(whole)[:] = exits.view(whole)
        return rows

    def _open_waits(self, _window: int) -> np.ndarray:
        waits: np.ndarray = self._control["open_waits"]["kept"]
        return waits

    def _drain(self) -> None:
        """Move the records in the ring into ``_rows``."""
        self._ring.drain(self._rows)

    # ---- losses, and the cost of tracing ----

    def _skipped(self) -> int:
        return sum(info.recursion_misses for info in self._infos(self._programs))

    def _count_bpf_ns(self) -> int:
        return sum(info.run_time_ns for info in self._infos((*self._programs, "flush")))

    def run_counts(self) -> dict[str, tuple[int, int]]:
        names = (*self._programs, *ITERATORS)
        counting = self._counting.programs if self._counting else ()
        infos = zip((*names, *counting), self._infos(names), strict=True)
        return {name: (info.run_cnt, info.run_time_ns) for name, info in infos}

    def _infos(self, names: tuple[str, ...]) -> list[ProgInfo]:
        """The kernel's counts of these programs, and of those that count perf events behind them."""
        counting = self._counting.program_infos() if self._counting else []
        return [*(self._object.program_info(name) for name in names), *counting]

    def close(self) -> None:
        self._epoll.close()
        self._reserve.close()
        if self._counting:
            self._counting.close()
        self._object.close()


def _read_byte(fd: int, name: str) -> bool:
    """Let an iterator run on; True when it asks for room, False at its end."""
    while True:
        try:
            return bool(os.read(fd, 1))
        except BlockingIOError:  # a million tasks without output (kernel/bpf/bpf_iter.c): go on
            continue
        except OSError as error:
            raise CollectorError(f"cannot run BPF iterator {name}: {error.strerror} (restart schedtel)") from error
