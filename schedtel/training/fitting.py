"""Windows with their costs in; a policy that has learned from them out.

Windows of one workload are alike, so a hundred of them are not a hundred independent rewards. What was learned is
therefore discounted until all windows of a workload together weigh as much as one reward. The intervals then tell
how little is known of other workloads, and the policy soon believes what it sees on its own machine.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from schedtel.agent.context import CHOSEN
from schedtel.agent.policies.policy import Policy
from schedtel.agent.policies.protocol import USUAL, Settings
from schedtel.agent.policies.registry import policy_of
from schedtel.agent.replay import CostTable
from schedtel.errors import UsageError

#: What can be learned from a table in which the costs of all arms are known.
TRAINABLE = ("thompson", "linucb", "classifier", "policy-gradient")
#: What the experiment of a workload is worth, in rewards: so few that the intervals of a policy of the live heat map
#: held the truth of left-out workloads as often as they say (94 %; with 2 it was 88 %, with 8 it was 66 %).
WORTH = 1.0
#: What another machine's windows have another amount of: a count depends on the length of a window, and how many tasks
#: are blocked on how many services sleep there.
_LOCAL = ("burst_tat_count", "voluntary_switches", "involuntary_switches", "forks", "blocked_avg")
#: The features that a policy for other machines is trained on.
PORTABLE = tuple(name for name in CHOSEN if name not in _LOCAL)


def fitted(
    name: str,
    tables: Sequence[CostTable],
    names: Sequence[str],
    settings: Settings = USUAL,
    worth: float = WORTH,
) -> Policy:
    """A policy of this name that has learned from the tables. Its arms are those of all tables.

    :param names: the features that it sees: those of the tables.
    :param worth: of a workload, in rewards.

    Raises :class:`UsageError` for a policy that learns from no table, and for too many arms.
    """
    if name not in TRAINABLE:
        raise UsageError(
            f"cannot train policy {name[:60]!r}: it learns from no experiment (use {', '.join(TRAINABLE)})"
        )
    arms = tuple(dict.fromkeys(arm for table in tables for arm in table.arms))
    policy = policy_of(name, arms, names, settings)
    contexts, rows = [], []
    for table in tables:
        its, rewards = table.experiments()
        wide = np.full((len(its), len(arms)), np.nan)
        wide[:, [arms.index(arm) for arm in table.arms]] = rewards
        contexts += its
        rows.append(wide)
    policy.fit(contexts, np.concatenate(rows))
    workloads = sum(len(table.workloads) for table in tables)
    policy.explore_again(min(1.0, worth * workloads / len(contexts)))
    return policy


def without(tables: Sequence[CostTable], workloads: Collection[str]) -> list[CostTable]:
    """The tables without some workloads; those of which nothing is left are left out."""
    kept = [[w for w in table.workloads if w not in workloads] for table in tables]
    return [table.of(names) for table, names in zip(tables, kept, strict=True) if names]
