"""Events of a trace in; raw windows out. A backend that runs the bcc backend's programs and pool in this process.

It has no races: :meth:`Replay.happen` stops at a window's end until the window has been collected.
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
from schedtel.kernel.losses import LossCounts
from schedtel.records import layout
from schedtel.records.buffer import RecordBuffer
from schedtel.records.raw_window import RawWindow
from schedtel.traces.events import Kind
from schedtel.traces.library import ReplayState, replay_library

#: The most tids of Linux (PID_MAX_LIMIT, include/linux/threads.h), and NR_CPUS of the largest configurations.
_TIDS, _CPUS = 4 * 1024 * 1024 + 1, 8192
#: The most tasks alive at a time. The kernel allocates a page of their memory when it is first used.
_SLOTS = 1 << 18
#: A task that gets a CPU for the first time so long after the trace's begin, and has not been woken, was not waiting
#: all the time: its wakeup is missing.
_LONGEST_OLD_WAIT_NS = 100_000_000
#: Columns that are unknown for tasks older than the trace.
_UNKNOWN_OF_OLDER = ("arrival_ns", "tat_ns", "total_cpu_ns", "kernel_thread")


class Replay(Backend):
    """The backend of a replayed machine. Its first window is open from ``start_ns`` to ``first_edge_ns``.

    :param wakeups_traced: false if the trace has no wakeups; then it is not known what a task did before it first ran.
    :param overwritten: whether the tracer has overwritten its oldest events. Then the events of each CPU may begin
        later than the trace does, and a window in which a CPU has had no event yet is not exact.
    """

    name = "import"
    preempted_by = "comm"
    unknown = ("start_boottime_ns", "cgroup_id", "uid", "iowait_ns", "exit_code")

    def __init__(
        self, start_ns: int, first_edge_ns: int, *, wakeups_traced: bool = True, overwritten: bool = False
    ) -> None:
        self._library = replay_library()
        self._cpus, self._seen = _CPUS, np.zeros(_CPUS, bool)
        # Kept as whole arrays and not only as views: C has their addresses and writes to them.
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
        self._state = self._state_of_c()
        self._overwritten, self._gap_end_ns = overwritten, 0
        self._wakeups_from_ns = start_ns + _LONGEST_OLD_WAIT_NS if wakeups_traced else 2**64 - 1
        self._losses, self._bpf_ns = LossCounts(self._control["losses"], 0), 0

    def _state_of_c(self) -> ReplayState:
        arrays = (self._controls, self._slot_cpus, self._pages, self._entries, self._pairs)
        return ReplayState(*(a.ctypes.data for a in arrays), _CPUS, _SLOTS, _TIDS)

    # ---- events ----

    def know_cpus(self, count: int) -> None:
        """Count the first ``count`` CPUs as present, even if some have no event; more than there can be are ignored."""
        if count <= _CPUS:
            self._seen[:count] = True

    def happen(self, events: np.ndarray) -> int:
        """Replay events, shape (n,) of EVENT, up to the open window's end; return how many were replayed."""
        events = np.ascontiguousarray(events)
        numbers = events["cpu"]
        self._seen[numbers[numbers < _CPUS]] = True
        self._pool.cpu_numbers = self._online()
        done = self._replay(events)
        self._losses.add("programs_skipped", int(np.count_nonzero(numbers[:done] >= _CPUS)), self.window)
        return done

    def _replay(self, events: np.ndarray) -> int:
        done, edge = 0, self.edge_ns
        self._pool.refill()
        while True:
            done += self._run(events[done:])
            if done == len(events) or events["time_ns"][done] > edge:
                return done
            self._make_room()
            done += self._run(events[done : done + 1], go_on=True)  # even if no slot is free

    def _run(self, events: np.ndarray, *, go_on: bool = False) -> int:
        """Replay events until C stops. Who gets a CPU unannounced is judged by whether that is soon after the begin."""
        soon = int(np.searchsorted(events["time_ns"], np.uint64(self._wakeups_from_ns)))
        done = self._call(events[:soon], wakeups_traced=False, go_on=go_on)
        if done == soon:
            done += self._call(events[soon:], wakeups_traced=True, go_on=go_on)
        self._note_gaps(events[:done])
        return done

    def _note_gaps(self, events: np.ndarray) -> None:
        """Remember where the last of the gaps ends whose begin is among these events."""
        lost = events[events["kind"] == Kind.LOST]
        ends = lost["tid"].astype(np.int64) | lost["other"].astype(np.int64) << 32
        self._gap_end_ns = max(self._gap_end_ns, int(ends.max(initial=0)))

    def _call(self, events: np.ndarray, *, wakeups_traced: bool, go_on: bool) -> int:
        if not len(events):
            return 0
        self._state.wakeups_traced = wakeups_traced
        address = ctypes.c_void_p(events.ctypes.data)
        return int(self._library.replay(ctypes.byref(self._state), address, len(events), go_on))

    def _make_room(self) -> None:
        """A CPU has run out of free slots: report the tasks that have completed, and reuse their slots."""
        self._pool.report_completed(self._edges())
        self._pool.refill()

    # ---- windows ----

    def end_at(self, moment_ns: int) -> None:
        """Move the end of the open window to a moment that no event has passed."""
        self._control["grid"]["edge_ns"][self.window & 3] = moment_ns

    def collect(self, edge_after: Callable[[int], int]) -> RawWindow:
        """Collect the open window, whose events have all been replayed; the next one ends at edge_after(its start)."""
        start = self.edge_ns
        if self._overwritten:
            silent = self._cpu_states["seqcount"]["phase"][self._online()] == layout.CPU_UNKNOWN
            self._losses.add("programs_skipped", int(np.count_nonzero(silent)), self.window)
        if self._gap_end_ns >= start:  # events are lost that may be of this window: the loss is told where the gap ends
            self._losses.add("programs_skipped", 1, self.window)
        raw = super().collect(lambda _: edge_after(start))
        tasks = raw.tasks
        older = tasks["left_censored"] != 0
        unknown = {**dict.fromkeys(_UNKNOWN_OF_OLDER, older), "tgid": tasks["tgid"] >= layout.TGID_UNKNOWN}
        tasks["tgid"][unknown["tgid"]] = 0
        return replace(raw, unknown_rows=unknown)

    def _cpu_at_edge(self, cpu: int, number: int, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """As in a live run, except that a CPU without an event yet is not known to be idle: its time is untracked."""
        bank, preemptions = super()._cpu_at_edge(cpu, number, start, end)
        times = bank["time_ns"][0]
        times[layout.CPU_IDLE] -= times[layout.CPU_UNKNOWN]
        times[layout.CPU_UNTRACKED] += times[layout.CPU_UNKNOWN]
        times[layout.CPU_UNKNOWN] = 0
        return bank, preemptions

    def _edges(self) -> Edges:
        number, edges = self.window, self._control["grid"]["edge_ns"]
        return Edges(number, int(edges[number - 1 & 3]), int(edges[number & 3]))

    def _present(self, _number: int) -> list[int]:
        return self._online()

    def _online(self) -> list[int]:
        return np.flatnonzero(self._seen).tolist() or [0]  # none if every event is on a CPU beyond _CPUS

    def _flush(self) -> None:
        window = self._edges()
        self._pool.flush(window)
        self._control["other"] = self._pool.folded(window.number)[0]

    def _open_waits(self, window: int) -> np.ndarray:
        return self._pool.open_waits.take(window)

    def _drain(self) -> None:
        self._pool.drain(self._rows)

    def _sleep_past(self, moment_ns: int) -> None:
        """Return at once: the events are the clock, and they have passed this moment."""

    def _is_ahead(self, _moment_ns: int) -> bool:
        return True

    def _skipped(self) -> int:
        return 0

    def _count_bpf_ns(self) -> int:
        return 0

    def close(self) -> None:
        """Do nothing: the memory is freed with the object."""
