"""Copies of slots in; what their tasks were doing at a window's end out: waits that go on, and who had a CPU.

Core's flush does the same for one task at a time (``tell_edge()`` in ``bpf/core/flush.h``).
"""

from collections.abc import Callable

import numpy as np

from schedtel.kernel.bcc.slots import Edges
from schedtel.records import layout

_NAMES = ("tid", "tgid", "start_boottime_ns", "comm")


class OpenWaits:
    """The longest waits that go on past the end of each window that has not been taken.

    :param cpu_of: tid → the CPU where a task is queued, ``layout.WAIT_CPU_UNKNOWN`` if that is not known.
    """

    def __init__(self, cpu_of: Callable[[int], int]) -> None:
        self._cpu_of = cpu_of
        self._of_windows: dict[int, list[np.ndarray]] = {}

    def add(
        self, slots: np.ndarray, rows: np.ndarray, window: Edges, still: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        """Add the waits of selected tasks.

        :param slots: shape (n,) of ``slots.SLOT``; ``rows``: their rows in the window.
        :param still: places among the slots → which of these tasks have had no event since they were copied.
        """
        waiting = np.flatnonzero((rows["open_wait_ns"] > 0) & (slots["state"]["selected"] != 0))
        if not len(waiting):
            return
        found = np.zeros((layout.WAIT_KINDS, layout.LONGEST_WAITS), layout.WAIT)
        ages, kinds = _ages(slots[waiting], rows[waiting], window), _kinds(slots[waiting], window)
        for kind in range(layout.WAIT_KINDS):
            longest = _largest(ages, np.flatnonzero(kinds == kind))
            at, entries = waiting[longest], found[kind, : len(longest)]
            for name in _NAMES:
                entries[name] = slots[name][at]
            known = rows["open_wait_ns"][at] != layout.OPEN_WAIT_UNKNOWN
            entries["wait_ns"], entries["goes_on"] = ages[longest], 1
            entries["since_ns"] = np.where(known, np.uint64(window.end_ns) - ages[longest], np.uint64(0))
            entries["behind_tid"] = layout.WAIT_TID_UNKNOWN
            cpus = [self._cpu_of(tid) for tid in entries["tid"].tolist()]
            unmoved = (slots["state"]["window"][at] <= window.number) & still(at)
            entries["cpu"] = np.where(unmoved, cpus, layout.WAIT_CPU_UNKNOWN)
        self._of_windows.setdefault(window.number, []).append(found)

    def take(self, number: int) -> np.ndarray:
        """The waits of a window, for the first call only: shape (WAIT_KINDS, n) of ``layout.WAIT``."""
        found = self._of_windows.pop(number, [])
        self._of_windows = {window: later for window, later in self._of_windows.items() if window > number}
        return np.concatenate([np.zeros((layout.WAIT_KINDS, 0), layout.WAIT), *found], axis=1)


def _ages(slots: np.ndarray, rows: np.ndarray, window: Edges) -> np.ndarray:
    """How long each task has waited at the window's end, in ns, shape (n,): since tracing began, if no longer is known.

    A task that has waited since before tracing has done nothing else since it was adopted.
    """
    end, ages = np.uint64(window.end_ns), rows["open_wait_ns"]
    adopted = end - np.minimum(slots["state"]["alive_since_ns"], end)
    return np.where(ages == layout.OPEN_WAIT_UNKNOWN, adopted, ages)


def _kinds(slots: np.ndarray, window: Edges) -> np.ndarray:
    """The kind of wait that each task had at the window's end, shape (n,)."""
    state = slots["state"]
    return np.where(state["window"] > window.number, state["open_wait_kind"], state["seqcount"]["phase"] & 1)


def _largest(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The places of the largest values, ``LONGEST_WAITS`` of them at most."""
    order = np.argsort(values[places].astype(np.int64), kind="stable")[::-1]
    return places[order[: layout.LONGEST_WAITS]]


def note_occupants(slots: np.ndarray, window: Edges, states: np.ndarray) -> None:
    """Note in the states of the CPUs, of ``layout.CPU_STATE``, which of these tasks had one at the window's end."""
    state = slots["state"]
    running = (state["seqcount"]["phase"] == layout.RUNNING) & (state["window"] <= window.number)
    on = slots[running & (state["seqcount"]["cpu"] < len(states))]
    occupants, cpus = states["occupant"], on["state"]["seqcount"]["cpu"]
    occupants["tid"][cpus], occupants["comm"][cpus] = on["tid"], on["comm"]
    occupants["window"][cpus] = window.number
