"""What every backend shares: the window protocol. Edges set, frozen banks read, the next window opened.

Knows the mapped pages of ``bpf/records.h`` and neither how they came into the kernel nor Arrow. The protocol is
described in ``bpf/machine.h``.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np

from schedtel.host.cpus import online_cpus
from schedtel.kernel.settings import preempted_by, preemptions_setting
from schedtel.records import layout
from schedtel.records.buffer import RecordBuffer
from schedtel.records.raw_window import RawWindow

#: How far ahead an edge is put that should come at once: setting it must be over when it passes.
_SETTLE_NS = 1_000_000
#: An edge nearer than this when its window is about to open is given up for a later one.
_LEAST_AHEAD_NS = 500_000
#: How long the flush goes on asking for a task that is in the middle of a change.
_PATIENCE_NS = 1_000_000_000


class Backend:
    """The kernel side, loaded, attached and seeded. A window runs from construction to the first :meth:`open_first`.

    A subclass maps ``_control`` (of ``layout.CONTROL``) and ``_cpu_states`` (of ``layout.CPU_STATE``, one a possible
    CPU) and, unless it is off, ``_pairs`` (of ``layout.PREEMPTIONS``, likewise), fills ``_rows`` with task records, and
    gives the methods that raise NotImplementedError here.
    """

    name: str
    is_eevdf: bool
    #: Columns of ``tasks`` that it cannot tell.
    unknown: tuple[str, ...] = ()
    #: What who preempted whom is told by; nothing where it is off.
    preempted_by: str = ""
    _cpus: int
    _control: np.void
    _cpu_states: np.ndarray
    _pairs: np.ndarray
    _rows: RecordBuffer
    _losses: dict[str, int]
    _dropped: tuple[int, int] = (0, 0)
    _bpf_ns: int

    def wait(self, deadline_ns: int) -> None:
        """Sleep until the kernel side asks for something, or until the deadline."""
        raise NotImplementedError

    def wake(self) -> None:
        """Make a :meth:`wait` return at once. Safe in a signal handler and from another thread."""
        raise NotImplementedError

    def run_counts(self) -> dict[str, tuple[int, int]]:
        """Runs and nanoseconds of each program since load; zeros unless ``kernel.bpf_stats_enabled`` is 1."""
        raise NotImplementedError

    def close(self) -> None:
        """Detach and unload. What has been collected stays valid."""
        raise NotImplementedError

    def _flush(self) -> None:
        """Have every task reported for the open window, whose end has passed."""
        raise NotImplementedError

    def _drain(self) -> None:
        """Take what has been reported since."""
        raise NotImplementedError

    def _take(self, window: int) -> np.ndarray:
        """The task records of a window that has been flushed, valid until more are taken in."""
        return self._rows.take(window)

    def _skipped(self) -> int:
        """Runs of programs that the kernel has skipped since load."""
        raise NotImplementedError

    def _count_bpf_ns(self) -> int:
        raise NotImplementedError

    def _online(self) -> list[int]:
        """The CPUs that have rows, in order."""
        return [cpu for cpu in sorted(online_cpus()) if cpu < self._cpus]

    def _tell_preemptions(self, by: str) -> dict[str, object]:
        """The setting for ``preemptions``. Raises :class:`UsageError` for a word that is none."""
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
        """End the warm-up shortly from now and open the first real window, until edge_after(now); returns its start."""
        start = self.end_now()
        self._sleep_past(start)
        self._flush()  # its records are dropped, but the CPU time of its tasks is part of their lives
        self._advance(edge_after)
        self._losses_since(1)
        return start

    @property
    def edge_ns(self) -> int:
        """Where the open window ends."""
        return int(self._control["grid"]["edge_ns"][self.window & 3])

    def end_now(self) -> int:
        """Move the open window's end to the nearest safe moment; returns it."""
        edges, index, planned = self._control["grid"]["edge_ns"], self.window & 3, self.edge_ns
        end = time.monotonic_ns() + _SETTLE_NS
        if end >= planned:  # it is about to end by itself, or has
            return planned
        edges[index] = end
        self._check_ahead(end)
        return end

    def collect(self, edge_after: Callable[[int], int]) -> RawWindow:
        """Read the window whose end has passed and open the next one, until edge_after(now)."""
        number, grid = self.window, self._control["grid"]
        start, end = (int(grid["edge_ns"][n & 3]) for n in (number - 1, number))
        self._sleep_past(end)
        self._flush()
        cpu_numbers = np.array(self._online())
        found = [self._cpu_at_edge(cpu, number, start, end) for cpu in cpu_numbers]
        cpus, preemptions = (np.concatenate(parts) for parts in zip(*found, strict=True))
        self._drain()  # of lives that ended while the flush passed them over; their CPUs have been waited for
        folded = np.concatenate([np.array([self._control["other"]], layout.FOLDED), cpus["other"]])
        self._advance(edge_after)
        tasks = self._take(number)
        losses, bpf_ns = self._losses_since(number), self._bpf_ns_since()
        return RawWindow(
            number=number,
            start_ns=start,
            end_ns=end,
            tasks=tasks,
            folded=folded,
            cpus=cpus,
            cpu_numbers=cpu_numbers,
            losses=losses,
            bpf_ns=bpf_ns,
            unknown=self.unknown,
            preemptions=preemptions,
            preempted_by=self.preempted_by,
        )

    def _sleep_past(self, moment_ns: int) -> None:
        while (remaining := moment_ns - time.monotonic_ns()) >= 0:
            time.sleep((remaining + 1000) / 1e9)

    def _advance(self, edge_after: Callable[[int], int]) -> None:
        """Open the next window. Its end is written first: programs read it only once the number has changed.

        An edge must be known before it passes. So the last question before the number is written, a single store, is
        whether this process was held up meanwhile: nobody has seen the edge yet, and a later one can still be taken.
        """
        grid, number = self._control["grid"], self.window + 1
        edges = grid["edge_ns"]
        while True:
            end = edge_after(time.monotonic_ns())
            edges[number & 3] = end
            if self._is_ahead(end - _LEAST_AHEAD_NS):
                break
        self.window = number
        self._check_ahead(end)

    def _is_ahead(self, moment_ns: int) -> bool:
        return time.monotonic_ns() < moment_ns

    def _check_ahead(self, end_ns: int) -> None:
        """Held up while setting an edge until it was past: tasks may disagree about it, and the window says so."""
        if not self._is_ahead(end_ns):
            self._control["losses"]["state_failed"] += 1

    def _cpu_at_edge(self, cpu: int, number: int, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """One CPU's bank as it stood at the window's end, shape (1,), and who preempted whom there.

        Once the CPU has rolled, and the program that was at work when the flush ended has ended (it may have folded the
        row of a life into the bank), nobody writes there: a CPU that switches all the time is not waited for.
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
            busy, frozen = before["seq"][0] & 1, newest > number
            if frozen and (not busy or before["seq"][0] != first):
                break
            if not busy and state["seqcount"][0] == before[0]:
                break
            time.sleep(0)
        # No switch and no running task was seen since attach: nothing has run there.
        bank["time_ns"][0, layout.CPU_IDLE] += bank["time_ns"][0, layout.CPU_UNKNOWN]
        return bank, preemptions

    def _preemptions_of(self, cpu: int, number: int) -> np.ndarray:
        """One CPU's entries of a window: shape (k,) of ``layout.PREEMPTION``."""
        if not self.preempted_by:
            return np.zeros(0, layout.PREEMPTION)
        table = self._pairs[cpu]
        entries = np.append(table["pairs"][number & 1], table["folded"][number & 1])
        return entries[entries["window"] == number]

    # ---- what was lost, and what looking cost ----

    def _count_losses(self) -> dict[str, int]:
        """Since load; all but the rows dropped, which are known by window."""
        losses = self._control["losses"]
        counts = {name: int(losses[name]) for name in ("state_failed", "samples_discarded")}
        return counts | {"programs_skipped": self._skipped() + int(losses["events_missed"])}

    def _losses_since(self, number: int) -> dict[str, int]:
        before, self._losses = self._losses, self._count_losses()
        since = {name: count - before[name] for name, count in self._losses.items()}
        # Only those of this window: an exit past its end may have had rows of the next one dropped already.
        dropped, seen = int(self._control["losses"]["ring_dropped"][number & 1]), self._dropped
        self._dropped = (seen[0], dropped) if number & 1 else (dropped, seen[1])
        return {"ring_dropped": dropped - seen[number & 1], **since}

    def _bpf_ns_since(self) -> int | None:
        before, self._bpf_ns = self._bpf_ns, self._count_bpf_ns()
        return self._bpf_ns - before if self._bpf_ns > before else None


def patiently() -> Iterator[None]:
    """Turns to try something that another CPU holds up, for a second. By time and not by number: a virtual CPU that the
    host has taken away in the middle of a program is away for as long as a thousand tries take.
    """
    end = time.monotonic_ns() + _PATIENCE_NS
    while True:
        yield
        if time.monotonic_ns() >= end:
            return
        time.sleep(0)
