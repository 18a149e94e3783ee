"""Windows measured under every arm in; how policies would have learned on phases of their workloads out.

Each window of a replay draws one that was measured under the arm that was chosen, so no machine is needed, and the arm
that is best in each phase (the oracle) and the one that is best over all (best static) are known. Policies meet the
same phases and the same luck, so that their difference is one of pairs.

A policy learns from some runs and is judged by others. At each decision it also sees a window of a run that it does not
learn from, of the same workload and arm as its own: the chances that it gives the arms there, times what these cost in
such runs, are what counts. A replay cannot show what an arm leaves behind for the next window, and of a swap only what
it is told to cost.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from schedtel.agent.context import Context
from schedtel.agent.policies.policy import Policy
from schedtel.errors import UsageError
from schedtel.windows.features import FeatureVector

#: Decisions of all episodes of a player together: minutes.
_MOST_DECISIONS = 10_000_000


@dataclass(frozen=True)
class Measured:
    """A window of a workload under an arm.

    :param cost: logarithm of its cost beside the default arm's: 0 is as good, ln 2 is twice as bad.
    :param repeat: number of the run that it is of. Runs of one number have the same plan under all arms.
    """

    workload: str
    arm: str
    cost: float
    features: FeatureVector
    busiest_cpu: float | None = None
    repeat: int = 1


@dataclass(frozen=True)
class Phases:
    """What a replay plays: so many windows, in phases of one workload each, so many times with other luck.

    Each workload has a phase before one has its next, in random order.
    """

    windows: int = 600
    phase: int = 20
    episodes: int = 4

    def __post_init__(self) -> None:
        if min(self.windows, self.phase, self.episodes) < 1 or self.windows * self.episodes > _MOST_DECISIONS:
            raise UsageError("cannot replay so many windows: each number must be 1 at least, and 10 million together")


@dataclass(frozen=True, eq=False)
class Played:
    """What a player's decisions cost where it was judged.

    :param costs: logarithms beside the default arm's, shape (episodes, windows).
    :param workloads: which workload of the table each window was of, shape (episodes, windows).
    """

    costs: np.ndarray
    workloads: np.ndarray


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
        self.repeats = tuple(sorted({one.repeat for cell in cells.values() for one in cell}))
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
        self._rows = [dict(zip(self.arms, row, strict=True)) for row in self.means.tolist()]

    def _mean(self, workload: str, arm: str) -> float:
        return float(np.mean([one.cost for one in self._cells[workload, arm]]))

    def drawn(self, workload: str, arm: str, luck: float) -> Measured:
        """One of the windows, by a number from 0 to 1."""
        cell = self._cells[workload, arm]
        return cell[int(luck * len(cell))]

    def of(self, workloads: Collection[str]) -> CostTable:
        """The part of the table with these workloads, such as all but the one that is to be new to a policy."""
        return CostTable((one for one in self.windows() if one.workload in workloads), self.arms[0])

    def choosing(self, arms: Collection[str]) -> CostTable:
        """The part of the table with these arms and the default one."""
        return CostTable((one for one in self.windows() if one.arm in {self.arms[0], *arms}), self.arms[0])

    def runs(self, repeats: Collection[int]) -> CostTable:
        """The part of the table with the runs of these numbers."""
        return CostTable((one for one in self.windows() if one.repeat in repeats), self.arms[0])

    def row(self, workload: int) -> Mapping[str, float]:
        """Arm → mean cost, of a workload by its number."""
        return self._rows[workload]

    def windows(self) -> list[Measured]:
        """All windows, by workload and arm."""
        return [one for cell in self._cells.values() for one in cell]

    def experiments(self) -> tuple[list[Context], np.ndarray]:
        """Every window as a context, and the mean rewards of all arms for its workload: what a policy is fitted on."""
        every = self.windows()
        rows = {workload: -row for workload, row in zip(self.workloads, self.means, strict=True)}
        return [context_of_measured(one) for one in every], np.array([rows[one.workload] for one in every])


def context_of_measured(one: Measured) -> Context:
    """What a policy sees of a window."""
    return Context(one.features, one.arm, one.busiest_cpu)


class Player(Protocol):
    """What plays an episode: a policy, or a rule that knows the workload."""

    def chances(self, context: Context, workload: int, /) -> Mapping[str, float]:
        """The chance of each arm in a context; nothing changes by it."""
        ...

    def decide(self, context: Context, workload: int, /) -> tuple[str, float]:
        """An arm, and the chance that it had."""
        ...

    def learn(self, context: Context, arm: str, propensity: float, reward: float, /) -> None:
        """Learn what came of it."""


class Rule:
    """Plays what a function says for a workload, by its number."""

    def __init__(self, arm_of: Callable[[int], str]) -> None:
        self._arm_of = arm_of

    def chances(self, _context: Context, workload: int) -> dict[str, float]:
        """As :class:`Player`."""
        return {self._arm_of(workload): 1.0}

    def decide(self, _context: Context, workload: int) -> tuple[str, float]:
        """As :class:`Player`."""
        return self._arm_of(workload), 1.0

    def learn(self, _context: Context, _arm: str, _propensity: float, _reward: float) -> None:
        """Nothing."""


class Learner:
    """Plays what a policy decides, which knows no workload.

    :param learns: whether it learns from what comes of it.
    """

    def __init__(self, policy: Policy, *, learns: bool = True) -> None:
        self._policy, self._learns = policy, learns

    def chances(self, context: Context, _workload: int) -> dict[str, float]:
        """As :class:`Player`."""
        return self._policy.chances(context)

    def decide(self, context: Context, _workload: int) -> tuple[str, float]:
        """As :class:`Player`."""
        decision = self._policy.decide(context)
        return decision.arm, decision.propensity

    def learn(self, context: Context, arm: str, propensity: float, reward: float) -> None:
        """As :class:`Player`."""
        if self._learns:
            self._policy.learn(context, arm, propensity, reward)


@dataclass(frozen=True)
class Replay:
    """Episodes for players.

    :param learned: the windows that players learn from.
    :param judged: those that they are judged by, of the same workloads and arms.
    :param swap_cost: added to the cost of a window whose arm is not that of the window before.
    """

    learned: CostTable
    judged: CostTable
    phases: Phases = Phases()
    swap_cost: float = 0.0

    def __post_init__(self) -> None:
        if (self.learned.workloads, self.learned.arms) != (self.judged.workloads, self.judged.arms):
            raise UsageError(
                "cannot replay: runs to learn from and runs to judge by have other workloads or arms (measure all)"
            )

    def play(self, made: Callable[[int], Player], first: int = 0) -> Played:
        """Have a player play all episodes.

        :param made: makes the player of an episode, by the episode's number.
        :param first: number of the first episode, which is the seed of its phases and its luck.

        Raises :class:`UsageError` where it has an arm that was not measured.
        """
        numbers = range(first, first + self.phases.episodes)
        played = [self._episode(made(number), number) for number in numbers]
        return Played(np.array([costs for costs, _ in played]), np.array([workloads for _, workloads in played]))

    def _episode(self, player: Player, number: int) -> tuple[list[float], list[int]]:
        """The cost of each window and its workload. A decision sees the window before, under whichever arm it ran."""
        world, phases, names = np.random.default_rng(number), self.phases, self.learned.workloads
        rounds = -(-phases.windows // (phases.phase * len(names)))
        drawn = np.concatenate([world.permutation(len(names)) for _ in range(rounds)])
        workloads = drawn.repeat(phases.phase)[: phases.windows].tolist()
        luck = world.random((phases.windows + 1, 2)).tolist()
        last = self.learned.drawn(names[workloads[0]], self.learned.arms[0], luck[-1][0])
        costs = []
        for workload, (lucky, judged_lucky) in zip(workloads, luck, strict=False):
            unseen = context_of_measured(self.judged.drawn(last.workload, last.arm, judged_lucky))
            costs.append(self._expected(player.chances(unseen, workload), workload, last.arm))
            context = context_of_measured(last)
            arm, propensity = player.decide(context, workload)
            last = self.learned.drawn(names[workload], arm, lucky)
            player.learn(context, arm, propensity, -last.cost - self.swap_cost * (arm != context.running))
        return costs, workloads

    def _expected(self, chances: Mapping[str, float], workload: int, running: str) -> float:
        """The mean cost of arms with these chances, where they are judged."""
        row = self.judged.row(workload)
        if unknown := [arm for arm in chances if arm not in row]:
            raise UsageError(f"cannot replay arm {unknown[0][:60]!r}: it was not measured")
        return sum(chance * (row[arm] + self.swap_cost * (arm != running)) for arm, chance in chances.items())

    def best_static(self) -> str:
        """The arm that costs least over all workloads, by the runs that are learned from."""
        return self.learned.arms[int(self.learned.means.mean(axis=0).argmin())]

    def informed(self) -> list[str]:
        """The arm that costs least in each workload, by the runs that are learned from.

        A policy has to tell the workload by what it sees.
        """
        return _least(self.learned)

    def oracle(self) -> list[str]:
        """The arm that costs least in each workload, by the runs that are judged by: no policy can know it."""
        return _least(self.judged)


def _least(table: CostTable) -> list[str]:
    return [table.arms[place] for place in table.means.argmin(axis=1)]
