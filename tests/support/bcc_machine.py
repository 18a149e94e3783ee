"""The bcc backend over its programs on the host: ``host_bcc.c`` is bpf/bcc/bcc.c, compiled for the host."""

import ctypes
from ctypes import c_char_p, c_int64, c_uint32, c_uint64, c_void_p
from types import SimpleNamespace
from unittest import mock

import player
from model import FIRST_TID, TASK_DEAD, Arrive, CpuComes, CpuDies, Event, Exit, Fork, Release, Switch, Wake
from player import Player, view

from schedtel.kernel import backend
from schedtel.kernel.bcc import slots
from schedtel.kernel.bcc.backend import BccBackend, settings_record
from schedtel.records import layout

SLOTS, TIDS, CPUS = 128, 1024, 16
RUNNABLE, DEAD = 0x100, 0x10

_SIGNATURES = {
    "bcc_reset": (None, []),
    "bcc_task": (None, [c_uint32, c_uint32, c_uint32, c_char_p]),
    "bcc_fork": (None, [c_uint64, c_uint32, c_uint32, c_uint32, c_uint64]),
    "bcc_arrive": (None, [c_uint64, c_uint32, c_uint32]),
    "bcc_wake": (None, [c_uint64, c_uint32, c_uint32]),
    "bcc_exec": (None, [c_uint64, c_uint32, c_uint32, c_uint32]),
    "bcc_exit": (None, [c_uint64, c_uint32, c_uint32]),
    "bcc_switch": (None, [c_uint64, c_uint32, c_uint32, c_uint32, c_int64]),
    "bcc_cpu_dies": (None, [c_uint64, c_uint32]),
    "bcc_cpu_comes": (None, [c_uint64, c_uint32]),
    **{f"bcc_{name}": (c_void_p, []) for name in ("controls", "cpus", "slots", "tids", "preemptions", "settings")},
}


def load(path: str) -> ctypes.CDLL:
    """The compiled programs, with the functions of ``host_bcc.c``."""
    return player.load(path, _SIGNATURES)


class HostBccBackend(Player, BccBackend):
    """A machine of some CPUs in its warm-up window, which ends at ``first_edge``."""

    def __init__(
        self,
        library: ctypes.CDLL,
        cpus: int,
        first_edge: int,
        most_tasks: int = SLOTS - 1,
        preemptions: str = "comm",
        **settings,
    ):
        self.library, self._cpus, self._first_edge, self.now = library, cpus, first_edge, 0
        library.bcc_reset()
        told = self._tell_preemptions(preemptions)
        self._settings = settings_record({"min_activity_ns": 1} | told | settings)
        view(library.bcc_settings(), layout.SETTINGS, 1)[0] = self._settings
        self._entries = view(library.bcc_tids(), slots.TID_ENTRY, TIDS)
        self._control = view(library.bcc_controls(), layout.CONTROL, 1)[0]
        all_cpus = view(library.bcc_cpus(), slots.SLOT_CPU, CPUS)
        self._cpu_states = all_cpus["cpu"]
        self._pairs = view(library.bcc_preemptions(), layout.PREEMPTIONS, CPUS)
        self._programs = SimpleNamespace(counts=dict)
        #: tid → CPU on which /proc would say that it is queued.
        self.queued: dict[int, int] = {}
        self.running: dict[int, int] = {}
        with mock.patch.object(backend, "online_cpus", return_value=set(range(cpus))):
            self._set_up(view(library.bcc_slots(), slots.SLOT, SLOTS)[: most_tasks + 1], all_cpus)
        self._control["grid"]["edge_ns"][1] = first_edge
        self._losses, self._bpf_ns = self._new_losses(), self._count_bpf_ns()

    # ---- events ----

    def task(self, task: int, uid: int = 0, comm: str = "", tgid: int | None = None) -> None:
        """Announce a task; its tid is FIRST_TID + task."""
        tid = FIRST_TID + task
        self.library.bcc_task(tid, tgid or tid, uid, (comm or f"task-{task}").encode())

    def _deliver(self, event: Event) -> None:
        match event:
            case Fork(now, task):
                # The parent is not modelled: it is a task with the uid that the child inherits.
                self.library.bcc_fork(now, 0, FIRST_TID + task, FIRST_TID + task, 0)
            case Arrive(now, task):
                self.library.bcc_arrive(now, 0, FIRST_TID + task)
            case Wake(now, task):
                self.library.bcc_wake(now, 0, FIRST_TID + task)
            case Exit(now, task, cpu):
                self.library.bcc_exit(now, cpu, FIRST_TID + task)
            case Switch(now, cpu, prev, following):
                tids = (0 if task is None else FIRST_TID + task for task in (prev, following))
                self.library.bcc_switch(now, cpu, *tids, _printed(event))
            case CpuDies(now, cpu):
                self.library.bcc_cpu_dies(now, cpu)
            case CpuComes(now, cpu):
                self.library.bcc_cpu_comes(now, cpu)
            case Release():
                pass  # the bcc programs do not see it

    # ---- the collector ----

    def look(self) -> None:
        """What the collector does while it waits: it reports the lives that are over, and frees their slots."""
        self._pool.report_completed(self._edges())
        self._pool.refill()

    def _queued_on(self, tid: int) -> int:
        return self.queued.get(tid, layout.WAIT_CPU_UNKNOWN)

    def _keep_up(self) -> None:
        self._seeder.drop_overruled()
        self._pool.select()
        self._pool.refill()


def _printed(event: Switch) -> int:
    """``prev_state`` as the tracepoint prints it (__trace_sched_switch_state(), include/trace/events/sched.h)."""
    if event.preempt:
        return RUNNABLE
    return DEAD if event.prev_state == TASK_DEAD else event.prev_state
