"""The name of a policy and its arms in; the policy out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from schedtel.agent.context import CHOSEN
from schedtel.agent.policies.classifier import Classifier
from schedtel.agent.policies.gradient import PolicyGradient
from schedtel.agent.policies.linear import LinUCB, Thompson
from schedtel.agent.policies.policy import Policy
from schedtel.agent.policies.protocol import USUAL, Settings
from schedtel.agent.policies.simple import UCB1, BusyCpu, EpsilonGreedy, Fixed, Random, RoundRobin
from schedtel.errors import UsageError

_ALL: tuple[type[Policy], ...] = (
    *(Fixed, Random, RoundRobin, EpsilonGreedy, UCB1),
    *(LinUCB, Thompson, Classifier, PolicyGradient, BusyCpu),
)
POLICIES: Mapping[str, type[Policy]] = MappingProxyType({policy.name: policy for policy in _ALL})


def policy_of(
    name: str,
    arms: Sequence[str],
    names: Sequence[str] = CHOSEN,
    settings: Settings = USUAL,
    options: Mapping[str, object] = MappingProxyType({}),
) -> Policy:
    """The policy with this name, of which nothing is known yet.

    Raises :class:`UsageError` for another name, and for arms, features or options that it cannot have.
    """
    if name not in POLICIES:
        raise UsageError(f"cannot use policy {name[:60]!r}: there is none of this name (use {', '.join(POLICIES)})")
    return POLICIES[name](arms, names, settings, options)
