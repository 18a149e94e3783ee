"""What both compiled machines of the tests share: scheduler events in, the backend's raw windows out.

Each machine is a real backend, :class:`machine.HostBackend` or :class:`bcc_machine.HostBccBackend`, over the C of its
programs compiled for the host. :class:`Player` comes first among its bases: it replaces the clock by one that only the
test moves. The code that reads the edges, flushes and collects is the code that ships.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import replace
from unittest import mock

import numpy as np
from histories import Collect, History
from model import CpuComes, CpuDies, Event, Fork

from schedtel.kernel import backend
from schedtel.records.raw_window import RawWindow


def load(path: str, signatures: dict[str, tuple]) -> ctypes.CDLL:
    """The library at ``path``, its functions with these signatures: name → result, arguments."""
    library = ctypes.CDLL(path)
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def view(address: int, dtype: np.dtype, count: int) -> np.ndarray:
    """The C array at ``address``, without a copy."""
    return np.frombuffer((ctypes.c_char * (dtype.itemsize * count)).from_address(address), dtype)


class Player:
    """A machine of some CPUs in its warm-up window.

    The class with the backend sets ``library``, ``now``, ``_cpus`` and ``_first_edge``, the end of the warm-up. It
    defines ``task()``, which announces a task, and ``_deliver()``, which calls the program of an event.
    """

    library: ctypes.CDLL
    now: int
    _cpus: int
    _first_edge: int
    #: CPUs that are offline.
    gone: frozenset[int] = frozenset()

    # ---- events ----

    def happen(self, event: Event) -> None:
        """Let one event happen. Its time may lie before the last one's, as it does for a writer that is held up."""
        self.now = max(self.now, event.now)
        if isinstance(event, CpuDies):
            self.gone |= {event.cpu}
        elif isinstance(event, CpuComes):
            self.gone -= {event.cpu}
        self._deliver(event)

    def play(self, *events: Event) -> None:
        """Let events happen one after the other; a task is announced before its fork."""
        for event in events:
            if isinstance(event, Fork):
                self.task(event.task)
            self.happen(event)

    def take(self, step: Event | Collect, uids: Sequence[int] | None = None) -> RawWindow | None:
        """Take one step of a history. Returns the window of a collection, unless that ends the warm-up."""
        if isinstance(step, Fork):
            self.task(step.task, uid=uids[step.task] if uids else 0)
        if not isinstance(step, Collect):
            self.happen(step)
        elif step.edge == self._first_edge:
            self.open_first_at(step.now, step.next_edge)
        else:
            return self.collect_at(step.now, step.next_edge)
        return None

    # ---- windows ----

    def open_first_at(self, now: int, next_edge: int) -> None:
        """End the warm-up, whose edge has passed, and open the first window."""
        self.now = max(self.now, now)
        self.open_first(lambda _: next_edge)

    def collect_at(self, now: int, next_edge: int, held_up: Sequence[Event] = ()) -> RawWindow:
        """Collect the open window at a moment past its end, and open the next one until ``next_edge``.

        ``held_up``: events whose programs took their time stamp before the end, and go on only after the flush.
        """

        def edge_after(_: int) -> int:
            for event in held_up:
                self.happen(event)
            return next_edge

        self.now = max(self.now, now)
        online = set(range(self._cpus)) - self.gone
        with mock.patch.object(backend, "online_cpus", return_value=online):
            window = self.collect(edge_after)
        return replace(window, tasks=window.tasks.copy())

    # ---- the clock of the real backend, and its end ----

    def _end_in(self, _: int) -> tuple[int, bool]:
        return self.edge_ns, True

    def _sleep_past(self, moment_ns: int) -> None:
        assert self.now > moment_ns, "the test collects before the window's end"

    def _is_ahead(self, _moment_ns: int) -> bool:
        return True

    def _check_ahead(self, end_ns: int, number: int) -> None:
        assert self.now < end_ns, "the test sets an edge that has passed"

    def close(self) -> None:
        pass


def play(make, library: ctypes.CDLL, history: History, uids=None, looks=0, **settings) -> list[RawWindow]:
    """Run a history through the programs and the backend that ``make`` constructs, one of the two machines.

    ``uids``: the user of each task. ``looks``: the bcc backend reports ended lives once in so many steps; 0 is never.
    """
    backend = make(library, history.cpus, history.first_edge, **settings)
    windows = []
    for number, step in enumerate(history.steps):
        if looks and number % looks == 0:
            backend.look()
        window = backend.take(step, uids)
        if window is not None:
            windows.append(window)
    return windows
