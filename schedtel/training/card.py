"""Examples, a policy and how it was judged in; the card of the policy out: what its user has to know, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from schedtel._version import __version__
from schedtel.agent.policies.policy import Policy
from schedtel.agent.replay import CostTable
from schedtel.training.examples import Examples
from schedtel.training.fitting import WORTH
from schedtel.training.held_out import RANDOM, STATIC, HeldOut, percent_of
from schedtel.windows.features import FEATURES_VERSION


def card_of(policy: Policy, examples: Sequence[Examples], held_out: HeldOut) -> dict[str, Any]:
    """The card: data, features, and the costs on workloads that were left out."""
    name = policy.name
    return {
        "policy": name,
        "arms": list(policy.arms),
        "features": list(policy.names),
        "features_version": FEATURES_VERSION,
        "schedtel": __version__,
        "worth_of_a_workload_in_rewards": WORTH,
        "experiments": [_experiment(each) for each in examples],
        "held_out": {
            "workloads": list(held_out.workloads),
            "percent": {each: _rounded(asdict(held_out.against(each))) for each in held_out.costs},
            "by_workload_percent": {
                each: [round(float(value), 2) for value in 100 * np.expm1(costs)]
                for each, costs in held_out.costs.items()
            },
            f"against_{RANDOM}": _rounded(asdict(held_out.against(name, RANDOM))),
            "against_best_static": _rounded(asdict(held_out.against(name, STATIC))),
            "intervals_that_held_the_truth": round(held_out.covered.get(name, 0.0), 3),
        },
    }


def _experiment(each: Examples) -> dict[str, Any]:
    placebo = [cost for _, cost in sorted(each.placebo.items())]
    noise = _rounded(asdict(percent_of(np.array(placebo)))) if len(placebo) > 1 else None
    table = each.table
    return {
        "title": each.title,
        **each.provenance,
        "workloads": list(table.workloads),
        "placebo_percent": noise,
        "by_itself_percent": {arm: _by_itself(table, place) for place, arm in enumerate(table.arms) if place},
    }


def _by_itself(table: CostTable, place: int) -> dict[str, Any]:
    """What an arm costs against the default one: as the parameters of :class:`schedtel.agent.proposal.Proposal`."""
    costs = table.means[:, place]
    worst = int(costs.argmax())
    return {
        **_rounded(asdict(percent_of(costs))),
        "better_in": int((costs < 0).sum()),
        "worst": table.workloads[worst],
        "worst_percent": round(float(100 * np.expm1(costs[worst])), 2),
    }


def _rounded(table: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in table.items()}
