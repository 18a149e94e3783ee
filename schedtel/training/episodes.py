"""Windows of an experiment in; what policies cost that learn while workloads change, beside yardsticks, out.

Each repeat of the experiment in turn is left out: policies learn from the runs of the others, and are judged by those
of the one that is left out, at every decision. A left-out repeat is the unit of all intervals, since windows and
episodes of it are of the same runs; a difference is one of pairs. Each interval is of 95 % for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from schedtel.agent.cold_start import policy_for
from schedtel.agent.policies.files import load_policy
from schedtel.agent.policies.protocol import Settings
from schedtel.agent.policies.registry import policy_of
from schedtel.agent.replay import CostTable, Learner, Phases, Player, Replay, Rule
from schedtel.agent.settings import SWAP_COST
from schedtel.errors import UsageError
from schedtel.training.fitting import fitted
from schedtel.training.held_out import Percent, percent_of

#: Policies that know nothing at first, and those that have learned from all runs but those that judge them.
ONLINE = ("ucb1", "epsilon-greedy", "linucb", "thompson", "policy-gradient")
TRAINED = ("classifier", "policy-gradient", "thompson")
GIVEN = "given policy"
ORACLE, INFORMED, STATIC, RANDOM, RULE = "oracle", "best by workload", "best static arm", "random", "busy-cpu rule"
#: Fewer do not tell how much they differ.
_LEAST_REPEATS = 3
#: scx_loader's rule waits for 5 s, and a window of the lab's runs is about a second.
_BUSY_WINDOWS = 5
#: Parts of an episode that a learning curve is told by; a third of them is a third of the windows.
PARTS = 12


@dataclass(frozen=True)
class Told:
    """What a replay is told beside its table.

    :param busy_arm: what scx_loader's rule takes where a CPU is busy; None: the last arm.
    :param swap_cost: in units of reward.
    :param given: a file of a policy, which plays as well: as it is, and learning on.
    """

    phases: Phases = field(default_factory=Phases)
    busy_arm: str | None = None
    swap_cost: float = SWAP_COST
    given: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.swap_cost <= 1:
            raise UsageError(f"cannot take {self.swap_cost} off for a swap: it must be 0 to 1")


@dataclass(frozen=True, eq=False)
class Episodes:
    """What came of a replay. Costs are logarithms beside the default arm's: 0 is as good.

    :param repeats: those that were left out in turn.
    :param static: the arm that was the best static one, by the repeats that it was chosen for.
    :param curves: player → shape (repeats, ``PARTS``), means over the windows of a part and over episodes.
    :param late: player → shape (repeats, workloads), means over the last third.
    """

    arms: tuple[str, ...]
    workloads: tuple[str, ...]
    repeats: tuple[int, ...]
    told: Told
    static: Mapping[int, str]
    curves: Mapping[str, np.ndarray]
    late: Mapping[str, np.ndarray]

    def part(self, name: str, part: int) -> Percent:
        """Cost against the default arm in a part of the episodes."""
        return percent_of(self.curves[name][:, part])

    def first_third(self, name: str) -> Percent:
        """Cost against the default arm while it begins to learn."""
        return percent_of(self.curves[name][:, : PARTS // 3].mean(axis=1))

    def last_third(self, name: str, other: str | None = None) -> Percent:
        """Cost when it has learned, against the default arm's or another player's."""
        return percent_of(self._late(name) - (self._late(other) if other else 0.0))

    def _late(self, name: str) -> np.ndarray:
        found: np.ndarray = self.curves[name][:, -PARTS // 3 :].mean(axis=1)
        return found

    def of_workload(self, name: str, workload: str) -> Percent:
        """Cost of a workload in the last third, against the default arm."""
        return percent_of(self.late[name][:, self.workloads.index(workload)])

    def worst(self, name: str) -> tuple[str, Percent]:
        """The workload that costs most beside the default arm in the last third."""
        workload = self.workloads[int(self.late[name].mean(axis=0).argmax())]
        return workload, self.of_workload(name, workload)


def play(table: CostTable, told: Told = Told(), tell: Callable[[str], object] = lambda _: None) -> Episodes:
    """Play all policies and yardsticks.

    :param tell: called with a line before a repeat is left out.

    Raises :class:`UsageError` for fewer than three repeats or two arms, for runs that are missing, and for episodes in
    which a workload does not come in each third.
    """
    _refuse_small(table, told.phases)
    replays = [_leaving_out(table, repeat, told) for repeat in table.repeats]
    curves: dict[str, list[list[float]]] = {}
    late: dict[str, list[list[float]]] = {}
    for fold, (repeat, replay) in enumerate(zip(table.repeats, replays, strict=True)):
        tell(f"repeat {repeat} is left out of what policies learn from: {fold + 1} of {len(replays)}")
        for name, made in _players(replay, told).items():
            played = replay.play(made, fold * told.phases.episodes)
            curves.setdefault(name, []).append(_curve(played.costs))
            late.setdefault(name, []).append(_by_workload(played.costs, played.workloads, len(table.workloads)))
    return Episodes(
        table.arms,
        table.workloads,
        table.repeats,
        told,
        {repeat: replay.best_static() for repeat, replay in zip(table.repeats, replays, strict=True)},
        {name: np.array(each) for name, each in curves.items()},
        {name: np.array(each) for name, each in late.items()},
    )


def _leaving_out(table: CostTable, repeat: int, told: Told) -> Replay:
    others = [other for other in table.repeats if other != repeat]
    return Replay(table.runs(others), table.runs([repeat]), told.phases, told.swap_cost)


def _refuse_small(table: CostTable, phases: Phases) -> None:
    if len(table.repeats) < _LEAST_REPEATS or len(table.arms) < 2:
        raise UsageError(
            f"cannot replay {len(table.repeats)} repeats of {len(table.arms)} arms: {_LEAST_REPEATS} and 2 "
            "are the least (measure more)"
        )
    least = max(PARTS, 3 * phases.phase * len(table.workloads))
    if phases.windows < least:
        raise UsageError(
            f"cannot replay {phases.windows} windows: so that each of {len(table.workloads)} workloads has a phase of "
            f"{phases.phase} windows in each third, {least} are the least (ask for more, or for shorter phases)"
        )


def _curve(costs: np.ndarray) -> list[float]:
    return [float(part.mean()) for part in np.array_split(costs.mean(axis=0), PARTS)]


def _by_workload(costs: np.ndarray, workloads: np.ndarray, count: int) -> list[float]:
    """The mean of each workload in the last third."""
    last = slice(-(costs.shape[1] // 3), None)
    return [float(costs[:, last][workloads[:, last] == number].mean()) for number in range(count)]


def _players(replay: Replay, told: Told) -> dict[str, Callable[[int], Player]]:
    """Name → what makes the player of an episode: yardsticks first."""
    arms, static, oracle, informed = replay.learned.arms, replay.best_static(), replay.oracle(), replay.informed()
    names = replay.learned.windows()[0].features.names
    busy = {"calm": arms[0], "busy": _busy_arm(arms, told.busy_arm), "windows": _BUSY_WINDOWS}
    pure = Settings(floor=0.0, budget=None, drift=False)

    def always(arm: str) -> Callable[[int], Player]:
        return lambda _: Rule(lambda _workload: arm)

    def named(name: str) -> Callable[[int], Player]:
        return lambda seed: Learner(policy_of(name, arms, names, Settings(seed=seed)))

    def trained(name: str) -> Callable[[int], Player]:
        return lambda seed: Learner(fitted(name, [replay.learned], names, Settings(seed=seed)))

    return {
        ORACLE: lambda _: Rule(oracle.__getitem__),
        INFORMED: lambda _: Rule(informed.__getitem__),
        STATIC: always(static),
        **{f"always {arm}": always(arm) for arm in arms[1:]},
        RANDOM: named("random"),
        RULE: lambda _: Learner(policy_of("busy-cpu", arms, names, pure, busy)),
        **{name: named(name) for name in ONLINE},
        **{f"{name}, trained": trained(name) for name in TRAINED},
        **_given(told.given, arms, names),
    }


def _given(path: str | None, arms: Sequence[str], names: Sequence[str]) -> dict[str, Callable[[int], Player]]:
    """The players of a policy that has learned elsewhere; of arms that it does not know, it knows nothing.

    Raises the errors of :func:`load_policy`, and :class:`UsageError` for one that knows none of the arms.
    """
    if path is None:
        return {}
    load_policy(path, names=names)

    def made(seed: int, *, learns: bool) -> Player:
        policy = policy_for(str(path), arms)
        policy.settings = replace(policy.settings, seed=seed, floor=policy.settings.floor if learns else 0.0)
        return Learner(policy, learns=learns)

    return {GIVEN: partial(made, learns=False), f"{GIVEN}, learning on": partial(made, learns=True)}


def _busy_arm(arms: Sequence[str], chosen: str | None) -> str:
    if chosen is not None and chosen not in arms:
        raise UsageError(f"cannot use arm {chosen[:60]!r} where a CPU is busy: the arms are {', '.join(arms)}")
    return chosen or arms[-1]


def table_of(episodes: Episodes) -> dict[str, object]:
    """All figures, for JSON."""
    phases = episodes.told.phases
    return {
        "arms": list(episodes.arms),
        "workloads": list(episodes.workloads),
        "repeats": list(episodes.repeats),
        "episodes": phases.episodes,
        "windows": phases.windows,
        "phase": phases.phase,
        "swap_cost": episodes.told.swap_cost,
        "best_static": {str(repeat): arm for repeat, arm in episodes.static.items()},
        "costs": {name: _rounded(curve) for name, curve in episodes.curves.items()},
        "last_third_by_workload": {name: _rounded(late) for name, late in episodes.late.items()},
    }


def _rounded(values: np.ndarray) -> list[list[float]]:
    return [[round(value, 5) for value in row] for row in values.tolist()]
