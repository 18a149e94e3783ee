"""The live source: raw windows of a backend in; windows on a fixed grid out."""

from __future__ import annotations

import importlib
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from schedtel.durations import parse_duration
from schedtel.errors import UsageError
from schedtel.host.cgroups import CgroupPaths
from schedtel.host.counters import HostCounters
from schedtel.kernel.filters import Filter
from schedtel.kernel.selection import open_backend
from schedtel.kernel.settings import DEFAULT_MAX_TASKS, DEFAULT_PREEMPTIONS, DEFAULT_RING_BYTES, Tracing
from schedtel.windows.grid import window_length
from schedtel.windows.source import Source

if TYPE_CHECKING:
    from schedtel.host.machine import MachineCounters
    from schedtel.windows.memory import Memory
    from schedtel.windows.window import Window

#: The first window lasts at least a tenth of a window's length: if the next edge is nearer, it ends at the one after.
_LEAST_FIRST_PART = 10
#: The first module imports numpy and is needed before the first window opens; the second imports pyarrow and is needed
#: at that window's end.
_TO_OPEN, _TO_READ = "schedtel.kernel.core.backend", "schedtel.windows.build"
#: Longer than any import. A shorter window might end before pyarrow is imported, so then the import comes first.
_LONG_IMPORT_NS = 1_000_000_000
#: An edge nearer than this could pass while it is being set.
_NEAREST_EDGE_NS = 1_000_000
#: The wait for an edge aims at this much before it, and ends up to a millisecond later (epoll counts milliseconds). The
#: backend then reads before the edge what the kernel counts in total alone, and sleeps past the edge.
_EARLY_NS = 1_300_000


class LiveSource(Source):
    """Windows of this machine, each as it ends. Tracing begins with the construction.

    Windows are aligned to multiples of their length on CLOCK_MONOTONIC and tile time; the first one begins when
    tracing does, the last one ends at :meth:`stop`. A collector that was held up yields one long window, marked by
    ``windows_spanned``.

    Tracing ends with :meth:`close`, with the ``with`` block, with an iteration that ends by itself (a count, a
    duration, :meth:`stop`), when the source is collected, or with the process. A loop that is left early can be taken
    up again.

    :func:`live` describes the parameters and the errors; ``task_filter`` and ``tracing`` group some of them.
    """

    def __init__(
        self,
        window: str = "5s",
        task_filter: Filter | None = None,
        tracing: Tracing | None = None,
        count: int | None = None,
        duration: str | None = None,
        *,
        machine: bool = False,
    ) -> None:
        self.window_ns = window_length(window)
        self.filter = task_filter or Filter()
        self._remaining = count
        if count is not None and count < 1:
            raise UsageError(f"cannot collect {count} windows: count must be at least 1")
        duration_ns = parse_duration(duration) if duration is not None else None
        tracing = tracing or Tracing()
        is_short = self.window_ns < _LONG_IMPORT_NS
        meanwhile = partial(_import_meanwhile, (_TO_OPEN, _TO_READ) if is_short else (_TO_OPEN,))
        self._backend, self.not_core_because = open_backend(self.filter, tracing, meanwhile)
        # Links and programs outlive a source that is merely forgotten: every switch on the machine would go on paying.
        self._detach = weakref.finalize(self, self._backend.close)
        self._runs_at_close: dict[str, tuple[int, int]] = {}
        if is_short:
            importlib.import_module(_TO_READ)
        self.backend = self._backend.name
        self._cgroups, self._host = CgroupPaths(), HostCounters(self._backend.is_eevdf)
        self._memory: Memory | None = None
        self._stop_ns: int | None = None
        self._window_id = 0
        # Its first reading is the last thing before the first window opens.
        self._machine = self._machine_counters() if machine else None
        begin = time.monotonic_ns()
        self._end_ns = begin + duration_ns if duration_ns is not None else None
        self.start_ns = self._backend.open_first(
            lambda now: self._edge_after(now + self.window_ns // _LEAST_FIRST_PART)
        )
        self._edge_ns = self._backend.edge_ns
        self.metadata = {
            "clock": "CLOCK_MONOTONIC",
            "host": self._host.host,
            "kernel": self._host.kernel,
            "window": window,
            "filter": self.filter.describe(),
            "preemptions": tracing.preemptions,
        } | ({"counters": ", ".join(tracing.counters)} if tracing.counters else {})

    def __iter__(self) -> Iterator[Window]:
        while self._remaining is None or self._remaining > 0:
            window = self._next()
            if self._remaining is not None:
                self._remaining -= 1
            yield window
            if any(end is not None and window.end_ns >= end for end in (self._stop_ns, self._end_ns)):
                break
        self.close()

    def _next(self) -> Window:
        from schedtel.windows import memory  # noqa: PLC0415  (not before tracing has begun: see _TO_READ)
        from schedtel.windows.build import build  # noqa: PLC0415

        self._need_open()
        early_ns = self._edge_ns - _EARLY_NS
        while time.monotonic_ns() < early_ns and self._stop_ns is None:
            self._wait(early_ns)
        if self._stop_ns is not None:
            self._backend.end_now()
        self._host.before_edge()
        raw = self._backend.collect(self._edge_after)
        sampled = self._machine.since_last() if self._machine else None
        self._window_id += 1
        self._edge_ns = self._backend.edge_ns
        spanned = max(1, round((raw.end_ns - raw.start_ns) / self.window_ns))
        self._memory = self._memory or memory.Memory()
        return build(
            raw,
            self._window_id,
            spanned,
            wall_start_ns=time.time_ns() - (time.monotonic_ns() - raw.start_ns),
            host=self._host.since_last(raw.end_ns),
            cgroups=self._cgroups,
            throttled=self._host.throttled,
            memory=self._memory,
            machine=sampled,
        )

    def _machine_counters(self) -> MachineCounters:
        from schedtel.host.machine import MachineCounters  # noqa: PLC0415  (psutil: 10 MB that tracing does without)

        return MachineCounters(self.window_ns)

    def _wait(self, moment_ns: int) -> None:
        """Wait until a moment, or until the machine is to be sampled; then sample it."""
        if self._machine is None:
            self._backend.wait(moment_ns)
            return
        self._backend.wait(min(moment_ns, self._machine.due_ns))
        self._machine.sample()

    def _edge_after(self, moment_ns: int) -> int:
        """The first grid edge more than ``_NEAREST_EDGE_NS`` after a moment.

        If a limited duration ends before that edge, its end is the edge, provided that it is as far from the moment.
        """
        edge = ((moment_ns + _NEAREST_EDGE_NS) // self.window_ns + 1) * self.window_ns
        return edge if self._end_ns is None or self._end_ns <= moment_ns + _NEAREST_EDGE_NS else min(edge, self._end_ns)

    def drain(self) -> None:
        """Take the rows of tasks that have exited since the last window; returns at once.

        For a caller that iterates and takes long over a window: rows of tasks that exit wait in the ring, and those
        that find it full are folded into ``other``. Only the thread that iterates may call this.
        """
        self._need_open()
        self._backend.wait(0)

    def _need_open(self) -> None:
        if self.closed:
            raise UsageError("cannot collect windows: this source is closed (start another with schedtel.live())")

    @property
    def closed(self) -> bool:
        """Whether tracing has ended."""
        return not self._detach.alive

    @property
    def elapsed(self) -> float:
        """Part of the open window that has passed, from 0 to 1."""
        return min(1.0, max(0.0, 1 - (self._edge_ns - time.monotonic_ns()) / self.window_ns))

    def stop(self) -> None:
        """End the open window now; iteration yields it and finishes. Safe in a signal handler and from any thread.

        Only the first call counts: a caller may stop with every window from some point on, and the end must not move
        each time.
        """
        if self._stop_ns is None:
            self._stop_ns = time.monotonic_ns()
        if not self.closed:
            self._backend.wake()

    def program_runs(self) -> dict[str, tuple[int, int]]:
        """Run count and run time in nanoseconds of each BPF program; zeros unless ``kernel.bpf_stats_enabled`` is 1.

        After :meth:`close`, those at its moment.
        """
        return self._runs_at_close if self.closed else self._backend.run_counts()

    def close(self) -> None:
        """End tracing: detach and unload the programs. Windows already taken stay valid; further calls do nothing."""
        if not self.closed:
            try:
                self._runs_at_close = self._backend.run_counts()
            finally:  # the programs are detached even where no descriptor is left to read their counts
                self._detach()


def _import_meanwhile(modules: tuple[str, ...]) -> None:
    """Import modules in another thread; returns at once.

    While the kernel verifies the programs, Python would only wait. Code that needs one of the modules imports it as
    well: that import waits for this one, and raises the error that is suppressed here.
    """

    def attempt() -> None:
        with suppress(ImportError):
            for module in modules:
                importlib.import_module(module)

    threading.Thread(target=attempt, name="schedtel-import").start()


def live(
    window: str = "5s",
    *,
    cgroup: str | Iterable[str] | None = None,
    pid: int | Iterable[int] | None = None,
    tid: int | Iterable[int] | None = None,
    uid: int | Iterable[int] | None = None,
    comm: str | Iterable[str] | None = None,
    kernel_threads: str = "include",
    min_activity: str | None = None,
    all_tasks: bool = False,
    count: int | None = None,
    duration: str | None = None,
    ring_bytes: int = DEFAULT_RING_BYTES,
    backend: str = "auto",
    max_tasks: int = DEFAULT_MAX_TASKS,
    preemptions: str = DEFAULT_PREEMPTIONS,
    machine: bool = False,
    counters: str | Iterable[str] = (),
) -> LiveSource:
    """Start telemetry of this machine's scheduler. Needs CAP_BPF and CAP_PERFMON.

    :param window: length of a window, such as ``250ms``, ``5s``, ``1m``; from 10 ms to 24 h.
    :param count: end after this many windows.
    :param duration: end after this time; the last window may be shorter.
    :param ring_bytes: size of the ring buffer, a power of two; it bounds how many exits may happen while the
        collector does not run (about 1,500 a megabyte) before their rows are folded into ``other``. The page for the
        rows of a window's end takes as much memory again. Only core has a ring.
    :param backend: ``core`` (CO-RE objects), ``bcc`` (compiled on this machine, for kernels that core does not
        support) or ``auto``: core if it works, else bcc. The source's ``backend`` says which it is,
        ``not_core_because`` why ``auto`` fell back.
    :param max_tasks: how many tasks bcc can follow at a time; those beyond have no rows and are counted in
        ``state_failed``. Core has no such limit.
    :param preemptions: what the table ``preemptions`` groups tasks by, ``cgroup`` or ``comm``; or ``off``: no table.
    :param machine: also sample CPU time, memory, swap and I/O of the machine by psutil: the table ``machine``, without
        which half of the features are missing.
    :param counters: names of perf events, up to 8, to be counted for each task: the table ``counters``. They are
        ``page-faults``, ``context-switches``, ``cycles`` and so on (:data:`schedtel.records.perf_events.EVENTS`), or a
        raw event such as ``r1a2``. Only core counts them. Tasks beyond ``max_tasks`` in a window have no rows there,
        and are counted in ``state_failed``.

    The other parameters are those of :class:`schedtel.Filter`.

    Raises :class:`UsageError` for a wrong value, and :class:`CapabilityError` where the kernel, the machine or the
    user's privileges lack something that is needed.
    """
    task_filter = Filter(cgroup, pid, tid, uid, comm, kernel_threads, min_activity, all_tasks)
    named = (counters,) if isinstance(counters, str) else tuple(counters)
    tracing = Tracing(backend, ring_bytes, max_tasks, preemptions, named)
    return LiveSource(window, task_filter, tracing, count, duration, machine=machine)
