"""Experiments in TOML, and the order of their runs."""

import json
from collections import Counter

import pytest

from schedtel.errors import UsageError
from schedtel.experiments.design import cells
from schedtel.experiments.spec import read_spec, spec_of

TABLE = {"workloads": ["web", "pipe"], "schedulers": ["eevdf", "policy:hog:idle", "placebo"], "repeats": 4}


def spec(**changes):
    return spec_of({**TABLE, **changes}, "the experiment")


def test_every_workload_runs_under_every_arm_in_every_repeat_with_the_seed_of_its_pair():
    made = cells(spec())
    assert len(made) == len({cell.key for cell in made}) == 24
    assert Counter((c.workload, c.scheduler) for c in made) == dict.fromkeys(
        [(w, s) for w in TABLE["workloads"] for s in TABLE["schedulers"]], 4
    )
    seeds = {(c.workload, c.repeat): set() for c in made}
    for cell in made:
        seeds[cell.workload, cell.repeat].add(cell.seed)
    assert all(len(each) == 1 for each in seeds.values())
    assert len(set.union(*seeds.values())) == 8


def test_repeats_are_blocks_in_random_order_and_more_of_them_change_nothing():
    made = cells(spec())
    assert [c.repeat for c in made] == [n for n in (1, 2, 3, 4) for _ in range(6)]
    orders = {tuple((c.workload, c.scheduler) for c in made[at : at + 6]) for at in range(0, 24, 6)}
    assert len(orders) > 1
    assert cells(spec(repeats=6))[:24] == made
    assert cells(spec(seed=2)) != made


def test_repeats_may_have_one_plan():
    made = cells(spec(same_seed=True))
    seeds = {workload: {cell.seed for cell in made if cell.workload == workload} for workload in TABLE["workloads"]}
    assert [len(each) for each in seeds.values()] == [1, 1]
    assert seeds["web"] != seeds["pipe"]
    assert spec(same_seed=True).digest() != spec().digest()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workload": ["web"]}, "unknown field 'workload'"),
        ({"schedulers": ["eevdf", "eevdf"]}, "'eevdf' twice"),
        ({"schedulers": ["placebo"]}, "the first scheduler is placebo"),
        ({"schedulers": ["evdf"]}, "evdf"),
        ({"workloads": []}, "a list of one or more"),
        ({"workloads": [3]}, "a list of names"),
        ({"repeats": 0}, "repeats is 0"),
        ({"duration": "1s", "settle": "2s"}, "settle is as long as a run"),
        ({"repeats": 10_000, "workloads": [str(n) for n in range(20)]}, "more than 100,000 runs"),
        ({"classes": {"short": []}}, "a list of one or more"),
    ],
)
def test_what_is_no_experiment_is_refused_in_one_line(changes, said):
    with pytest.raises(UsageError) as caught:
        spec(**changes)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", [b"workloads = [", b"\xff", b"x" * (2 << 20)])
def test_a_file_that_is_no_toml_is_refused(tmp_path, text):
    path = tmp_path / "spec.toml"
    path.write_bytes(text)
    with pytest.raises(UsageError, match=r"^cannot read .*spec\.toml"):
        read_spec(path)


def test_runs_of_another_experiment_are_told_apart_and_more_repeats_are_the_same_one():
    assert spec().digest() == spec(repeats=9, title="x").digest()
    assert spec().digest() != spec(seed=9).digest()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"title": "a b", "seed": 2**63 - 1, "duration": "1.5s", "settle": "0s"},
        {"duration": "3ns", "settle": "2ns", "classes": {"short": ["job", "x y"], "hog": ["hog"]}},
        {"schedulers": ["policy:comm=a b:slice=0.1ms+nice=5", "placebo"], "workloads": ["./a.toml", "web"]},
        {"same_seed": True, "repeats": 3},
    ],
)
def test_the_table_of_an_experiment_describes_the_same_one(changes):
    found = spec(**changes)
    assert spec_of(json.loads(json.dumps(found.table())), "x") == found
    assert cells(spec_of(found.table(), "x")) == cells(found)
