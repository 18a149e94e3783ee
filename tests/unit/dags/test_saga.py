"""Heuristics beside SAGA's makespans on related machines: ``scripts/saga`` has made datasets/dags/saga.csv."""

import pytest

from schedtel.dags import heuristics
from schedtel.dags.heuristics import HEURISTICS
from schedtel.dags.schedule import broken_rules
from scripts.saga.comparison import sagas, share_between
from scripts.saga.instances import SEEDS, instances

INSTANCES = {(one.family, one.seed): one for one in instances()}


SAGAS = sagas()


def own(family, seed, method):
    dag = INSTANCES[family, seed].dag()
    schedule = HEURISTICS[method](dag)
    assert broken_rules(dag, schedule) == []
    return schedule.makespan(dag)


def test_the_file_has_all_instances():
    methods = {"heft", "cpop", "cpop as shipped", "etf", "minmin"}
    assert set(SAGAS) == {(family, seed, method) for family, seed in INSTANCES for method in methods}


@pytest.mark.parametrize("family", ["random", "layers"])
@pytest.mark.parametrize("method", ["heft", "cpop"])
def test_heft_and_cpop_are_sagas_where_a_mean_transfer_is_sagas(family, method, monkeypatch):
    """SAGA's CPOP with the downward rank of the paper: as it ships, a job counts in its own."""
    monkeypatch.setattr(heuristics, "share_apart", share_between)
    found = [own(family, seed, method) for seed in SEEDS]
    assert [(makespan, makespan) for makespan in found] == [SAGAS[family, seed, method] for seed in SEEDS]


def test_minmin_is_sagas_where_all_that_is_ready_is_one_batch():
    """SAGA's places all that is ready before it looks what has become ready; ours looks each time."""
    found = [own("layers", seed, "minmin") for seed in SEEDS]
    assert [(makespan, makespan) for makespan in found] == [SAGAS["layers", seed, "minmin"] for seed in SEEDS]


#: Method → the least and the greatest of our makespan, as a share of SAGA's least and of its greatest.
BOUNDS = {"heft": (0.95, 1.0), "cpop": (0.88, 1.0), "etf": (1.0, 1.05), "minmin": (1.0, 1.0)}


@pytest.mark.parametrize("method", BOUNDS)
def test_where_much_is_equally_good_ours_is_near_sagas_range(method):
    least, most = BOUNDS[method]
    for seed in SEEDS:
        low, high = SAGAS["ties", seed, method]
        assert low * least <= own("ties", seed, method) <= high * most


@pytest.mark.parametrize("family", ["random", "layers"])
def test_etf_with_a_rule_for_ties_is_never_worse_than_sagas_worst(family):
    """Jobs that could start at one moment are a tie: SAGA takes any, ours the one that most follows."""
    for seed in SEEDS:
        low, high = SAGAS[family, seed, "etf"]
        assert 0.79 * low <= own(family, seed, "etf") <= high
