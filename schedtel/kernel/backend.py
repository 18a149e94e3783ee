"""The window protocol, which all backends share: mapped pages in; raw windows out.

It sets edges, reads frozen banks and opens the next window, as ``bpf/machine.h`` describes. It knows the mapped pages
of ``bpf/records.h``, but neither how a backend loads the programs behind them, nor Arrow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from schedtel.host.cpus import online_cpus
from schedtel.kernel.losses import LossCounts
from schedtel.kernel.settings import preempted_by, preemptions_setting
from schedtel.kernel.waits import behind_occupants, ended_waits
from schedtel.records import layout
from schedtel.records.buffer import RecordBuffer
from schedtel.records.counted import Counted
from schedtel.records.raw_window import RawWindow

if TYPE_CHECKING:
    from schedtel.kernel.counters.counting import Counting
    from schedtel.records.perf_events import PerfEvent

#: A window that should end at once ends this much later: the edge must be set before it passes, and the collector may
#: be held up while it sets one. The warm-up ends sooner, since it can be ended again.
_SETTLE_NS, _SETTLES_NS = 5_000_000, (1_000_000, 4_000_000, 16_000_000, 64_000_000)
#: If the edge is nearer than this when its window is about to open, a later edge replaces it.
_LEAST_AHEAD_NS = 500_000
#: An edge is also further away than this part of what it took to read the window before. In an emulated guest, that is
#: tens of milliseconds, and one millisecond passes while an edge is being set.
_SHARE_AHEAD = 4
#: How long the flush keeps asking a task that is in the middle of a change.
_PATIENCE_NS = 1_000_000_000


class Backend:
    """The kernel side, loaded, attached and seeded. The warm-up window runs from construction to :meth:`open_first`.

    A subclass maps ``_control`` (of ``layout.CONTROL``), ``_cpu_states`` (of ``layout.CPU_STATE``, one for each
    possible CPU) and, unless preemptions are off, ``_pairs`` (of ``layout.PREEMPTIONS``, one for each possible CPU). It
    fills ``_rows`` with task records, and implements the methods that raise NotImplementedError here.
    """

    name: str
    is_eevdf: bool
    #: Columns of ``tasks`` that this backend cannot know.
    unknown: tuple[str, ...] = ()
    #: What the table ``preemptions`` groups tasks by, ``cgroup`` or ``comm``; empty where it is off.
    preempted_by: str = ""
    _cpus: int
    _control: np.void
    _cpu_states: np.ndarray
    _pairs: np.ndarray
    _rows: RecordBuffer
    _losses: LossCounts
    #: CPUs that were offline when the programs were attached.
    _absent: frozenset[int] = frozenset()
    _bpf_ns: int
    #: Whether the reading of a window has begun and not ended.
    _half_read: bool = False
    #: Counts perf events for each task, where they are asked for.
    _counting: Counting | None = None

    def wait(self, deadline_ns: int) -> None:
        """Sleep until the deadline, or until the kernel side needs room for more records or tasks; then make room."""
        raise NotImplementedError

    def wake(self) -> None:
        """Make a :meth:`wait` return at once. Safe in a signal handler and from another thread."""
        raise NotImplementedError

    def run_counts(self) -> dict[str, tuple[int, int]]:
        """Run count and run time in ns of each program since load; zeros unless ``kernel.bpf_stats_enabled`` is 1."""
        raise NotImplementedError

    def close(self) -> None:
        """Detach and unload the programs. Windows that have been collected stay valid."""
        raise NotImplementedError

    def count(self, events: tuple[PerfEvent, ...], max_tasks: int) -> None:
        """Count perf events for each task from now on; only before :meth:`open_first`.

        :param max_tasks: of how many tasks a window has counts.

        Raises :class:`CapabilityError` where the backend, the kernel, the machine or the user's privileges cannot.
        """
        raise NotImplementedError

    def _flush(self) -> None:
        """Report every task for the open window, whose end has passed; a busy task is asked again, for a while."""
        raise NotImplementedError

    def _drain(self) -> None:
        """Move the records that have been reported since the last call into ``_rows``."""
        raise NotImplementedError

    def _take(self, window: int) -> np.ndarray:
        """The task records of a window that has been flushed, valid until the next :meth:`_drain` or :meth:`_flush`."""
        return self._rows.take(window)

    def _open_waits(self, window: int) -> np.ndarray:
        """Waits that go on past the end of a window that has been flushed: shape (WAIT_KINDS, n) of ``layout.WAIT``.

        Where they are more than are kept, these are the longest of each kind. An entry of 0 ns is none.
        """
        raise NotImplementedError

    def _skipped(self) -> int:
        """How many runs of programs the kernel has skipped since load."""
        raise NotImplementedError

    def _count_bpf_ns(self) -> int:
        """Run time of all programs since load; 0 unless ``kernel.bpf_stats_enabled`` is 1."""
        raise NotImplementedError

    def _online(self) -> list[int]:
        """The CPUs that are online, in order."""
        return [cpu for cpu in sorted(online_cpus()) if cpu < self._cpus]

    def _present(self, number: int) -> list[int]:
        """The CPUs that may have been online in a window that has ended, in order.

        Those are the CPUs that are online, and those whose state has got as far: they had an event, went or came.
        """
        reached = np.flatnonzero(self._cpu_states["window"][: self._cpus] >= number)
        return sorted({*self._online(), *reached.tolist()})

    def _note_absent(self) -> None:
        """Note which CPUs are offline, once the programs are attached; from then on these see what comes and goes."""
        self._absent = frozenset(range(self._cpus)) - frozenset(self._online())

    def _tell_preemptions(self, by: str) -> dict[str, object]:
        """Set ``preempted_by``; returns the field of ``struct settings``. Raises like :func:`preemptions_setting`."""
        self.preempted_by = preempted_by(by)
        return preemptions_setting(by)

    # ---- windows ----

    @property
    def window(self) -> int:
        """Number of the window that is open."""
        return int(self._control["grid"]["epoch"]) & 0xFFFFFFFF

    @window.setter
    def window(self, number: int) -> None:
        self._control["grid"]["epoch"] = number | (number - 1) << 32

    def open_first(self, edge_after: Callable[[int], int]) -> int:
        """End the warm-up at once and open the first real window, which ends at edge_after(now); returns its start.

        If that end passed while it was being set, the window behind it is not exact, so it is made part of the warm-up.
        """
        for settle_ns in _SETTLES_NS:
            number = self.window
            start, in_time = self._end_in(settle_ns)
            self._pass_edge(number, start)
            began_ns = time.monotonic_ns()
            self._flush()  # the warm-up's records are dropped, but the CPU time in them is part of the tasks' lives
            self._take_counts(number, [])
            self._advance(edge_after, began_ns)
            self._losses.take(number)
            if in_time:
                break
        return start

    @property
    def edge_ns(self) -> int:
        """Where the open window ends."""
        return int(self._control["grid"]["edge_ns"][self.window & 3])

    def end_now(self) -> int:
        """Move the open window's end to the nearest safe moment; returns it."""
        return self._end_in(_SETTLE_NS)[0]

    def _end_in(self, settle_ns: int) -> tuple[int, bool]:
        """Move the open window's end to a moment that is so near; returns that, and whether it was set in time."""
        edges, index, planned = self._control["grid"]["edge_ns"], self.window & 3, self.edge_ns
        end = time.monotonic_ns() + settle_ns
        if end >= planned:  # it has ended, or is about to
            return planned, True
        edges[index] = end
        return end, self._check_ahead(end, self.window)

    def collect(self, edge_after: Callable[[int], int]) -> RawWindow:
        """Sleep past the open window's end, read that window, and open the next one, which ends at edge_after(now)."""
        number, grid = self.window, self._control["grid"]
        start, end = (int(grid["edge_ns"][n & 3]) for n in (number - 1, number))
        self._pass_edge(number, end)
        began_ns = time.monotonic_ns()
        if self._half_read:  # by a call that an exception ended, as Ctrl-C does: some rows went with it
            self._losses.add("state_failed", 1, number)
        self._half_read = True
        self._flush()
        cpu_numbers = np.array(self._present(number))
        banks_and_pairs = [self._cpu_at_edge(cpu, number, start, end) for cpu in cpu_numbers]
        cpus, preemptions = (np.concatenate(parts) for parts in zip(*banks_and_pairs, strict=True))
        open_waits = behind_occupants(self._open_waits(number), self._cpu_states, number)
        # The flush passes over a task whose exit has claimed its row; _cpu_at_edge() has waited until that row is sent.
        self._drain()
        folded = np.concatenate([np.array([self._control["other"]], layout.FOLDED), cpus["other"]])
        counted = self._take_counts(number, cpu_numbers[cpus["time_ns"][:, layout.CPU_OFFLINE] > 0].tolist())
        self._advance(edge_after, began_ns)
        # At once: the programs count the losses of the window after the next one in the same half.
        losses = self._losses.take(number)
        tasks = self._take(number)
        self._half_read = False
        was_online = cpus["time_ns"][:, layout.CPU_OFFLINE] < end - start
        return RawWindow(
            number=number,
            start_ns=start,
            end_ns=end,
            tasks=tasks,
            folded=folded,
            cpus=cpus[was_online],
            cpu_numbers=cpu_numbers[was_online],
            losses=losses,
            bpf_ns=self._bpf_ns_since(),
            unknown=self.unknown,
            preemptions=preemptions,
            preempted_by=self.preempted_by,
            counted=counted,
            waits=np.concatenate([ended_waits(cpus), open_waits], axis=1),
        )

    def _take_counts(self, number: int, absent: list[int]) -> Counted | None:
        """The counts of perf events in a window, before the next one is opened; None where none are asked for.

        :param absent: CPUs that were offline for a part of the window.
        """
        if not self._counting:
            return None
        for cpu in set(absent) & set(self._online()):
            self._counting.open_anew(cpu)
            self._losses.add("programs_skipped", 1, number)  # what was counted since it came is not known
        return self._counting.take(number)

    def _pass_edge(self, number: int, end_ns: int) -> None:
        """Sleep past the end of window ``number``, and tell the runs skipped before that end from those after it.

        The kernel counts skipped runs in total. Those up to a reading before the edge are of this window. Those between
        that reading and the next one, past the edge, may be of either window. A collector that is late has no reading
        before the edge, so then that goes for all that was skipped since the last one.
        """
        skipped = self._skipped()
        if self._is_ahead(end_ns):
            self._losses.skipped_up_to(skipped, number)
        self._sleep_past(end_ns)
        if self._counting:
            self._counting.read(self._online())
        self._losses.skipped_up_to(self._skipped(), number, number + 1)

    def _sleep_past(self, moment_ns: int) -> None:
        while (remaining := moment_ns - time.monotonic_ns()) >= 0:
            time.sleep((remaining + 1000) / 1e9)

    def _advance(self, edge_after: Callable[[int], int], began_ns: int) -> None:
        """Open the next window. Its end is written first: programs read it only once the number has changed.

        An edge must be set before it passes, and this process may be held up while it sets one. So the clock is read
        again right before the number is written, which is a single store: until then no program has read the edge, and
        a later one can still replace it. The slower this machine reads a window, the further away the edge is.

        :param began_ns: when the reading of the window before began.
        """
        grid, number = self._control["grid"], self.window + 1
        edges = grid["edge_ns"]
        while True:
            now = time.monotonic_ns()
            end = edge_after(now + (now - began_ns) // _SHARE_AHEAD)
            edges[number & 3] = end
            if self._is_ahead(end - _LEAST_AHEAD_NS):
                break
        self.window = number
        self._check_ahead(end, number)

    def _is_ahead(self, moment_ns: int) -> bool:
        return time.monotonic_ns() < moment_ns

    def _check_ahead(self, end_ns: int, number: int) -> bool:
        """Count a loss if the edge passed while it was being set: then tasks may disagree where a window ends.

        So time of the window ``number``, whose end this is, may be in the next one, or the other way round. Returns
        whether the edge is still to come.
        """
        in_time = self._is_ahead(end_ns)
        if not in_time:
            self._losses.add("state_failed", 1, number, number + 1)
        return in_time

    def _cpu_at_edge(self, cpu: int, number: int, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """One CPU's bank as it stood at the window's end, shape (1,), and its entries of ``preemptions``, shape (k,).

        Both must be copied while no program writes them. Once the CPU has rolled, only an exit that began before the
        flush ended may still fold a row into the bank; a changed sequence number says that it is done. So a CPU that
        switches all the time is not waited for. Before the CPU has rolled, the sequence number must be even, and the
        same before and after the copy.
        """
        state = self._cpu_states[cpu : cpu + 1]
        first = int(state["seqcount"]["seq"][0])
        while True:
            before = state["seqcount"].copy()
            newest, since = int(state["window"][0]), int(state["since_ns"][0])
            bank = state["bank"][:, number & 1].copy() if newest >= number else np.zeros(1, layout.CPU_BANK)
            if newest <= number:
                bank["time_ns"][0, before["phase"][0]] += max(0, end - max(since, start))
            preemptions = self._preemptions_of(cpu, number)
            writing, frozen = before["seq"][0] & 1, newest > number
            if frozen and (not writing or before["seq"][0] != first):
                break
            if not writing and state["seqcount"][0] == before[0]:
                break
            time.sleep(0)
        # Since attach, there was neither a switch nor a running task: the CPU was idle, or not online yet.
        silent = layout.CPU_OFFLINE if cpu in self._absent else layout.CPU_IDLE
        bank["time_ns"][0, silent] += bank["time_ns"][0, layout.CPU_UNKNOWN]
        return bank, preemptions

    def _preemptions_of(self, cpu: int, number: int) -> np.ndarray:
        """One CPU's entries of ``preemptions`` in a window: shape (k,) of ``layout.PREEMPTION``."""
        if not self.preempted_by:
            return np.zeros(0, layout.PREEMPTION)
        table = self._pairs[cpu]
        entries = np.append(table["pairs"][number & 1], table["folded"][number & 1])
        return entries[entries["window"] == number]

    # ---- the cost of tracing ----

    def _bpf_ns_since(self) -> int | None:
        before, self._bpf_ns = self._bpf_ns, self._count_bpf_ns()
        return self._bpf_ns - before if self._bpf_ns > before else None


def patiently() -> Iterator[None]:
    """Turns in which to try something that another CPU holds up, for a second.

    The limit is a time and not a number of tries: the host may take a virtual CPU away in the middle of a program, for
    as long as a thousand tries take.
    """
    end = time.monotonic_ns() + _PATIENCE_NS
    while True:
        yield
        if time.monotonic_ns() >= end:
            return
        time.sleep(0)
