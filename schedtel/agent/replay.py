"""Windows measured under every arm in; how a policy would have learned on phases of their workloads out.

Each window of a replay draws one that was measured under the arm that was chosen, so no machine is needed, and the arm
that is best in each phase (the oracle) and the one that is best over all (best static) are known. Policies meet the
same phases and the same luck, so that their difference is one of pairs. A replay cannot show what a swap costs, nor
what an arm leaves behind for the next window.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schedtel.agent.context import Context
from schedtel.agent.policies.policy import Policy
from schedtel.analysis.bootstrap import student_reach
from schedtel.errors import UsageError
from schedtel.windows.features import FeatureVector

#: A window counts as worse than the default arm if it costs more by 10 %.
_WORSE = math.log(1.1)


@dataclass(frozen=True)
class Measured:
    """A window of a workload under an arm.

    :param cost: logarithm of its cost beside the default arm's: 0 is as good, ln 2 is twice as bad.
    """

    workload: str
    arm: str
    cost: float
    features: FeatureVector
    busiest_cpu: float | None = None


@dataclass(frozen=True)
class Phases:
    """What a replay plays: so many windows, in phases of one workload each, so many times with other luck."""

    windows: int = 600
    phase: int = 20
    episodes: int = 40

    def __post_init__(self) -> None:
        if min(self.windows, self.phase, self.episodes) < 1 or self.windows * self.episodes > 10_000_000:
            raise UsageError("cannot replay so many windows: each number must be 1 at least, and 10 million together")


@dataclass(frozen=True, eq=False)
class Played:
    """What came of one player: mean cost of each episode, of its last third, and the part of windows 10 % worse.

    All of shape (episodes,).
    """

    name: str
    costs: np.ndarray
    late: np.ndarray
    worse: np.ndarray

    @property
    def percent(self) -> tuple[float, float, float]:
        """Cost against the default arm over all windows, in percent, and its 95 % interval over episodes."""
        return _percent(self.costs)

    @property
    def late_percent(self) -> tuple[float, float, float]:
        """The same of the last third of the windows, when it has learned."""
        return _percent(self.late)

    def late_against(self, other: Played) -> tuple[float, float, float]:
        """Cost in the last third against another player's of the same episodes, in percent, and its interval."""
        return _percent(self.late - other.late)


def _percent(logs: np.ndarray) -> tuple[float, float, float]:
    mean, reach = float(logs.mean()), 0.0
    if len(logs) > 1:
        reach = student_reach(logs)
    low, middle, high = (100 * math.expm1(value) for value in (mean - reach, mean, mean + reach))
    return middle, low, high


class CostTable:
    """Measured windows by workload and arm.

    :param measured: at least one window of each workload under each arm.
    :param default: the arm that costs are beside.

    Raises :class:`UsageError` where windows of a workload under an arm are missing, or a cost is no number.
    """

    def __init__(self, measured: Iterable[Measured], default: str = "eevdf") -> None:
        cells: defaultdict[tuple[str, str], list[Measured]] = defaultdict(list)
        for one in measured:
            if not math.isfinite(one.cost):
                raise UsageError(f"cannot replay {one.workload} under {one.arm}: a cost of it is no number")
            cells[one.workload, one.arm].append(one)
        self.workloads = tuple(sorted({workload for workload, _ in cells}))
        self.arms = (default, *sorted({arm for _, arm in cells} - {default}))
        for workload in self.workloads:
            for arm in self.arms:
                if (workload, arm) not in cells:
                    raise UsageError(
                        f"cannot replay {workload}: it has no window under {arm} (measure it, or leave it)"
                    )
        if not self.workloads:
            raise UsageError("cannot replay: no window was measured")
        self._cells = dict(cells)
        #: Mean cost, shape (workloads, arms).
        self.means = np.array([[self._mean(w, a) for a in self.arms] for w in self.workloads])

    def _mean(self, workload: str, arm: str) -> float:
        return float(np.mean([one.cost for one in self._cells[workload, arm]]))

    def drawn(self, workload: str, arm: str, luck: float) -> Measured:
        """One of the windows, by a number from 0 to 1."""
        cell = self._cells[workload, arm]
        return cell[int(luck * len(cell))]

    def of(self, workloads: Collection[str]) -> CostTable:
        """The part of the table with these workloads, such as all but the one that is to be new to a policy."""
        return CostTable((one for (w, _), cell in self._cells.items() if w in workloads for one in cell), self.arms[0])

    def windows(self) -> list[Measured]:
        """All windows, by workload and arm."""
        return [one for cell in self._cells.values() for one in cell]

    def experiments(self) -> tuple[list[Context], np.ndarray]:
        """Every window as a context, and the mean rewards of all arms for its workload: what a policy is fitted on."""
        every = self.windows()
        rows = {workload: -row for workload, row in zip(self.workloads, self.means, strict=True)}
        return [_context(one) for one in every], np.array([rows[one.workload] for one in every])


def _context(one: Measured) -> Context:
    return Context(one.features, one.arm, one.busiest_cpu)


#: What plays: a context and the workload's number → an arm; and what it learns of the window that followed.
_Choice = tuple[str, float]


class Player:
    """A policy that plays an episode, or a rule that knows the workload."""

    def __init__(self, policy: Policy | None = None, rule: Callable[[int], str] | None = None) -> None:
        self._policy, self._rule = policy, rule

    def choose(self, context: Context, workload: int) -> _Choice:
        if self._policy is None:
            assert self._rule is not None
            return self._rule(workload), 1.0
        decision = self._policy.decide(context)
        return decision.arm, decision.propensity

    def learn(self, context: Context, choice: _Choice, cost: float) -> None:
        if self._policy is not None:
            self._policy.learn(context, *choice, -cost)


def replay(
    table: CostTable,
    policies: Mapping[str, Callable[[int], Policy]],
    phases: Phases = Phases(),
    swap_cost: float = 0.0,
) -> dict[str, Played]:
    """Play all policies, and beside them the default arm, the best static arm, and the oracle.

    :param policies: name → a function that makes the policy of an episode, by its number.
    :param swap_cost: added to the cost of a window whose arm is not that of the window before.

    Raises :class:`UsageError` where a policy has an arm that the table has not.
    """
    best = table.arms[int(table.means.mean(axis=0).argmin())]
    oracle = [table.arms[place] for place in table.means.argmin(axis=1)]
    rules: dict[str, Callable[[int], Player]] = {
        "default": lambda _: Player(rule=lambda _workload: table.arms[0]),
        f"best static ({best})": lambda _: Player(rule=lambda _workload: best),
        "oracle": lambda _: Player(rule=oracle.__getitem__),
    }
    players = rules | {name: _player_of(make) for name, make in policies.items()}
    return {name: _played(name, table, make, phases, swap_cost) for name, make in players.items()}


def _player_of(make: Callable[[int], Policy]) -> Callable[[int], Player]:
    return lambda episode: Player(make(episode))


def _played(name: str, table: CostTable, make: Callable[[int], Player], phases: Phases, swap_cost: float) -> Played:
    costs = np.array([_episode(table, make(e), phases, swap_cost, e) for e in range(phases.episodes)])
    late = costs[:, -max(1, phases.windows // 3) :]
    return Played(name, costs.mean(axis=1), late.mean(axis=1), (costs > _WORSE).mean(axis=1))


def _episode(table: CostTable, player: Player, phases: Phases, swap_cost: float, episode: int) -> list[float]:
    """The cost of each window. A decision sees the window before, under whichever arm it ran."""
    world = np.random.default_rng(episode)
    workloads = world.integers(len(table.workloads), size=-(-phases.windows // phases.phase))
    luck = world.random(phases.windows + 1).tolist()
    last = table.drawn(table.workloads[workloads[0]], table.arms[0], luck[-1])
    costs = []
    for number in range(phases.windows):
        workload = int(workloads[number // phases.phase])
        context = _context(last)
        choice = player.choose(context, workload)
        if choice[0] not in table.arms:
            raise UsageError(f"cannot replay arm {choice[0][:60]!r}: it was not measured")
        last = table.drawn(table.workloads[workload], choice[0], luck[number])
        cost = last.cost + swap_cost * (choice[0] != context.running)
        player.learn(context, choice, cost)
        costs.append(cost)
    return costs


def text_of(played: Mapping[str, Played]) -> str:
    """A line for each player: cost against the default arm, all along and in the last third."""
    rows: Sequence[Any] = [(one.name, one.percent, one.late_percent, 100 * one.worse.mean()) for one in played.values()]
    width = max(len(row[0]) for row in rows)
    head = f"{'':{width}}  all windows             last third              10 % worse"
    lines = (f"{name:{width}}  {_cell(every)}  {_cell(late)}  {worse:5.1f} %" for name, every, late, worse in rows)
    return "\n".join((head, *lines))


def _cell(percent: tuple[float, float, float]) -> str:
    return f"{percent[0]:+6.1f} % [{percent[1]:+6.1f}, {percent[2]:+6.1f}]"
