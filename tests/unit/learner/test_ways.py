"""The experiment on ways of learning, in its small form: rows, intervals and the model of more workers, on paper."""

import pytest

pytest.importorskip("torch", reason="torch is not installed (pip install 'schedtel[learn]')")

import numpy as np

from schedtel.training.learner.dqn import LEAST
from scripts.ways import runs, scaling, tables
from scripts.ways.runs import Way

SHORT = 2 * 16 * runs.COUNT
WAYS = [Way(), Way("dqn", "gray"), Way("dqn", "shuffled", "whole", "linear")]


def test_there_is_a_row_for_each_seed_of_each_way_and_none_is_made_twice(tmp_path, monkeypatch):
    path = tmp_path / "ways.csv"
    runs.add_rows(path, WAYS[:2], [0], SHORT)
    runs.add_rows(path, WAYS, [0, 1], SHORT)
    rows = runs.rows_in(path)
    assert len(rows) == 6
    for way in WAYS:
        assert len(tables.values(rows, way, "missed")) == 2
        assert (tables.values(rows, way, "steps") >= SHORT).all()
        assert (tables.values(rows, way, "missed") <= 100).all()
    assert np.isfinite(tables.values(rows, WAYS[1], "before")).all()
    assert np.isnan(tables.values(rows, WAYS[2], "before")).all()
    assert tables.text_of(rows).count("\n| `dqn` |") == 4
    monkeypatch.setattr(runs, "figures", None)
    runs.add_rows(path, WAYS, [0, 1], SHORT)


def test_each_way_is_there_once_and_has_settings():
    found = list(runs.ways())
    assert len(found) == len(set(found))
    assert all(way.settings(3).seed == 3 for way in found)


def test_a_late_run_acts_by_the_network_of_so_many_updates_ago(tmp_path):
    way = Way(lag=8)
    run = way.run(way.settings(0, LEAST + 6_000), tmp_path)
    for _ in run:
        pass
    ages = [row["age"] for row in run.rows]
    assert run.algorithm.updates > 16
    assert ages[0] == 0
    assert 8 <= ages[-1] <= 10  # 432 steps of a chunk are 1.7 updates


def test_an_interval_is_students():
    assert tables.interval(np.array([1.0, 2, 3])) == "2.0 [-0.5, 4.5]"  # 4.303 / √3
    assert tables.interval(np.array([1.0, 2, 3]), "+") == "+2.0 [-0.5, +4.5]"
    assert tables.interval(np.array([1.0])) == "-"


def test_no_number_of_workers_is_quicker_than_what_is_done_one_after_another():
    step = scaling.Step("x", 4096, acting=8, keeping=1, learning=2, handing_over=1, bytes=100)
    assert (step.taken(1, waits=True), step.taken(1, waits=False)) == (12, 8)
    assert (step.taken(2, waits=True), step.taken(2, waits=False)) == (8, 4)
    assert step.full == 2
    assert step.taken(10**9, waits=False) == 4
    assert step.taken(10**9, waits=True) == pytest.approx(4)
    assert step.age(2) == 32  # 2 x 4,096 steps, twice each, 512 in an update


def test_what_the_model_is_made_of_is_measured_by_the_code_of_the_processes():
    (step,) = scaling.measured(["PeriodicSim"], rounds=1)
    assert min(step.acting, step.keeping, step.learning, step.handing_over) > 0
    assert step.chunk == 4096
    assert step.bytes > 4 * 100
    assert scaling.text_of([step]).count("\n") > len(scaling.WORKERS)
