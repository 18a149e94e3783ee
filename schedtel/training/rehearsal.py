"""Simulated windows in; a policy of the agent that has learned from them out, and what policies cost there.

In a simulation every arm can be tried on the same window, so the rewards of all are known, and a policy is fitted on
them as on an experiment. It is then asked itself: the windows of the next round are those that it leads to (S. Ross,
G. Gordon, D. Bagnell, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning",
AISTATS 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schedtel.agent.policies.protocol import Settings
from schedtel.agent.policies.registry import policy_of
from schedtel.environments.judging import costs_of
from schedtel.environments.swap import Simulated, SwapSim
from schedtel.environments.swap_load import WORKLOADS, Loads
from schedtel.environments.swap_machine import simulated
from schedtel.environments.swap_rules import always, best_now
from schedtel.environments.swap_settings import ARMS
from schedtel.errors import UsageError
from schedtel.experiments.tables import aligned
from schedtel.simulator.machine import Machine
from schedtel.training.fitting import TRAINABLE
from schedtel.training.held_out import percent_of

if TYPE_CHECKING:
    from schedtel.agent.context import Context
    from schedtel.agent.policies.policy import Policy

#: What learns in the episodes that judge it, beginning with nothing.
ONLINE = ("linucb", "thompson", "ucb1")
_ALWAYS = "always "
ORACLE, RANDOM, LEARNED, LEARNING = "oracle", "random", "learned", "learned, and learning on"
#: Of what takes any arm.
_PURE = Settings(floor=0.0, budget=None, drift=False)
_MOST_WINDOWS = 1_000_000
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Rehearsal:
    """What is asked for.

    :param policy: the kind of it: one of ``TRAINABLE``.
    :param rounds: in the first one any arm is taken, in the others what the policy has learned so far.
    :param windows: that it learns from in all rounds together.
    :param machines: that are simulated at a time.
    :param episodes: that it is judged by; an interval is over them.
    :param seed: of all that is drawn; the episodes that judge are others than those that are learned from.

    Raises :class:`UsageError` for another policy, and for numbers out of range.
    """

    policy: str = "policy-gradient"
    rounds: int = 3
    windows: int = 2000
    machines: int = 10
    episodes: int = 8
    seed: int = 1
    simulated: Simulated = field(default_factory=lambda: simulated_with(2, None))

    def __post_init__(self) -> None:
        if self.policy not in TRAINABLE:
            raise UsageError(f"cannot rehearse policy {self.policy[:60]!r} (use {', '.join(TRAINABLE)})")
        least = self.rounds * self.machines
        if (
            min(least, self.rounds) < 1
            or self.episodes < 0
            or self.episodes == 1
            or not least <= self.windows <= _MOST_WINDOWS
        ):
            raise UsageError(
                f"cannot rehearse {self.windows} windows in {self.rounds} rounds, and {self.episodes} episodes: give a "
                f"round at least, {max(1, least)} to {_MOST_WINDOWS} windows, and no episode or 2 at least"
            )

    def learn(self, tell: Tell = lambda _: None) -> Policy:
        """A policy that has learned.

        :param tell: is given a line before each round.
        """
        environments = SwapSim(self.machines, self.simulated)
        environments.reset(self.seed)
        contexts: list[Context] = []
        rewards: list[NDArray[np.float64]] = []
        policy = policy_of("random", environments.arms, environments.contexts[0].features.names, _PURE)
        steps = self.windows // (self.rounds * self.machines)
        for number in range(1, self.rounds + 1):
            tell(f"round {number} of {self.rounds}: {steps * self.machines} windows")
            for _ in range(steps):
                contexts += environments.contexts
                rewards.append(environments.all_rewards())
                decided = [environments.arms.index(policy.decide(each).arm) for each in environments.contexts]
                environments.step(np.array(decided, np.int32))
            policy = self._fitted(environments, contexts, np.concatenate(rewards))
        return policy

    def _fitted(self, environments: SwapSim, contexts: list[Context], rewards: NDArray[np.float64]) -> Policy:
        """A policy that has learned from these windows. No two are of the same jobs, so all of them count."""
        settings = Settings(seed=self.seed, budget=None)
        policy = policy_of(self.policy, environments.arms, contexts[0].features.names, settings)
        policy.fit(contexts, rewards)
        return policy

    # ---- how good it is ----

    def judge(self, made: Callable[[], Policy], tell: Tell = lambda _: None) -> dict[str, NDArray[np.float64]]:
        """Player → what it costs beside EEVDF, as logarithms, shape (episodes,): in episodes that are new to it.

        :param made: gives the policy that has learned, a new copy each time.
        :param tell: is given a line before each player.
        """
        seed, environments = self.seed + 1, SwapSim(self.episodes, self.simulated, staggered=False)
        found: dict[str, NDArray[np.float64]] = {}
        for number, arm in enumerate(environments.arms[1:], 1):
            tell(f"{_ALWAYS}{arm}")
            found[f"{_ALWAYS}{arm}"] = np.log(costs_of(environments, always(number), seed))
        tell(ORACLE)
        found[ORACLE] = np.log(costs_of(environments, best_now(environments), seed))
        for name, player, learns in self._players(environments, made):
            tell(name)
            found[name] = _lived(environments, player, seed, learns=learns)
        return found

    def _players(
        self, environments: SwapSim, made: Callable[[], Policy]
    ) -> list[tuple[str, Callable[[int], Policy], bool]]:
        names, arms = environments.contexts[0].features.names, environments.arms

        def named(name: str) -> Callable[[int], Policy]:
            return lambda seed: policy_of(name, arms, names, Settings(seed=seed))

        return [
            (RANDOM, named(RANDOM), False),
            *((name, named(name), True) for name in ONLINE),
            (LEARNED, lambda _: _without_floor(made()), False),
            (LEARNING, lambda _: made(), True),
        ]


def _without_floor(policy: Policy) -> Policy:
    policy.settings = replace(policy.settings, floor=0.0, budget=None)
    return policy


def _lived(environments: SwapSim, made: Callable[[int], Policy], seed: int, *, learns: bool) -> NDArray[np.float64]:
    """What a policy costs in each episode, as a logarithm; each episode has a policy of its own."""
    environments.reset(seed)
    policies = [made(number) for number in range(environments.count)]
    while np.isnan(environments.cost()).any():
        contexts = list(environments.contexts)
        decided = [policy.decide(context) for policy, context in zip(policies, contexts, strict=True)]
        actions = np.array([environments.arms.index(each.arm) for each in decided], np.int32)
        rewards = environments.step(actions)[1].tolist()
        for policy, context, each, reward in zip(policies, contexts, decided, rewards, strict=True):
            if learns:
                policy.learn(context, each.arm, each.propensity, reward)
    return np.log(environments.cost())


def simulated_with(cpus: int, arms: Sequence[str] | None) -> Simulated:
    """SwapSim on a machine with so many CPUs, and these arms; None: its own. In an episode, each workload has a phase.

    Raises :class:`UsageError` for arms that cannot be simulated, and for a machine that cannot be.
    """
    for arm in arms or ():
        simulated(arm)
    loads = Loads(phases=len(WORKLOADS))
    return Simulated(tuple(arms or ARMS), loads=loads, machine=Machine(cpus))


def text_of(costs: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """A line for each player: its cost beside EEVDF, with an interval over episodes. Policies are beside the best arm
    that never changes as well.
    """
    still = [name for name in costs if name.startswith(_ALWAYS)]
    best = min(still, key=lambda name: float(costs[name].mean()))
    rows = [["", "cost against eevdf", f"against {best}"]]
    for name, each in costs.items():
        rows.append([name, str(percent_of(each)), "" if name in still else str(percent_of(each - costs[best]))])
    return aligned(rows).splitlines()
