"""Events of a trace in, the raw windows of a backend out: the bcc backend's programs and pool, in this process.

There is nobody to race with: the events stop at a window's end until the window has been collected.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from schedtel.kernel.backend import Backend
from schedtel.kernel.bcc import slots
from schedtel.kernel.bcc.pool import Pool
from schedtel.kernel.bcc.slots import Edges
from schedtel.records import layout
from schedtel.records.buffer import RecordBuffer
from schedtel.records.raw_window import RawWindow
from schedtel.traces.library import ReplayState, replay_library

#: The most that Linux can have (PID_MAX_LIMIT, include/linux/threads.h), and NR_CPUS of the largest configurations.
_TIDS, _CPUS = 4 * 1024 * 1024 + 1, 8192
#: Tasks alive at a time. Memory is taken when it is first used.
_SLOTS = 1 << 18
#: A tgid that is not known: TGID_UNKNOWN of bpf/replay.c.
_TGID_UNKNOWN = 1 << 31
#: Of tasks older than the trace.
_UNKNOWN_OF_OLDER = ("arrival_ns", "tat_ns", "total_cpu_ns", "kernel_thread")


class Replay(Backend):
    """A machine whose first window is open from ``start_ns`` to ``first_edge_ns``.

    :param wakeups_traced: false if the trace tells of no wakeup: then nobody knows what a task did before it first ran.
    """

    name = "import"
    preempted_by = "comm"
    unknown = ("start_boottime_ns", "cgroup_id", "uid", "iowait_ns", "exit_code")

    def __init__(self, start_ns: int, first_edge_ns: int, *, wakeups_traced: bool = True) -> None:
        self._library = replay_library()
        self._cpus, self._seen = _CPUS, np.zeros(_CPUS, bool)
        # Kept whole and not as views: C writes to them.
        self._controls, self._pages = np.zeros(1, layout.CONTROL), np.zeros(_SLOTS, slots.SLOT)
        self._slot_cpus, self._entries = np.zeros(_CPUS, slots.SLOT_CPU), np.zeros(_TIDS, slots.TID_ENTRY)
        self._pairs = np.zeros(_CPUS, layout.PREEMPTIONS)
        self._control, self._cpu_states = self._controls[0], self._slot_cpus["cpu"]
        settings = np.zeros((), layout.SETTINGS)
        settings["min_activity_ns"] = 1
        self._pool = Pool(self._pages, self._slot_cpus, [0], settings, rest_ns=0)
        self._rows = RecordBuffer(layout.TASK_RECORD)
        grid = self._control["grid"]
        grid["edge_ns"][:2], self.window = (start_ns, first_edge_ns), 1
        self._state = self._state_of_c(wakeups_traced)
        self._losses, self._bpf_ns = self._count_losses(), 0

    def _state_of_c(self, wakeups_traced: bool) -> ReplayState:
        arrays = (self._controls, self._slot_cpus, self._pages, self._entries, self._pairs)
        return ReplayState(*(a.ctypes.data for a in arrays), _CPUS, _SLOTS, _TIDS, wakeups_traced)

    # ---- events ----

    def know_cpus(self, count: int) -> None:
        """That so many CPUs are there, though there may be no event on some."""
        self._seen[:count] = True

    def happen(self, events: np.ndarray) -> int:
        """Let events of shape (n,) of EVENT happen up to the open window's end; returns how many are."""
        events = np.ascontiguousarray(events)
        numbers = events["cpu"]
        self._seen[numbers[numbers < _CPUS]] = True
        self._control["losses"]["events_missed"] += np.count_nonzero(numbers >= _CPUS)
        self._pool.cpu_numbers = self._online()
        done, edge = 0, self.edge_ns
        self._pool.refill()
        while True:
            done += self._run(events[done:])
            if done == len(events) or events["time_ns"][done] > edge:
                return done
            self._make_room()
            done += self._run(events[done : done + 1], go_on=True)  # with a slot, if there is one

    def _run(self, events: np.ndarray, *, go_on: bool = False) -> int:
        address = ctypes.c_void_p(events.ctypes.data)
        return int(self._library.replay(ctypes.byref(self._state), address, len(events), go_on))

    def _make_room(self) -> None:
        """A CPU has run short of slots: take back those of lives that are over."""
        self._pool.report_completed(self._edges())
        self._pool.refill()

    # ---- windows ----

    def end_at(self, moment_ns: int) -> None:
        """Let the open window end at a moment that no event has passed."""
        self._control["grid"]["edge_ns"][self.window & 3] = moment_ns

    def collect(self, edge_after: Callable[[int], int]) -> RawWindow:
        """The open window, whose events have all happened; the next is open until edge_after(its start)."""
        start = self.edge_ns
        raw = super().collect(lambda _: edge_after(start))
        tasks = raw.tasks
        older = tasks["left_censored"] != 0
        unknown = {**dict.fromkeys(_UNKNOWN_OF_OLDER, older), "tgid": tasks["tgid"] >= _TGID_UNKNOWN}
        tasks["tgid"][unknown["tgid"]] = 0
        return replace(raw, unknown_rows=unknown)

    def _edges(self) -> Edges:
        number, edges = self.window, self._control["grid"]["edge_ns"]
        return Edges(number, int(edges[number - 1 & 3]), int(edges[number & 3]))

    def _online(self) -> list[int]:
        return np.flatnonzero(self._seen).tolist() or [0]  # all events may be on CPUs that cannot be

    def _flush(self) -> None:
        window = self._edges()
        self._pool.flush(window)
        self._control["other"] = self._pool.folded(window.number)[0]

    def _drain(self) -> None:
        self._pool.drain(self._rows)

    def _sleep_past(self, moment_ns: int) -> None:
        """Events tell the time here, and they have passed it."""

    def _is_ahead(self, _moment_ns: int) -> bool:
        return True

    def _skipped(self) -> int:
        return 0

    def _count_bpf_ns(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing: the memory goes with the object."""
