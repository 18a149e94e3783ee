"""Windows in; the reward of an arm out: how much less its windows cost than those under the default arm.

    reward = - sum of weight x ln(cost / cost under the default arm), within a bound, less the cost of a swap

So 0 is the default arm's, ln 2 is half the cost, and a starving arm cannot outweigh all others. The default arm runs in
between for the purpose; what it costs is kept as a running mean of logarithms, which has an age. A cost is summed over
the windows of a decision first: the tail of a sum is not the sum of tails, and a window may lack what another has.

A burst or wait that goes on past the end of a window counts with what it has lasted, so an arm that starves a task does
not look better for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from schedtel.errors import UsageError
from schedtel.records.histogram import percentiles_ns
from schedtel.schedulers.names import Selector
from schedtel.windows import tables
from schedtel.windows.arrow import valid
from schedtel.windows.metrics import fairness

if TYPE_CHECKING:
    from schedtel.windows.window import Window

#: What no cost falls below: a nanosecond, or a CV of one in a million.
_LEAST_NS, _LEAST_CV = 1.0, 1e-6
#: Samples that a 99th percentile needs at least.
_LEAST_SAMPLES = 100


@dataclass(frozen=True, eq=False)
class Costs:
    """What is measured over the windows of a decision: sums and rates by name, all larger where it is worse."""

    values: Mapping[str, float]

    def __getitem__(self, name: str) -> float | None:
        return self.values.get(name)


@dataclass(frozen=True)
class Objective:
    """What an arm may be chosen for.

    :param parts: the costs whose ratios to the default arm's are averaged: one, or the three of L.
    """

    meaning: str
    parts: tuple[str, ...]


#: Objectives by name.
OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {
        "L": Objective("TAT / TAT0 + RT / RT0 + CV / CV0 of bursts and shares", ("burst_tat", "burst_rt", "share_cv")),
        "p99 wakeup wait": Objective("99th percentile of the wait for a CPU after a wakeup", ("wait_p99",)),
        "mean TAT": Objective("mean turnaround time of the tasks that completed", ("tat",)),
        "throughput": Objective("time in which one burst ends", ("time_per_burst",)),
        "fairness": Objective("coefficient of variation of cpu / (cpu + wait)", ("share_cv",)),
    }
)


@dataclass(frozen=True)
class RewardSettings:
    """What a reward is.

    :param weights: objective → weight; the weights are divided by their sum.
    :param clip: largest size of a reward before the swap's cost, above 0.
    :param swap_cost: taken off where the arm is not the one that ran before, at least 0.
    :param settle: windows after a swap that do not count.
    :param dwell: least number of windows for which an arm runs, those that settle included.
    :param tasks: the tasks whose costs count: a command name, a cgroup or a process; None: all.
    :param reference_age: number of the default arm's rewards after which one weighs half; the older fade.

    Raises :class:`UsageError` for values outside.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {"L": 1.0})
    clip: float = math.log(8)
    swap_cost: float = 0.0
    settle: int = 1
    dwell: int = 2
    tasks: Selector | None = None
    reference_age: float = 20.0

    def __post_init__(self) -> None:
        if unknown := set(self.weights) - set(OBJECTIVES):
            raise UsageError(f"cannot weigh {min(unknown)[:60]!r}: it is no objective (use {', '.join(OBJECTIVES)})")
        if not all(math.isfinite(w) and w >= 0 for w in self.weights.values()) or not sum(self.weights.values()) > 0:
            raise UsageError("cannot weigh objectives so: weights are at least 0, and one is above (such as L = 1)")
        positive, others = (self.clip, self.reference_age), (self.swap_cost, self.settle, self.dwell)
        if not (all(math.isfinite(v) and v > 0 for v in positive) and all(math.isfinite(v) and v >= 0 for v in others)):
            raise UsageError("cannot reward so: clip and age must be above 0; swap cost, settle and dwell at least 0")
        if self.dwell <= self.settle:
            raise UsageError(
                f"cannot let an arm run for {self.dwell} windows of which {self.settle} settle: none would count "
                "(raise the dwell)"
            )
        if self.tasks and self.tasks.kind not in ("comm", "cgroup", "pid"):
            raise UsageError(f"cannot reward {self.tasks}: tasks are told by comm, cgroup or pid (write comm=NAME)")

    def counted(self, windows: Sequence[Window], *, swapped: bool) -> Sequence[Window]:
        """The windows of a decision that count."""
        return windows[self.settle :] if swapped else windows


def costs_of(windows: Sequence[Window], tasks: Selector | None = None) -> Costs:
    """The costs of windows in a row; one that cannot be known, such as a tail of few samples, is left out.

    :param tasks: the tasks that count; None: all.
    """
    rows = [_Rows(window, tasks) for window in windows]
    if not rows:
        return Costs({})

    def total(name: str) -> float:
        return float(sum(one.column(name).sum() for one in rows))

    def open_waits() -> np.ndarray:
        return rows[-1].column("open_wait_ns")

    bursts, opened = total("bursts"), int((open_waits() > 0).sum())
    wakeups, length_ns = total("wakeups"), float(sum(w.end_ns - w.start_ns for w in windows))
    found = {
        "burst_tat": _ratio(total("burst_tat_sum_ns") + float(open_waits().sum()), bursts + opened),
        "burst_rt": _ratio(total("wakeup_wait_ns"), wakeups),
        "share_cv": _share_cv(rows),
        "wait_p99": _wait_p99(windows, rows, tasks),
        "tat": _mean_tat(rows),
        "time_per_burst": _ratio(length_ns, bursts),
    }
    least = {name: _LEAST_CV if name == "share_cv" else _LEAST_NS for name in found}
    return Costs({name: max(value, least[name]) for name, value in found.items() if value is not None})


class _Rows:
    """The tasks of a window that count, as arrays."""

    def __init__(self, window: Window, tasks: Selector | None) -> None:
        self._batch = window.tasks
        self.selected = ~tables.is_other(window.tasks) & _selected(window, tasks)

    def column(self, name: str) -> np.ndarray:
        return tables.column(self._batch, name)[self.selected]

    def known(self, name: str) -> np.ndarray:
        return valid(self._batch[name])[self.selected]

    def histogram(self) -> np.ndarray:
        return tables.histograms(self._batch, "wait_histogram")[self.selected].sum(axis=0, dtype=np.int64)


def _selected(window: Window, tasks: Selector | None) -> np.ndarray:
    batch = window.tasks
    if tasks is None:
        return np.ones(batch.num_rows, bool)
    if tasks.kind == "pid":
        return tables.column(batch, "tgid") == int(tasks.name)
    names = batch.column(tasks.kind).to_pylist()
    below = tasks.name.rstrip("/") + "/"
    if tasks.kind == "cgroup":
        return np.array([name is not None and f"{name}/".startswith(below) for name in names], bool)
    return np.array([name == tasks.name for name in names], bool)


def _ratio(total: float, count: float) -> float | None:
    return total / count if count > 0 else None


def _share_cv(rows: Sequence[_Rows]) -> float | None:
    """Over the tasks of all windows: one that has several rows has the sum of them."""
    sums: dict[tuple[int, int], np.ndarray] = {}
    for one in rows:
        named = ("tid", "start_boottime_ns", "cpu_ns", "wait_ns", "weight", "policy")
        for tid, start, *values in zip(*(one.column(name).tolist() for name in named), strict=True):
            before = sums.get((tid, start), np.zeros(4, np.int64))
            sums[tid, start] = np.array([before[0] + values[0], before[1] + values[1], *values[2:]])
    if not sums:
        return None
    return fairness(*np.array(list(sums.values())).T).cv


def _wait_p99(windows: Sequence[Window], rows: Sequence[_Rows], tasks: Selector | None) -> float | None:
    """The largest of the windows' percentiles of wakeup waits, below which that of all of them lies.

    For some tasks only it is that of all their waits, by their histograms.
    """
    if tasks is None:
        each = [window.metrics.wakeup_wait for window in windows]
        enough = sum(one.count for one in each) >= _LEAST_SAMPLES
        return max(float(one.p99_ns or 0) for one in each) if enough else None
    histogram = np.sum([one.histogram() for one in rows], axis=0)
    longest = max(int(one.column("max_wait_ns").max(initial=0)) for one in rows)
    if histogram.sum() < _LEAST_SAMPLES:
        return None
    return float(percentiles_ns(histogram[None], 0.99, np.array([longest]))[0])


def _mean_tat(rows: Sequence[_Rows]) -> float | None:
    times = [one.column("tat_ns")[one.known("tat_ns") & ~one.column("left_censored").astype(bool)] for one in rows]
    every = np.concatenate(times)
    return float(every.mean()) if len(every) else None


@dataclass(frozen=True)
class Age:
    """How many of the default arm's decisions the reference is made of, and when the newest was, CLOCK_MONOTONIC."""

    decisions: int
    newest_ns: int


class Reference:
    """What the default arm costs: running means of the logarithms of its costs.

    A mean is that of all values at first, and then one in which the older fade, so that it follows the load.
    """

    def __init__(self, settings: RewardSettings) -> None:
        self._settings = settings
        self._logs: dict[str, float] = {}
        self._seen: dict[str, int] = {}
        self.age = Age(0, 0)

    def add(self, costs: Costs, now_ns: int) -> None:
        """Add the costs of a decision for the default arm."""
        least = 1 - 0.5 ** (1 / self._settings.reference_age)
        for name, value in costs.values.items():
            seen = self._seen[name] = self._seen.get(name, 0) + 1
            before = self._logs.get(name, 0.0)
            self._logs[name] = before + max(least, 1 / seen) * (math.log(value) - before)
        self.age = Age(self.age.decisions + 1, now_ns)

    def restart(self) -> None:
        """Forget it, as when the load has changed."""
        self._logs, self._seen, self.age = {}, {}, Age(0, 0)

    def reward(self, costs: Costs, *, swapped: bool) -> float | None:
        """The reward for these costs; None where no objective with a weight is known of both."""
        total = weight = 0.0
        for name, its in self._settings.weights.items():
            ratio = self._ratio(OBJECTIVES[name], costs)
            if its and ratio is not None:
                total, weight = total + its * math.log(ratio), weight + its
        if not weight:
            return None
        clip = self._settings.clip
        return min(clip, max(-clip, -total / weight)) - self._settings.swap_cost * swapped

    def _ratio(self, objective: Objective, costs: Costs) -> float | None:
        """The mean of the ratios of an objective's parts: L / 3 for L. None where one of them is not known."""
        ratios: list[float] = []
        for part in objective.parts:
            value, reference = costs[part], self._logs.get(part)
            if value is None or reference is None:
                return None
            ratios.append(math.exp(min(50.0, math.log(value) - reference)))
        return sum(ratios) / len(ratios)
