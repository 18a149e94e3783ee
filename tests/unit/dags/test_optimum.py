"""Optima: against all schedules of small graphs, and against figures that others found."""

import graphs
import numpy as np
import pytest

from schedtel.dags import heuristics
from schedtel.dags.dag import Dag, Edge, Kind
from schedtel.dags.families import preset
from schedtel.dags.heuristics import HEURISTICS, cpop, heft, peft
from schedtel.dags.noise import draw_factors, replayed
from schedtel.dags.optimum import optimum
from schedtel.dags.schedule import Schedule, broken_rules, check

pytest.importorskip("ortools", reason="OR-Tools is not installed (pip install 'schedtel[learn]')")


def solved(dag, limit_s=30):
    return optimum(dag, limit_s, heft(dag))


def test_the_graph_that_needs_a_wait():
    """The optimum is 13 by every assignment and order; who never waits has at least 16."""
    dag = preset("wait")
    assert graphs.least_makespan(dag) == 13
    assert graphs.least_without_waiting(dag) == 16
    found = solved(dag)
    assert (found.makespan, found.proven) == (13, True)
    assert broken_rules(dag, found.schedule) == []
    found = {name: heuristic(dag).makespan(dag) for name, heuristic in HEURISTICS.items()}
    assert found.pop("peft") == 13  # it looks ahead, and leaves the CPU idle while a job is ready
    assert min(found.values()) == 16


@pytest.mark.parametrize("seed", range(8))
def test_it_is_the_best_of_all_schedules(seed):
    dag = graphs.random_graph(np.random.default_rng(seed), 4, cpus=1, gpus=1 + seed % 2, own=seed % 4 == 3)
    found = solved(dag)
    assert found.proven
    assert found.makespan == graphs.least_makespan(dag)
    assert found.bound >= dag.least_makespan


@pytest.mark.parametrize("seed", range(12))
def test_no_heuristic_breaks_a_rule_or_is_below_the_optimum(seed):
    dag = graphs.random_graph(np.random.default_rng(100 + seed), 12, gpus=2, own=seed % 2 == 0)
    least = solved(dag).makespan
    for heuristic in HEURISTICS.values():
        schedule = heuristic(dag)
        assert broken_rules(dag, schedule) == []
        assert schedule.makespan(dag) >= least >= dag.least_makespan


#: Proven with another model of the same graphs.
@pytest.mark.parametrize(
    ("name", "devices", "by_heft", "least"),
    [
        ("cholesky-4", {}, 306, 276),
        ("cholesky-5", {}, 486, 403),
        ("cholesky-4-readys", {}, 83, 74),
    ],
)
def test_tiled_cholesky(name, devices, by_heft, least):
    dag = preset(name).with_devices(devices)
    assert heft(dag).makespan(dag) == by_heft
    found = solved(dag)
    assert (found.makespan, found.proven) == (least, True)


def test_heft_on_larger_ones():
    """Their optima, 597 and 193, take CP-SAT ten seconds: docs/dags.md has them."""
    assert heft(preset("cholesky-6")).makespan(preset("cholesky-6")) == 730
    readys = preset("cholesky-6-readys").with_devices({"cpu": 3, "gpu": 1})
    assert heft(readys).makespan(readys) == 254


def published(rows, links):
    """A graph of a paper: ten jobs with a time on each of three processors, and edges with their transfers."""
    times = tuple(tuple(map(int, row.split())) for row in rows.split(","))
    edges = tuple(Edge(a - 1, b - 1, t) for a, b, t in (map(int, link.split()) for link in links.split(",")))
    kinds = tuple(Kind(f"p{number}", 1) for number in (1, 2, 3))
    return Dag("published", kinds, tuple(f"n{number}" for number in range(1, 11)), times, edges)


def test_the_example_of_the_paper_of_heft():
    """Topcuoglu et al. 2002, figure 2."""
    dag = published(
        "14 16 9,13 19 18,11 13 19,13 8 17,12 13 10,13 16 9,7 15 11,5 11 14,18 12 20,21 7 16",
        "1 2 18,1 3 12,1 4 9,1 5 11,1 6 14,2 8 19,2 9 16,3 7 23,4 8 27,4 9 23,5 9 13,6 8 15,7 10 17,8 10 11,9 10 13",
    )
    assert heft(dag).makespan(dag) == 80
    assert cpop(dag).makespan(dag) == 86
    assert solved(dag).makespan <= 80


def test_the_example_of_the_paper_of_peft(monkeypatch):
    """Arabnejad and Barbosa 2014, figure 1 and tables 2 and 3; there a transfer counts whole between processors."""
    dag = published(
        "22 21 36,22 18 18,32 27 43,7 10 4,29 27 35,26 17 24,14 25 30,29 23 36,15 21 8,13 16 33",
        "1 2 17,1 3 31,1 4 29,1 5 13,1 6 7,2 8 3,2 9 30,3 7 16,4 8 11,4 9 7,5 9 57,6 8 5,7 10 9,8 10 42,9 10 7",
    )
    assert peft(dag).makespan(dag) == 122
    assert heft(dag).makespan(dag) == 133
    monkeypatch.setattr(heuristics, "share_apart", lambda _: 1.0)
    assert peft(dag).makespan(dag) == 122
    assert heft(dag).makespan(dag) == 133


def test_each_rule_is_judged():
    dag = preset("wait")
    right = solved(dag).schedule
    assert broken_rules(dag, right) == []
    later = tuple(start + 100 * job for job, start in enumerate(right.starts))
    assert broken_rules(dag, Schedule(right.devices, later)) == []
    for devices, starts, why in (
        ((0, 0, 0, 0), (0, 1, 30, 50), "are on one device"),
        ((0, 1, 1, 1), (0, 0, 7, 20), "made arrives at 8"),
        ((0, 1, 0, 9), (0, 0, 3, 20), "which is not there"),
        ((0, 1, 0, 0), (-1, 0, 3, 20), "starts before 0"),
        ((0, 1), (0, 0), "another number of jobs"),
    ):
        assert why in broken_rules(dag, Schedule(devices, starts))[0]
        with pytest.raises(ValueError, match=why):
            check(dag, Schedule(devices, starts))


def test_an_order_that_is_kept_without_noise_is_the_schedule():
    dag = preset("cholesky-4")
    schedule = heft(dag)
    assert replayed(dag, schedule, np.ones((2, len(dag.jobs)))).tolist() == [306, 306]
    factors = draw_factors(len(dag.jobs), 200, 0.2, 1)
    assert (np.abs(factors - 1) <= 0.2).all()
    noisy = replayed(dag, schedule, factors)
    assert 306 * 0.8 <= noisy.min() < noisy.max() <= 306 * 1.2 + len(dag.jobs)
    assert len(set(noisy.tolist())) > 20


def test_under_noise_each_schedule_is_one_that_can_be():
    """With the times that were drawn as its own, the replayed makespan is that of a schedule the checker accepts."""
    dag = graphs.random_graph(np.random.default_rng(5), 10)
    schedule = heft(dag)
    slower = np.full((1, len(dag.jobs)), 2.0)
    twice = Dag(
        "twice", dag.kinds, dag.jobs, tuple(tuple(t * 2 if t > 0 else t for t in row) for row in dag.times), dag.edges
    )
    makespan = int(replayed(dag, schedule, slower)[0])
    assert makespan >= solved(twice).makespan
