"""The live source: a backend's raw windows, cut on a fixed grid, in; windows out."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Iterator
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
    from schedtel.windows.memory import Memory
    from schedtel.windows.window import Window

#: A window opened so late before its grid edge that it would be shorter than this part of one runs to the next edge.
_LEAST_FIRST_PART = 10
#: What needs numpy, and is needed before the first window opens; what needs pyarrow, and is needed at its end.
_TO_OPEN, _TO_READ = "schedtel.kernel.core.backend", "schedtel.windows.build"
#: Longer than any import: of windows shorter than this, some might have ended before they could be read.
_LONG_IMPORT_NS = 1_000_000_000
#: An edge nearer than this could pass while it is being set.
_NEAREST_EDGE_NS = 1_000_000


class LiveSource(Source):
    """Windows of this machine as they end. Tracing begins with the construction.

    Windows are aligned to multiples of their length on CLOCK_MONOTONIC and tile time; the first one begins when
    tracing does, the last one ends at :meth:`stop`. A collector that was held up yields one long window, marked by
    ``windows_spanned``.
    """

    def __init__(
        self,
        window: str = "5s",
        task_filter: Filter | None = None,
        tracing: Tracing | None = None,
        count: int | None = None,
        duration: str | None = None,
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
        if is_short:
            importlib.import_module(_TO_READ)
        self.backend = self._backend.name
        self._cgroups, self._host = CgroupPaths(), HostCounters(self._backend.is_eevdf)
        self._memory: Memory | None = None
        self._stop_ns: int | None = None
        self._window_id = 0
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
        }

    def __iter__(self) -> Iterator[Window]:
        while self._remaining is None or self._remaining > 0:
            window = self._next()
            if self._remaining is not None:
                self._remaining -= 1
            yield window
            if any(end is not None and window.end_ns >= end for end in (self._stop_ns, self._end_ns)):
                return

    def _next(self) -> Window:
        from schedtel.windows import memory  # noqa: PLC0415  (tracing has begun: see _TO_READ)
        from schedtel.windows.build import build  # noqa: PLC0415

        while time.monotonic_ns() < self._edge_ns and self._stop_ns is None:
            self._backend.wait(self._edge_ns)
        if self._stop_ns is not None:
            self._backend.end_now()
        raw = self._backend.collect(self._edge_after)
        self._window_id += 1
        self._edge_ns = self._backend.edge_ns
        spanned = max(1, round((raw.end_ns - raw.start_ns) / self.window_ns))
        self._memory = self._memory or memory.Memory()
        return build(
            raw,
            self._window_id,
            spanned,
            wall_start_ns=time.time_ns() - (time.monotonic_ns() - raw.start_ns),
            host=self._host.since_last(),
            cgroups=self._cgroups,
            throttled=self._host.throttled,
            memory=self._memory,
        )

    def _edge_after(self, moment_ns: int) -> int:
        """The first edge of the grid far enough after a moment; not past the end of a limited duration."""
        edge = ((moment_ns + _NEAREST_EDGE_NS) // self.window_ns + 1) * self.window_ns
        return edge if self._end_ns is None or self._end_ns <= moment_ns + _NEAREST_EDGE_NS else min(edge, self._end_ns)

    def drain(self) -> None:
        """Take in what has come since the last window; returns at once.

        For who iterates and is busy with a window for long: rows of tasks that exit wait in the ring, and those that
        find it full are folded into ``other``. Not for another thread than the one that iterates.
        """
        self._backend.wait(0)

    @property
    def elapsed(self) -> float:
        """Part of the open window that has passed, from 0 to 1."""
        return min(1.0, 1 - (self._edge_ns - time.monotonic_ns()) / self.window_ns)

    def stop(self) -> None:
        """End the open window now; iteration yields it and finishes. Safe in a signal handler and from a thread.

        The first call counts: who stops with every window from some point on must not put the end off each time.
        """
        if self._stop_ns is None:
            self._stop_ns = time.monotonic_ns()
        self._backend.wake()

    def program_runs(self) -> dict[str, tuple[int, int]]:
        """Runs and nanoseconds of each BPF program; zeros unless ``kernel.bpf_stats_enabled`` is 1."""
        return self._backend.run_counts()

    def close(self) -> None:
        self._backend.close()


def _import_meanwhile(modules: tuple[str, ...]) -> None:
    """Have another thread import modules, and return at once.

    While the kernel verifies the programs, Python would only wait. Who needs a module imports it as well: then that
    waits until it is there, or tells what is wrong with it.
    """

    def attempt() -> None:
        with suppress(ImportError):
            for module in modules:
                importlib.import_module(module)

    threading.Thread(target=attempt, name="schedtel-import").start()


def live(
    window: str = "5s",
    *,
    cgroup: str | None = None,
    pid: int | None = None,
    tid: int | None = None,
    uid: int | None = None,
    comm: str | None = None,
    kernel_threads: str = "include",
    min_activity: str | None = None,
    all_tasks: bool = False,
    count: int | None = None,
    duration: str | None = None,
    ring_bytes: int = DEFAULT_RING_BYTES,
    backend: str = "auto",
    max_tasks: int = DEFAULT_MAX_TASKS,
    preemptions: str = DEFAULT_PREEMPTIONS,
) -> LiveSource:
    """Start telemetry of this machine's scheduler. Needs CAP_BPF and CAP_PERFMON.

    :param window: length of a window, such as ``250ms``, ``5s``, ``1m``; from 10 ms to 24 h.
    :param count: end after this many windows.
    :param duration: end after this time; the last window may be shorter.
    :param ring_bytes: size of the ring buffer, a power of two; it bounds how many exits may happen while the
        collector does not run (about 1,500 a megabyte) before their rows are folded into ``other``. The page for the
        rows of a window's end takes as much memory again. Of core.
    :param backend: ``core`` (CO-RE objects), ``bcc`` (compiled here, for kernels that core does not support) or
        ``auto``: core if it works. The source's ``backend`` says which it is, ``not_core_because`` why auto fell back.
    :param max_tasks: how many tasks may live at a time, with bcc; those beyond have no rows and are counted in
        ``state_failed``.
    :param preemptions: what the table of who preempted whom is told by, ``cgroup`` or ``comm``; or ``off``.

    The other parameters are those of :class:`schedtel.Filter`.

    Raises :class:`UsageError` for a wrong value and :class:`CapabilityError` for what the machine or user lacks.
    """
    task_filter = Filter(cgroup, pid, tid, uid, comm, kernel_threads, min_activity, all_tasks)
    return LiveSource(window, task_filter, Tracing(backend, ring_bytes, max_tasks, preemptions), count, duration)
