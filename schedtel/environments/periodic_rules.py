"""A factor of times in; how many deadlines EDF misses in all configurations out: what a policy has to beat."""

from __future__ import annotations

from functools import partial

import numpy as np

from schedtel.dags.pipelines import configurations, edf, jobs_of, met, pipelines
from schedtel.environments.judging import Costs, Judge, Scored
from schedtel.environments.periodic_sim import PeriodicSim


def _edf(scale: float, drops: bool, environments: Scored, _: int) -> Costs:
    assert isinstance(environments, PeriodicSim)
    sets = [pipelines(periods, scale) for periods in environments.configurations]
    counts = np.array([(len(jobs_of(some)), met(jobs_of(some), edf(some, drops=drops))) for some in sets])
    return np.asarray(100 * (counts[:, 0] - counts[:, 1]) / counts[:, 0].mean(), np.float64)


def judge_of(scale: float) -> Judge:
    """EDF that fuses whole chains, and the same when it drops jobs that cannot meet their deadline any more."""

    def make(_: int, __: str) -> PeriodicSim:
        return PeriodicSim(len(configurations()), scale=scale, in_turn=True)

    rules = {"EDF": partial(_edf, scale, False), "EDF with drops": partial(_edf, scale, True)}
    return Judge(make, ("all",), rules, "missed deadlines", "% of all", 1.0, by_difference=True)
