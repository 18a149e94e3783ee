"""Graphs and how far times vary in; what plans that are kept cost there out: what a policy for DagSim has to beat.

A plan is made by the times as planned. Then each device keeps its jobs and their order, as :mod:`schedtel.dags.noise`
has it, while the jobs take the times that they take in the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from schedtel.dags.dag import Dag
from schedtel.dags.heuristics import heft, minmin, peft
from schedtel.dags.noise import replayed
from schedtel.dags.optimum import optimum
from schedtel.dags.schedule import Schedule
from schedtel.dags.solver import solver_is_installed
from schedtel.environments.dag_policy import CHOICES
from schedtel.environments.dag_sim import DagSim
from schedtel.environments.judging import Costs, Judge, Scored

#: For how long CP-SAT looks for the plan of a graph.
_LIMIT_S = 30.0


def _planned(dag: Dag) -> Schedule:
    return optimum(dag, _LIMIT_S, heft(dag)).schedule


def _kept(plan: Callable[[Dag], Schedule], environments: Scored, seed: int) -> Costs:
    assert isinstance(environments, DagSim)
    environments.reset(seed)
    dag = environments.dags[0]
    factors = np.stack([environments.factors(number) for number in range(environments.count)])
    return replayed(dag, plan(dag), factors).astype(np.float64)


def judge_of(dags: Sequence[Dag], noise: float) -> Judge:
    """Plans by HEFT, PEFT and MinMin, and by CP-SAT where it is installed; each graph is judged apart."""
    plans = {"HEFT": heft, "PEFT": peft, "MinMin": minmin}
    if solver_is_installed():
        plans["CP-SAT"] = _planned
    by_name = {dag.name: dag for dag in dags}

    def make(count: int, group: str) -> DagSim:
        return DagSim([by_name[group]], count, choices=CHOICES, noise=noise)

    rules = {f"{name}'s order": partial(_kept, plan) for name, plan in plans.items()}
    return Judge(make, tuple(by_name), rules, "mean makespan", "units", 1.0, is_of_models=True)
