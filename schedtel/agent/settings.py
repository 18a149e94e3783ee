"""What a user asks of an agent in, as texts; the same as checked values, or one line that says what is wrong, out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from schedtel.agent import cold_start
from schedtel.agent.classes import SHORT
from schedtel.agent.policies.policy import MOST_ARMS, Policy
from schedtel.agent.policies.protocol import Settings
from schedtel.agent.policies.registry import POLICIES
from schedtel.agent.reward import OBJECTIVES, RewardSettings
from schedtel.agent.slo import Slo, parse_slo
from schedtel.errors import UsageError
from schedtel.schedulers.names import EEVDF, Arm, Selector, parse_arm
from schedtel.suggestions import did_you_mean
from schedtel.windows.grid import window_length

#: What a swap costs, in units of reward: an arm that saves less than 2 % is not worth one.
SWAP_COST = 0.02
#: At the latest after so many decisions, EEVDF runs for comparison.
PROBE_EVERY = 8
#: An arm begins with a letter, and what follows a comma inside of one does not: ``cpus=0,2-3``.
_BETWEEN_ARMS = re.compile(r"\s*,\s*(?=[a-z])")
_WEIGHT = re.compile(r"\s*([^=,]+?)\s*=\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*", re.ASCII)
_MOST_SHOWN = 60


@dataclass(frozen=True)
class AgentSettings:
    """What an agent is to do.

    :param arms: by name, EEVDF first.
    :param default: the arm that runs until the policy was shown to be better.
    :param policy: the name of one, or the path of a file of one.
    :param reward: what a good window is.
    :param exploring: how the policy explores; one of a file takes floor and budget from here, and has its own draws.
    :param window: length of a window, such as ``1s``.
    :param scope: the threads that arms are for, and that are measured; None: all of the machine.
    :param slos: bounds that each window is to keep.
    :param mode: ``act``; or ``dry-run``, which decides and says so; or ``shadow``, which also logs.
    :param is_trusted: the policy decides from the first window on, and not only once it was shown to be better.
    :param probe_every: at the latest after so many decisions, EEVDF runs for comparison.
    """

    arms: tuple[str, ...]
    default: str = str(EEVDF)
    policy: str = "thompson"
    reward: RewardSettings = field(default_factory=lambda: RewardSettings(swap_cost=SWAP_COST))
    exploring: Settings = field(default_factory=Settings)
    window: str = "1s"
    scope: Selector | None = None
    slos: tuple[Slo, ...] = ()
    mode: str = "act"
    is_trusted: bool = False
    probe_every: int = PROBE_EVERY

    def __post_init__(self) -> None:
        window_length(self.window)
        if self.arms[0] != str(EEVDF) or not 2 <= len(self.arms) <= MOST_ARMS or len(set(self.arms)) != len(self.arms):
            raise UsageError(
                f"cannot choose among {len(self.arms)} arms: name 2 to {MOST_ARMS} different ones, eevdf included "
                "(such as --arms eevdf,policy:short:rr=10)"
            )
        for arm in self.arms:
            _require_capped(parse_arm(arm))
        if self.default not in self.arms:
            near = did_you_mean(self.default, self.arms)
            raise UsageError(f"cannot default to {self.default[:_MOST_SHOWN]!r}, which is none of the arms: {near}")
        if not 1 <= self.probe_every <= 1000:
            raise UsageError(f"cannot compare with EEVDF every {self.probe_every} decisions: it must be 1 to 1000")

    @property
    def real_time_priority(self) -> int:
        """The highest real-time priority that one of the arms sets; 0 if none does."""
        return max((priority_of(arm) for arm in self.arms), default=0)


def priority_of(arm: str) -> int:
    """The highest real-time priority that an arm sets; 0 if it sets none."""
    return max((rule.setting.values[0] for rule in parse_arm(arm).rules if rule.setting.word == "rr"), default=0)


def _require_capped(arm: Arm) -> None:
    """Raise :class:`UsageError` for an arm that makes threads real-time of which nothing bounds the bursts."""
    for rule in arm.rules:
        if rule.setting.word == "rr" and rule.selector != Selector("class", SHORT):
            raise UsageError(
                f"cannot let an agent choose {str(arm)[:_MOST_SHOWN]}: it makes threads real-time, and only those of "
                f"class {SHORT} have capped bursts (write policy:{SHORT}:{rule.setting})"
            )


def arms_of(text: str) -> tuple[str, ...]:
    """The arms of a list such as ``eevdf,policy:short:rr=10``; EEVDF comes first, also where it is not named.

    Raises :class:`UsageError` for one that is none.
    """
    return with_eevdf(_BETWEEN_ARMS.split(text.strip()))


def with_eevdf(names: Sequence[str]) -> tuple[str, ...]:
    """Arms by their names, as :func:`arms_of`; one that is named twice stays so, and is refused later."""
    arms = [str(parse_arm(name)) for name in names]
    rest = [arm for arm in arms if arm != str(EEVDF)]
    if len(arms) - len(rest) > 1:
        raise UsageError("cannot choose among arms: eevdf is named twice (name it once)")
    return (str(EEVDF), *rest)


def weights_of(text: str) -> MappingProxyType[str, float]:
    """The weights of a list such as ``L=1,p99 wakeup wait=0.5``. Raises :class:`UsageError` for any other text."""
    found: dict[str, float] = {}
    for part in text.split(","):
        match = _WEIGHT.fullmatch(part)
        if match is None or match[1] in found:
            raise UsageError(
                f"cannot weigh {part.strip()[:_MOST_SHOWN]!r}: write each objective once, and its weight (such as L=1)"
            )
        found[match[1]] = float(match[2])
    return MappingProxyType(found)


def objective_of(name: str) -> MappingProxyType[str, float]:
    """All of the weight to one objective. Raises :class:`UsageError` for a name that is none."""
    if name not in OBJECTIVES:
        raise UsageError(f"cannot aim at {name[:_MOST_SHOWN]!r}: {did_you_mean(name, OBJECTIVES)}")
    return MappingProxyType({name: 1.0})


def slos_of(texts: Sequence[str]) -> tuple[Slo, ...]:
    """Objectives by their texts. Raises :class:`UsageError` for one that is none."""
    return tuple(map(parse_slo, texts))


def chosen_policy(settings: AgentSettings) -> Policy:
    """The policy for these arms: a new one where it is named, the one that ships, or that of a file. Of the two, arms
    that it does not know are new to it, and it forgets those that are not asked for.

    Raises :class:`UsageError` and :class:`CapabilityError` as :func:`cold_start.policy_for` does.
    """
    which, named = settings.policy, (*POLICIES, cold_start.PRETRAINED)
    if which not in named and "/" not in which and "." not in which:
        raise UsageError(
            f"cannot use policy {which[:_MOST_SHOWN]!r}: {did_you_mean(which, named)} "
            "(a file is written with its path: ./FILE)"
        )
    policy = cold_start.policy_for(which, settings.arms, settings=settings.exploring)
    policy.settings = replace(policy.settings, floor=settings.exploring.floor, budget=settings.exploring.budget)
    return policy
