"""A run in; the forecasts that are to be made in it, what is known at each, and who really came next, out.

A forecast is asked for right after a switch on a CPU, and answered by the CPU's next switch. One whose answer is not
seen, since events are missing in between, is left out. What other jobs on the machine do among themselves is not asked
for: the task that has come is one of the workload or of the kernel, or the idle task.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from schedtel.oracle.candidates import MOST_CANDIDATES, NAMES, forecast_of
from schedtel.oracle.machine import Machine
from schedtel.oracle.runs import IDLE, NOBODY, OTHERS, UNKNOWN_CPU, Kind, Run, comm_of

#: The first switches of a run are not to be forecast: nothing is known yet.
WARM_SWITCHES = 200
#: The answer where none of the candidates came: its column stands behind theirs.
OTHER = MOST_CANDIDATES


@dataclass(frozen=True)
class Samples:
    """n forecasts of a run.

    ``features``: float32, shape (n, MOST_CANDIDATES, features), zeros behind the last candidate. ``counts``: how many
    candidates there are, shape (n,). ``tasks``: their places among the roles, shape (n, MOST_CANDIDATES), else NOBODY.
    ``answers``: the candidate that came, or OTHER, shape (n,). ``came``: its place among the roles. ``switches``: which
    switch of the run each forecast follows.
    """

    run: Run
    features: np.ndarray
    counts: np.ndarray
    tasks: np.ndarray
    answers: np.ndarray
    came: np.ndarray
    switches: np.ndarray

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def to_a_task(self) -> np.ndarray:
        """Whether a task came, and not the idle one; booleans."""
        return self.came != IDLE

    def of(self, rows: np.ndarray) -> Samples:
        """Some of the forecasts."""
        return Samples(self.run, *(getattr(self, each.name)[rows] for each in fields(self)[1:]))


def samples_of(run: Run, most: int | None = None, warm: int = WARM_SWITCHES) -> Samples:
    """The forecasts of a run.

    :param most: how many at most, the first ones; None: all.
    :param warm: how many switches come before the first.
    """
    machine, made, open_ = Machine(run.roles), _Made(), dict[int, tuple[list[int], list[tuple[float, ...]], int]]()
    is_own = [comm_of(role) != OTHERS for role in run.roles]
    switches = -1
    for event in run.events.tolist():
        now_ns, cpu, kind, task = event[:4]
        is_known = machine.apply(event)
        if kind == Kind.GAP:
            open_ = {other: asked for other, asked in open_.items() if cpu not in (other, UNKNOWN_CPU)}
        if kind != Kind.SWITCH:
            continue
        asked, switches = open_.pop(cpu, None), switches + 1
        if asked is not None and is_known:
            made.add(*asked, task)
            if most is not None and len(made.answers) >= most:
                break
        if switches >= warm and is_own[task]:
            open_[cpu] = (*forecast_of(machine, cpu, now_ns), switches)
    return made.samples(run)


class _Made:
    """The forecasts so far."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []
        self._tasks: list[int] = []
        self._counts: list[int] = []
        self.answers: list[int] = []
        self._came: list[int] = []
        self._switches: list[int] = []

    def add(self, tasks: list[int], rows: list[tuple[float, ...]], switch: int, came: int) -> None:
        self._rows += rows
        self._tasks += tasks
        self._counts.append(len(tasks))
        self.answers.append(tasks.index(came) if came in tasks else OTHER)
        self._came.append(came)
        self._switches.append(switch)

    def samples(self, run: Run) -> Samples:
        n, counts = len(self.answers), np.array(self._counts, np.int64)
        is_there = np.arange(MOST_CANDIDATES) < counts[:, None]
        features = np.zeros((n, MOST_CANDIDATES, len(NAMES)), np.float32)
        tasks = np.full((n, MOST_CANDIDATES), NOBODY, np.int64)
        if n:
            features[is_there], tasks[is_there] = np.array(self._rows, np.float32), self._tasks
        whole = (np.array(column, np.int64) for column in (self.answers, self._came, self._switches))
        return Samples(run, features, counts, tasks, *whole)
