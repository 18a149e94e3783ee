"""The core backend over its programs on the host: ``host_machine.c`` is bpf/core/core.bpf.c, compiled for the host."""

import ctypes
import threading
import time
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_uint32, c_uint64, c_void_p
from types import SimpleNamespace
from unittest import mock

import numpy as np
import player
from model import FIRST_TID, Arrive, CpuComes, CpuDies, Event, Exit, Fork, Release, Switch, Wake
from player import Player, view
from waiting import PATIENCE_S

from schedtel.kernel import backend
from schedtel.kernel.core.backend import CoreBackend
from schedtel.kernel.losses import LossCounts
from schedtel.records import layout
from schedtel.records.buffer import RecordBuffer
from schedtel.records.raw_window import RawWindow

IDLE = -1
_MOST_RECORDS = 4096
#: TASK_CACHE_SLOTS of host_machine.c.
_TASK_CACHE_BITS = 2
_MEANWHILE = ctypes.CFUNCTYPE(None)
#: Where a program may be held up: it asks for room for its next record, has looked for a state, or asks for the time.
AT_ROOM, AT_LOOKUP, AT_CLOCK = range(3)

_SIGNATURES = {
    "host_reset": (None, [c_uint32, c_uint32, c_uint64]),
    "host_task": (None, [c_int, c_int, c_int, c_uint64, c_uint32, c_char_p]),
    "host_standing": (None, [c_int, c_int, c_uint32, c_int, c_uint32, c_int, c_uint64]),
    "host_slice": (None, [c_int, c_uint64]),
    "host_kernel_thread": (None, [c_int]),
    "host_stopper": (None, [c_int]),
    "host_cpu_dies": (None, [c_uint64, c_uint32]),
    "host_cpu_comes": (None, [c_uint64, c_uint32]),
    "host_fork": (None, [c_uint64, c_int, c_int]),
    "host_arrive": (None, [c_uint64, c_int]),
    "host_queue": (None, [c_int, c_uint32, c_uint64]),
    "host_woken_at": (c_uint64, [c_uint64, c_uint32, c_int, c_uint64]),
    "host_wake": (None, [c_uint64, c_int]),
    "host_exec": (None, [c_uint64, c_int, c_char_p]),
    "host_exit": (None, [c_uint64, c_uint32, c_int]),
    "host_switch": (None, [c_uint64, c_uint32, c_int, c_int, c_int, c_uint32, c_int]),
    "host_meanwhile": (None, [_MEANWHILE, c_int]),
    "host_iterate": (c_int, [c_int, c_uint64, c_int]),
    "host_drain": (c_uint32, [c_void_p]),
    "host_release": (None, [c_int]),
    "host_exiting": (None, [c_int]),
    "host_unfinished": (c_int, []),
    "host_first_slot": (c_int, [c_int]),
    "host_owned_slots": (c_int, [c_int]),
    "host_own_both": (c_int, []),
    "host_is_cached": (c_int, [c_int]),
    "host_task_is_open": (c_int, [c_uint64, c_int]),
    "host_fast_paths": (c_int, [c_uint64, c_int]),
    "host_cpu_is_open": (c_int, [c_uint64, c_uint32]),
    "host_refuse_allocations": (None, [c_int]),
    "host_turn_back": (None, []),
    "host_control": (c_void_p, []),
    "host_page": (c_void_p, []),
    "host_cpus": (c_void_p, []),
    "host_preemptions": (c_void_p, []),
    "host_settings": (c_void_p, []),
    "host_bucket_of": (c_uint32, [c_uint64]),
    "host_buckets_of": (None, [c_void_p, c_void_p, c_uint64]),
    "host_count": (None, [c_void_p, c_int, c_uint64, c_uint64]),
    "host_fold": (None, [c_void_p, c_void_p]),
}


def load(path: str) -> ctypes.CDLL:
    """The compiled programs, with the functions of ``host_machine.c``."""
    return player.load(path, _SIGNATURES)


class HostBackend(Player, CoreBackend):
    """A machine of some CPUs in its warm-up window, which ends at ``first_edge``."""

    name = "host"
    is_eevdf = True

    def __init__(
        self,
        library: ctypes.CDLL,
        cpus: int,
        first_edge: int,
        ring_records: int = _MOST_RECORDS,
        preemptions: str = "comm",
        **settings: object,
    ):
        self.library, self._cpus, self._first_edge = library, cpus, first_edge
        library.host_reset(cpus, ring_records, first_edge)
        self._control = view(library.host_control(), layout.CONTROL, 1)[0]
        self._cpu_states = view(library.host_cpus(), layout.CPU_STATE, cpus)
        self._pairs = view(library.host_preemptions(), layout.PREEMPTIONS, cpus)
        chosen = view(library.host_settings(), layout.SETTINGS, 1)
        defaults = {"min_activity_ns": 1, "page_rows": ring_records}
        self._control["grid"]["cache_shift"] = 32 - _TASK_CACHE_BITS
        for name, value in (defaults | self._tell_preemptions(preemptions) | settings).items():
            chosen[name] = value
        self._buffer = np.zeros(_MOST_RECORDS, layout.TASK_RECORD)
        self._page, self._page_rows = view(library.host_page(), layout.TASK_RECORD, ring_records), ring_records
        self._rows = RecordBuffer(layout.TASK_RECORD)
        # No program of the host skips a run, and none is timed.
        self._object = SimpleNamespace(program_info=lambda _: SimpleNamespace(recursion_misses=0, run_time_ns=0))
        self._losses, self._bpf_ns = LossCounts(self._control["losses"], 0), self._count_bpf_ns()
        self.now = 0

    # ---- events ----

    def task(self, task: int, uid: int = 0, start_time: int = 0, comm: str = "") -> None:
        """Announce a task; its tid is FIRST_TID + task."""
        tid = FIRST_TID + task
        self.library.host_task(task, tid, tid, start_time, uid, (comm or f"task-{task}").encode())

    def standing(self, task: int, on_cpu=0, cpu=0, on_rq=0, state=0, in_iowait=0, cpu_ns=0) -> None:
        """Set what a task older than tracing is doing."""
        self.library.host_standing(task, on_cpu, cpu, on_rq, state, in_iowait, cpu_ns)

    def _deliver(self, event: Event) -> None:
        match event:
            case Fork(now, task):
                self.library.host_fork(now, IDLE, task)
            case Arrive(now, task):
                self.library.host_arrive(now, task)
            case Wake(now, task):
                self.library.host_wake(now, task)
            case Exit(now, task, cpu):
                self.library.host_exit(now, cpu, task)
            case Release(_, task):
                self.library.host_release(task)
            case CpuDies(now, cpu):
                self.library.host_cpu_dies(now, cpu)
            case CpuComes(now, cpu):
                self.library.host_cpu_comes(now, cpu)
            case Switch():
                self.library.host_switch(*_switch_arguments(event))
        assert not self.library.host_unfinished(), f"after {event}, something is still being written to"
        assert not self.library.host_own_both(), f"after {event}, a task owns both of its slots"

    def slice_ns(self, task: int, ns: int) -> None:
        """Set how long the task has been on its CPU this time by the kernel's own accounting."""
        self.library.host_slice(task, ns)

    def happen_during_flush(self, event: Switch | Exit) -> None:
        """Let an event happen on another CPU after the flush has read a task and before it reports it."""
        self.hold_up(AT_ROOM, lambda: self.happen(event))

    def collect_while_exiting(self, event: Exit, now: int, next_edge: int) -> RawWindow:
        """Collect while a task exits on another CPU: it has claimed its row, and sends it once the collector waits."""
        reached, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            reached.set()
            go_on.wait(PATIENCE_S)

        def finish(_: float) -> None:
            go_on.set()
            exiting.join()

        self.hold_up(AT_ROOM, hold)
        exiting = threading.Thread(target=self.happen, args=(event,))
        exiting.start()
        assert reached.wait(PATIENCE_S), "the exit asked the ring for nothing"
        with mock.patch.object(backend, "time", SimpleNamespace(sleep=finish, monotonic_ns=time.monotonic_ns)):
            window = self.collect_at(now, next_edge)
        waited = go_on.is_set()
        finish(0)
        assert waited, "the collector did not wait for the exit"
        return window

    def hold_up(self, place: int, then: Callable[[], None]) -> None:
        """Have ``then`` happen on another CPU the next time that a program is at this place."""
        self._then = _MEANWHILE(then)  # C keeps no reference
        self.library.host_meanwhile(self._then, place)

    # ---- what stands in for the kernel under the real backend ----

    def seed(self, now: int) -> None:
        self.now = now
        self._seed()

    def _run_iterator(self, name: str) -> None:
        task = 0
        while (task := self.library.host_iterate(name == "flush", self.now, task)) >= 0:
            self._make_room()

    def _drain(self) -> None:
        count = self.library.host_drain(self._buffer.ctypes.data)
        if count:
            self._rows.append(self._buffer[:count])


def _switch_arguments(event: Switch) -> tuple[int, ...]:
    prev, following = (IDLE if task is None else task for task in (event.prev, event.next))
    return (event.now, event.cpu, prev, following, int(event.preempt), event.prev_state, int(event.iowait))
