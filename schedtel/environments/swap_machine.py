"""A load and an arm in; the window that a simulated machine has under that arm out.

An arm is what it is for the agent: ``eevdf``, a policy arm such as ``policy:hogs:idle``, or ``scx:`` and the name of
one of the simulator's schedulers, which are those of the lab. Classes are inferred from the windows, as the agent does;
an arm whose classes have no task is as EEVDF.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schedtel.agent.classes import CLASSES, Classes
from schedtel.errors import UsageError
from schedtel.records import layout
from schedtel.schedulers.attributes import BATCH, IDLE, Attributes, wanted
from schedtel.schedulers.names import EEVDF, Arm, Selector, parse_arm
from schedtel.simulator.beginning import beginning
from schedtel.simulator.collect import collect
from schedtel.simulator.crew import weight_of
from schedtel.simulator.engine import advance
from schedtel.simulator.machine import Machine
from schedtel.simulator.simulation import window_of
from schedtel.simulator.state import SCHEDULERS, State
from schedtel.simulator.swapping import swap

if TYPE_CHECKING:
    from schedtel.windows.window import Window
    from schedtel.workloads.plan import Plan

_EEVDF = str(EEVDF)
#: Settings of policy arms that the simulator has: those of the fair class.
_SETTINGS = ("slice", "batch", "idle", "other", "nice")
#: What of a state never changes while it runs.
_CONSTANT = frozenset({"program", "jobs", "order", "changes", "allowed"})


@dataclass(frozen=True)
class Gap:
    """How long EEVDF runs while a scheduler of sched_ext is replaced, as measured in a guest with Linux 6.18.

    :param detach_ns: from the call until such a scheduler has left (72 to 75 ms).
    :param attach_ns: from the call until such a scheduler is attached (27 to 42 ms).
    """

    detach_ns: int = 73_500_000
    attach_ns: int = 34_500_000

    def between(self, before: str, after: str) -> int:
        """From one scheduler to another, in ns. Where EEVDF follows, it already runs while the other one leaves."""
        if after in (before, _EEVDF):
            return 0
        return self.attach_ns + (self.detach_ns if before != _EEVDF else 0)


def simulated(text: str) -> Arm:
    """The arm of this name. Raises :class:`UsageError` for one that the simulator has not."""
    arm = parse_arm(text)
    if arm.family == "loader" or arm.cgroup or (arm.family == "scx" and arm.scheduler not in SCHEDULERS[1:]):
        named = ", ".join(f"scx:{name}" for name in SCHEDULERS[1:])
        raise UsageError(f"cannot simulate {text[:60]}: it is not one of the simulator's schedulers ({named})")
    for rule in arm.rules:
        if rule.setting.word not in _SETTINGS:
            had = ", ".join(_SETTINGS)
            raise UsageError(f"cannot simulate {text[:60]}: {rule.setting} is not simulated (only {had} are)")
        if rule.selector and rule.selector.kind not in ("class", "comm"):
            raise UsageError(f"cannot simulate {text[:60]}: a simulated task has no {rule.selector.kind} (give comm=)")
        if rule.selector and rule.selector.kind == "class" and rule.selector.name not in CLASSES:
            raise UsageError(f"cannot simulate {text[:60]}: only {' and '.join(CLASSES)} are inferred (name one)")
    return arm


class SwapMachine:
    """A machine under one arm at a time. Each call of :meth:`run` is a window.

    :param machine: what is simulated; its scheduler does not count.
    :param arms: all that it may be under; the errors are those of :func:`simulated`.
    """

    def __init__(self, machine: Machine, arms: Iterable[str], window_ns: int, gap: Gap) -> None:
        self._machine, self._window_ns, self._gap = machine, window_ns, gap
        self._arms = {text: simulated(text) for text in arms} | {_EEVDF: EEVDF}
        self._slices_ns = [Machine(machine.cpus, name).own_slice_ns for name in SCHEDULERS]
        self._slices_ns[0] = machine.own_slice_ns
        self._now_ns, self._number = window_ns, 0
        self._classes = Classes()
        self.running = _EEVDF

    def load(self, plan: Plan) -> None:
        """From now on, other tasks are there: those of a plan, which lasts longer than they are run for."""
        self._state, self._rows = beginning(plan, self._machine, self._now_ns)
        tasks, rows = self._state.tasks, self._rows
        own = np.where(tasks["slice_ns"] == self._slices_ns[0], 0, tasks["slice_ns"])
        #: What the tasks ask for themselves: policy, nice value, slice in ns or 0.
        self._own = np.stack([rows["policy"], rows["nice"], own], axis=1).astype(np.int64)

    def run(self, arm: str) -> Window:
        """The next window, under an arm."""
        window = self._window(self._state, self._rows, arm)
        self._now_ns += self._window_ns
        self._number += 1
        self.running = arm
        self._classes.add(window)
        return window

    def tried(self, arm: str) -> Window:
        """What the next window would be under an arm: from the same state, with the same jobs at the same moments."""
        copied = {name: values.copy() for name, values in self._state._asdict().items() if name not in _CONSTANT}
        return self._window(self._state._replace(**copied), self._rows.copy(), arm)

    def tried_all(self) -> dict[str, Window]:
        """The same of every arm. Arms that ask for the same now, as those of classes without tasks, are tried once."""
        found: dict[str, Window] = {}
        by_what: dict[tuple[str, bytes], Window] = {}
        for name, arm in self._arms.items():
            what = (arm.scheduler, self._asked(self._state, arm).tobytes())
            if what not in by_what:
                by_what[what] = self.tried(name)
            found[name] = by_what[what]
        return found

    def _window(self, state: State, rows: NDArray[np.void], arm: str) -> Window:
        begin_ns, end_ns = self._now_ns, self._now_ns + self._window_ns
        before, after = self._scheduler(self.running), self._scheduler(arm)
        gap_ns = min(self._gap.between(before, after), self._window_ns)
        if gap_ns:
            self._schedule(state, rows, _EEVDF)
            advance(state, begin_ns + gap_ns)
        self._schedule(state, rows, arm)
        advance(state, end_ns)
        raw = collect(state, rows, self._number + 1, begin_ns, end_ns)
        return window_of(raw, f"{before}+{after}" if gap_ns else after)

    def _scheduler(self, arm: str) -> str:
        return self._arms[arm].scheduler or _EEVDF

    def _schedule(self, state: State, rows: NDArray[np.void], arm: str) -> None:
        """Bring an arm into effect, also for threads that were born or classed since."""
        number, found = SCHEDULERS.index(self._scheduler(arm)), self._asked(state, self._arms[arm])
        policies, nices, slices = found.T
        rows["policy"], rows["nice"] = policies, nices
        rows["weight"] = _weights(found)
        slices = np.where(slices > 0, slices, self._slices_ns[0])
        state.machine["has_slices"] = bool((slices != self._slices_ns[0]).any())
        state.machine["has_idle"] = bool((policies == IDLE).any()) and number == 0
        treated = [rows["weight"], np.isin(policies, (BATCH, IDLE)), policies == IDLE, slices]
        swap(state, number, self._slices_ns[number], np.stack(treated, axis=1).astype(np.int64))

    def _asked(self, state: State, arm: Arm) -> NDArray[np.int64]:
        """Policy, nice value and slice of each task under an arm: by the first of its rules that is for the task."""
        found, done = self._own.copy(), np.zeros(len(self._own), np.bool_)
        for rule in arm.rules:
            chosen = ~done & self._selected(state, rule.selector)
            for own in np.unique(self._own[chosen], axis=0):
                policy, nice, slice_ns = own.tolist()
                now = Attributes(policy, nice, slice_ns=slice_ns)
                after = wanted(rule.setting, now) or now
                found[chosen & (self._own == own).all(axis=1)] = after.policy, after.nice, after.slice_ns
            done |= chosen
        return found

    def _selected(self, state: State, selector: Selector | None) -> NDArray[np.bool_]:
        if selector is None:
            return np.ones(len(self._own), np.bool_)
        if selector.kind == "comm":
            return np.asarray(self._rows["comm"] == selector.name.encode())
        return self._members(state, selector.name)

    def _members(self, state: State, name: str) -> NDArray[np.bool_]:
        """The tasks of a class that are alive: those of an earlier load had the same numbers, but another start."""
        seen = {(one.tid, one.start_ns) for one in self._classes.threads(name)}
        found = np.zeros(len(self._own), np.bool_)
        for slot in np.flatnonzero(state.tasks["phase"] != layout.NOT_ALIVE).tolist() if seen else ():
            found[slot] = (int(self._rows["tid"][slot]), int(state.tasks["arrival_ns"][slot])) in seen
        return found


def _weights(asked: NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.zeros(len(asked), np.int64)
    for policy, nice in np.unique(asked[:, :2], axis=0).tolist():
        of = (asked[:, 0] == policy) & (asked[:, 1] == nice)
        found[of] = weight_of("idle" if policy == IDLE else "other", nice)
    return found
