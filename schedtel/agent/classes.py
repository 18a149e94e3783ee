"""Windows in; which threads are ``short``, and which are ``hogs``, out: told by their bursts, and by nothing else.

A short thread wakes, computes for a few milliseconds and sleeps again; a hog wants a CPU most of the time. A thread has
to look so for two windows before it is of a class, and for twice as many each time after it was demoted.

An arm may put short threads into real time, where one that computes on and on keeps all others from its CPU. So there
are two caps. A thread whose bursts or share of a CPU are above the first leaves the class with the window in which
that was seen. Where the threads that look short would take more of the CPUs than the second, the class is refused as a
whole: it has no threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from schedtel.schedulers.threads import Seen
from schedtel.windows import tables
from schedtel.windows.arrow import valid

if TYPE_CHECKING:
    from schedtel.windows.window import Window

SHORT, HOGS = "short", "hogs"
#: The classes that the agent infers.
CLASSES = (SHORT, HOGS)
#: Windows in a row in which a thread must look so at first, and at most.
_PATIENCE, _MOST_PATIENCE = 2, 64
#: A class that was refused is admitted again below this part of its cap.
_ADMITTED_AGAIN = 0.8
#: A thread that was not seen for so many windows is forgotten.
_FORGOTTEN = 120


@dataclass(frozen=True)
class Caps:
    """What a class takes in.

    :param burst_ns: mean CPU time of a short thread's bursts in a window, at most; it enters with half of it.
    :param share: part of one CPU that a short thread takes in a window, at most; it enters with half of it.
    :param hog_burst_ns: mean CPU time of a hog's bursts, at least, where one ends in the window.
    :param hog_demand: part of its time in which a hog runs or waits for a CPU, at least.
    :param class_share: part of all CPUs that the short threads take together, at most.
    """

    burst_ns: float = 20e6
    share: float = 0.5
    hog_burst_ns: float = 50e6
    hog_demand: float = 0.5
    class_share: float = 0.5


@dataclass
class _Known:
    """What is known of a thread: its process, its class, how long it has looked like which, and when it was seen."""

    tgid: int
    now: str = ""
    looks: str = ""
    streak: int = 0
    patience: int = _PATIENCE
    window: int = 0


@dataclass(frozen=True)
class Looks:
    """What threads look like in one window, each by its tid and its start: shape (threads,).

    :param share: part of one CPU.
    """

    tid: np.ndarray
    tgid: np.ndarray
    start_ns: np.ndarray
    share: np.ndarray
    is_short: np.ndarray
    is_hog: np.ndarray
    is_too_much: np.ndarray


def looks_in(window: Window, caps: Caps) -> Looks:
    """What each thread with a row of its own, of those that are alive and not the kernel's, looks like."""
    batch = window.tasks
    kernels = tables.column(batch, "kernel_thread").astype(bool)
    chosen = ~tables.is_other(batch) & ~kernels & ~valid(batch["completion_ns"])

    def column(name: str) -> np.ndarray:
        return tables.column(batch, name)[chosen]

    cpu_ns, wanted_ns = column("cpu_ns").astype(np.float64), column("cpu_ns") + column("wait_ns")
    bursts = column("bursts")
    burst_ns = cpu_ns / np.maximum(bursts + column("bursts_unfinished"), 1)
    share = cpu_ns / max(1, window.end_ns - window.start_ns)
    demand = wanted_ns / np.maximum(column("alive_ns"), 1)
    return Looks(
        tid=column("tid"),
        tgid=column("tgid"),
        start_ns=column("start_boottime_ns"),
        share=share,
        is_short=(bursts > 0) & (burst_ns <= caps.burst_ns / 2) & (share <= caps.share / 2),
        # No burst ends of one that goes on for the whole window, however little of a CPU it gets.
        is_hog=((bursts == 0) | (burst_ns >= caps.hog_burst_ns)) & (demand >= caps.hog_demand),
        is_too_much=(burst_ns > caps.burst_ns) | (share > caps.share),
    )


@dataclass
class Classes:
    """The classes by now. ``refused`` says why ``short`` has no threads although some look so; else it is empty."""

    caps: Caps = field(default_factory=Caps)
    refused: str = ""

    def __post_init__(self) -> None:
        self._seen: dict[tuple[int, int], _Known] = {}
        self._windows = 0

    def add(self, window: Window) -> None:
        """Learn from a window."""
        self._windows += 1
        looks, share = looks_in(window, self.caps), 0.0
        named = np.where(looks.is_short, SHORT, np.where(looks.is_hog, HOGS, "")).tolist()
        facts = (looks.tid, looks.start_ns, looks.tgid, looks.is_too_much, looks.share)
        for tid, start, tgid, too_much, its, look in zip(*(one.tolist() for one in facts), named, strict=True):
            seen = self._seen.setdefault((tid, start), _Known(tgid))
            seen.window = self._windows
            _judge(seen, look, too_much)
            share += its if seen.now == SHORT else 0.0
        self._forget()
        self._admit(share / max(1, window.cpus.num_rows))

    def threads(self, name: str) -> list[Seen]:
        """The threads of a class; none are short while that class is refused."""
        if self._is_refused(name):
            return []
        return [Seen(known.tgid, *key) for key, known in self._seen.items() if known.now == name]

    def count(self, name: str) -> int:
        """How many they are."""
        return 0 if self._is_refused(name) else sum(known.now == name for known in self._seen.values())

    def _is_refused(self, name: str) -> bool:
        return name == SHORT and bool(self.refused)

    def _forget(self) -> None:
        oldest = self._windows - _FORGOTTEN
        self._seen = {key: seen for key, seen in self._seen.items() if seen.window > oldest}

    def _admit(self, share: float) -> None:
        bound = self.caps.class_share * (_ADMITTED_AGAIN if self.refused else 1)
        self.refused = ""
        if share > bound:
            most = 100 * self.caps.class_share
            self.refused = f"short threads take {100 * share:.0f} % of the CPUs, and {most:.0f} % is the most"


def _judge(seen: _Known, look: str, too_much: bool) -> None:
    """Update a thread's class. One in the class short leaves it at once; any other change takes its time."""
    if seen.now == SHORT and too_much:
        seen.now, seen.looks, seen.streak = "", look, 1
        seen.patience = min(_MOST_PATIENCE, 2 * seen.patience)
        return
    seen.streak = seen.streak + 1 if look == seen.looks else 1
    seen.looks = look
    # Between the bounds of entering and leaving, a thread looks like nothing, and stays what it is.
    stays = look == "" and seen.now == SHORT
    if look != seen.now and seen.streak >= seen.patience and not stays:
        seen.now = look
