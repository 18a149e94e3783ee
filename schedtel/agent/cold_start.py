"""The name of a policy and the arms of a machine in; a policy for these arms out, which may know something already.

``pretrained/`` has a policy that was trained on experiments (:mod:`schedtel.training`), and its card: what it was
trained on, and how good it was on workloads that it had not seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from schedtel.agent.context import CHOSEN
from schedtel.agent.policies.files import load_policy
from schedtel.agent.policies.policy import Policy
from schedtel.agent.policies.protocol import USUAL, Settings
from schedtel.agent.policies.registry import POLICIES, policy_of
from schedtel.errors import UsageError

#: Names the policy that ships with schedtel, where a policy is named.
PRETRAINED = "pretrained"
_FOLDER = resources.files("schedtel.agent") / "pretrained"


def pretrained() -> Policy:
    """The policy that ships with schedtel. The errors are those of :func:`load_policy`."""
    return load_policy(str(_FOLDER / "policy.safetensors"))


def card() -> dict[str, Any]:
    """What the policy that ships was trained on, and how it was judged."""
    table: dict[str, Any] = json.loads((_FOLDER / "policy.safetensors.json").read_text(encoding="utf-8"))
    return table


def policy_for(
    which: str, arms: Sequence[str] | None = None, names: Sequence[str] = CHOSEN, settings: Settings = USUAL
) -> Policy:
    """A policy for the arms of this machine.

    :param which: ``pretrained``; a name of :data:`POLICIES`, which knows nothing yet; or a file of a policy.
    :param arms: what it may choose from; None: what it knows.
    :param names, settings: features and settings of a policy that knows nothing yet; others have their own.

    Raises :class:`UsageError` where that cannot be, as for a policy that knows none of the arms.
    """
    if which in POLICIES:
        if not arms:
            raise UsageError(f"cannot use policy {which}: it knows no arms by itself (name them by --arm)")
        return policy_of(which, arms, names, settings)
    policy = pretrained() if which == PRETRAINED else load_policy(which)
    if arms is not None:
        fit_to(policy, arms, which)
    return policy


def fit_to(policy: Policy, arms: Sequence[str], whose: str = "the policy") -> None:
    """Leave a policy these arms: those that it knows stay as they are, and of the others it knows nothing.

    :param whose: names the policy in errors.

    Raises :class:`UsageError` where it knows none of them, and for arms that are no arms.
    """
    if not set(arms) & set(policy.arms):
        known = ", ".join(policy.arms)[:200]
        raise UsageError(f"cannot use policy {whose[:60]}: it knows none of these arms (name one of {known})")
    for arm in policy.arms:
        if arm not in arms:
            policy.remove_arm(arm)
    for arm in arms:
        if arm not in policy.arms:
            policy.add_arm(arm)
