"""A filter in; this machine's events, as they are written, out: the tracer, its drain, and all losses told as gaps."""

from __future__ import annotations

import platform
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from schedtel.errors import UsageError
from schedtel.eventlog.books import BookDecoder
from schedtel.eventlog.decode import CpuState, Decoded, Gap, decode
from schedtel.eventlog.schema import EVENTS_VERSION
from schedtel.foreign_text import text_of_path
from schedtel.host.namespaces import require_machine_clocks
from schedtel.kernel.events.copies import Copies
from schedtel.kernel.events.drain import Drain
from schedtel.kernel.events.tracer import EventTracer
from schedtel.kernel.filters import Filter


@dataclass(frozen=True)
class LostAtEnd:
    """CPU → how many events, and how many books, it has lost since its last ones, where there are any."""

    events: dict[int, int]
    books: dict[int, int]


@dataclass
class Pieces:
    """What has happened since the last call: raw events by CPU, life events, gaps that no event tells of, and raw books
    by CPU.
    """

    events: dict[int, np.ndarray]
    lives: np.ndarray
    gaps: list[Gap] = field(default_factory=list)
    books: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def is_last(self) -> bool:
        """Whether there was nothing left to take, once tracing has ended."""
        return not self.events and not self.books


class Decoder:
    """Decodes the events of each CPU, which come in pieces. ``books`` decodes the books of the same run.

    :param start_ns: when tracing began.
    :param last_ns: CPU → when its last event before the first piece was, where there was one; ``last_books_ns``: the
        same of books.
    """

    def __init__(
        self,
        start_ns: int,
        last_ns: Mapping[int, int] = MappingProxyType({}),
        last_books_ns: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self._start_ns, self.books = start_ns, BookDecoder(start_ns, last_books_ns)
        self._states = {cpu: CpuState(time_ns) for cpu, time_ns in last_ns.items()}

    def begin_after(self, cpu: int, last_ns: int) -> None:
        """Say when the CPU's last event before the first one to be decoded was."""
        self._states[cpu] = CpuState(last_ns)

    def decode(self, cpu: int, events: np.ndarray) -> tuple[Decoded, list[Gap]]:
        """The next events of a CPU."""
        return decode(events, cpu, self._state(cpu))

    def last_ns(self, cpu: int) -> int:
        """When the CPU's last event was, or tracing began."""
        return self._state(cpu).last_ns

    def _state(self, cpu: int) -> CpuState:
        return self._states.setdefault(cpu, CpuState(self._start_ns))


class Tracing:
    """Events of this machine from now on until :meth:`end`.

    ``decoder`` knows what the events taken so far leave behind. Tracing ends with :meth:`close`, when the object is
    collected, or with the process.

    Raises :class:`UsageError` for a wrong value, and :class:`CapabilityError` where the kernel, the machine or the
    user's privileges lack something.
    """

    def __init__(self, task_filter: Filter, ring_bytes: int | None = None, *, books: bool = False) -> None:
        if task_filter.min_activity is not None or task_filter.all_tasks:
            raise UsageError("cannot use min_activity or all_tasks with events: they are for windows (drop them)")
        require_machine_clocks()
        self.filter, self.start_ns = task_filter, time.monotonic_ns()
        self._tracer, self._copies, self.ended = EventTracer(task_filter, ring_bytes, books=books), Copies(), False
        try:
            self._drain = Drain(self._tracer, self._copies)
        except BaseException:
            self._tracer.close()
            raise
        self._shut = weakref.finalize(self, _shut, self._tracer, self._drain)
        self.decoder = Decoder(self.start_ns)
        self._lives: list[np.ndarray] = [self._tracer.alive]
        self._checked_ns, self._lives_lost, self._skipped, self._end_ns = self.start_ns, 0, 0, 0

    @property
    def lasted_ns(self) -> int:
        """How long events were recorded, in nanoseconds; so far, before the end."""
        return (self._end_ns or time.monotonic_ns()) - self.start_ns

    @property
    def is_first(self) -> bool:
        """Whether the thread that copies may go before all others."""
        return self._drain.is_first

    @property
    def copied_ns(self) -> int:
        """Until when, on CLOCK_MONOTONIC, the next :meth:`take` has all that happened."""
        return self._drain.copied_ns

    def take(self) -> Pieces:
        """What has been copied since the last call. Raises what has ended the copying, if anything has.

        After :meth:`end`, each call takes what is left, as far as there is room for copies, until there are no events.
        """
        self._drain.check()
        if self.ended:
            self._tracer.drain(self._copies)
        taken = self._copies.take()
        lives, self._lives = np.concatenate([*self._lives, taken.lives]), []
        return Pieces(taken.events, lives, books=taken.books)

    def gaps(self) -> list[Gap]:
        """Losses of no certain CPU since the last call; after :meth:`end`, also what each CPU lost last."""
        now, before = time.monotonic_ns(), self._checked_ns
        lives_lost, skipped = self._tracer.lives_lost, self._tracer.skipped
        found = [
            Gap(None, before, now, lives_lost - self._lives_lost, "lives_full"),
            Gap(None, before, now, skipped - self._skipped, "not_run"),
        ]
        self._checked_ns, self._lives_lost, self._skipped = now, lives_lost, skipped
        if self.ended:
            found += self.last_gaps(self.lost_at_end(), self.decoder, now)
        return [gap for gap in found if gap.events]

    def lost_at_end(self) -> LostAtEnd:
        """What no record tells of, since none has come after it."""
        return LostAtEnd(self._tracer.lost_at_end, self._tracer.books_lost_at_end)

    def last_gaps(self, lost: LostAtEnd, decoder: Decoder, now_ns: int) -> list[Gap]:
        """Losses since each CPU's last event and books.

        :param lost: what :meth:`lost_at_end` gave at ``now_ns``.
        :param decoder: what has decoded all until then.
        """
        causes = {cpu: "ring_full" if cpu in self._tracer.cpus else "no_ring" for cpu in lost.events}
        return [
            *(Gap(cpu, decoder.last_ns(cpu), now_ns, events, causes[cpu]) for cpu, events in lost.events.items()),
            *(Gap(cpu, decoder.books.last_ns(cpu), now_ns, rows, "books_full") for cpu, rows in lost.books.items()),
        ]

    def facts(self) -> dict[str, str]:
        """What a reader must know to understand the events."""
        return {
            "events_version": str(EVENTS_VERSION),
            "clock": "CLOCK_MONOTONIC",
            "wall_offset_ns": str(time.time_ns() - time.monotonic_ns()),
            "boottime_offset_ns": str(-time.monotonic_ns() + time.clock_gettime_ns(time.CLOCK_BOOTTIME)),
            "host": text_of_path(platform.node()),
            "kernel": platform.release(),
            "filter": self.filter.describe(),
            "cpus": ",".join(map(str, self._tracer.cpus)),
            "start_ns": str(self.start_ns),
        }

    def end(self) -> None:
        """Detach the programs. What they have written can still be taken."""
        if not self.ended:
            self.ended, self._end_ns = True, time.monotonic_ns()
            self._tracer.detach()
            self._drain.stop()

    def close(self) -> None:
        """End tracing, and give the memory back. Events that have not been taken are dropped."""
        self.ended = True
        self._shut()


def _shut(tracer: EventTracer, drain: Drain) -> None:
    try:
        tracer.detach()
        drain.stop()
    finally:
        tracer.close()
