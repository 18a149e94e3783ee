"""Graphs from files and presets; what cannot be one is refused in one line."""

import json

import pytest
from refusals import refused

from schedtel.dags.dag import MOST_JOBS, NEVER, Dag, Edge, Kind
from schedtel.dags.families import FAMILIES, preset
from schedtel.dags.fingerprint import FEATURES, distance, families, fingerprint, how_near
from schedtel.dags.spec import graph_of, parse_graph
from schedtel.errors import UsageError

TEXT = """
name = "three"
unit = "ms"
[devices]
cpu = 2
gpu = { count = 2, memory = "own" }
[jobs]
print = { cpu = 1, after = ["solve"] }
load  = { cpu = 3 }
solve = { cpu = 40, gpu = 2, after = { load = 1 } }
"""


def test_a_file_says_what_the_graph_is(tmp_path):
    path = tmp_path / "three.toml"
    path.write_text(TEXT)
    dag = graph_of(str(path))
    assert dag.jobs == ("print", "load", "solve")
    assert dag.times == ((1, NEVER), (3, NEVER), (40, 2))
    assert set(dag.edges) == {Edge(2, 0, 0), Edge(1, 2, 1)}
    assert [dag.jobs[job] for job in dag.order] == ["load", "solve", "print"]
    assert dag.device_names == ("cpu0", "cpu1", "gpu0", "gpu1")
    assert dag.place_of == (0, 0, 1, 2)
    assert dag.least_makespan == 3 + 2 + 1
    import tomllib  # noqa: PLC0415

    (tmp_path / "three.json").write_text(json.dumps(tomllib.loads(TEXT)))
    assert graph_of(str(tmp_path / "three.json")) == dag


def table(**changes):
    found = {"devices": {"cpu": 1, "gpu": 1}, "jobs": {"a": {"cpu": 1}, "b": {"gpu": 2, "after": ["a"]}}}
    return found | changes


REFUSED = [
    ({"jobs": {"a": {"cpu": 1, "after": ["b"]}, "b": {"cpu": 1, "after": ["a"]}}}, "wait for each other: b → a → b"),
    ({"jobs": {"a": {"cpu": 1, "after": ["a"]}}}, "wait for each other: a → a"),
    ({"jobs": {"a": {"after": {}}}}, "no device can run job 'a'"),
    ({"jobs": {"a": {"tpu": 1}}}, "unknown field 'tpu'"),
    ({"jobs": {"a": {"cpu": 0}}}, "takes 0"),
    ({"jobs": {"a": {"cpu": -1}}}, "leave a kind out"),
    ({"jobs": {"a": {"cpu": True}}}, "no whole number"),
    ({"jobs": {"a": {"cpu": 1.5}}}, "no whole number"),
    ({"jobs": {"a": {"cpu": 10**12}}}, "takes 1000000000000"),
    ({"jobs": {"a": {"cpu": 1, "after": ["zz"]}}}, "no job is called 'zz'"),
    ({"jobs": {"a": {"cpu": 1}, "b": {"cpu": 1, "after": ["a", "a"]}}}, "names a job twice"),
    ({"jobs": {"a": {"cpu": 1}, "b": {"cpu": 1, "after": {"a": -1}}}}, "takes -1"),
    ({"jobs": {"a": {"cpu": 1, "after": 7}}}, "no list and no table"),
    ({"jobs": {}}, "no table, or empty"),
    ({"jobs": []}, "no table, or empty"),
    ({"devices": {"cpu": 0, "gpu": 1}}, "there are 0 of them"),
    ({"devices": {"cpu": 40, "gpu": 40}}, "80 devices"),
    ({"devices": {"cpu": {"count": 1, "memory": "far"}, "gpu": 1}}, "none of shared, own"),
    ({"devises": {}}, "unknown field 'devises'"),
    ({"name": 7}, "must be texts"),
    ({"name": "x" * 101}, "must be texts"),
]


@pytest.mark.parametrize(("changes", "why"), REFUSED)
def test_what_is_no_graph_is_refused(changes, why):
    assert why in refused(UsageError, parse_graph, table(**changes), "x")


def test_a_graph_has_so_many_jobs_at_most():
    jobs = {f"j{number}": {"cpu": 1} for number in range(MOST_JOBS + 1)}
    assert "2001 jobs" in refused(UsageError, parse_graph, table(jobs=jobs), "x")


@pytest.mark.parametrize(
    "name", ["no-such", "cholesky-0", "cholesky-17", "cholesky", "lu-4-readys", "/no/such.toml", "x.json"]
)
def test_what_is_no_preset_and_no_file_is_refused(name):
    refused(UsageError, graph_of, name)


def test_a_file_that_is_no_toml_and_no_json_is_refused(tmp_path):
    for name in ("x.toml", "x.json"):
        (tmp_path / name).write_bytes(b"\xff{[")
        refused(UsageError, graph_of, str(tmp_path / name))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    refused(UsageError, graph_of, str(tmp_path / "deep.json"))


#: How many jobs of each kernel such a factorisation has, from the literature, for T = 4.
COUNTS = {
    "cholesky": {"potrf": 4, "trsm": 6, "syrk": 6, "gemm": 4},
    "lu": {"getrf": 4, "trsm": 12, "gemm": 14},
    "qr": {"geqrt": 4, "unmqr": 6, "tsqrt": 6, "tsmqr": 14},
    "gemm": {"gemm": 64},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_the_jobs_of_the_literature(family):
    dag = preset(f"{family}-4")
    kernels = [job.rstrip("0123456789") for job in dag.jobs]
    assert {kernel: kernels.count(kernel) for kernel in kernels} == COUNTS[family]


def test_fingerprints_know_a_family():
    prints = {name: fingerprint(preset(name)) for name in ("cholesky-4", "cholesky-5", "cholesky-6", "gemm-4", "wait")}
    assert all(len(one) == len(FEATURES) for one in prints.values())
    assert distance(prints["cholesky-4"], prints["cholesky-4"]) == 0
    assert how_near(0.0) == "alike"
    found = families(prints)
    assert found["cholesky-4"] == found["cholesky-5"] == found["cholesky-6"]
    assert len({found["cholesky-4"], found["gemm-4"], found["wait"]}) == 3


def test_a_fingerprint_knows_no_names_and_no_unit():
    dag = preset("cholesky-4")
    other = Dag(
        "other",
        dag.kinds,
        tuple(f"x{n}" for n in range(len(dag.jobs))),
        tuple(tuple(10 * t for t in row) for row in dag.times),
        tuple(Edge(e.before, e.after, 10 * e.transfer) for e in dag.edges),
        "s",
    )
    assert fingerprint(other) == fingerprint(dag)
    assert distance(fingerprint(dag.with_devices({"gpu": 4})), fingerprint(dag)) > 0.5


def test_kinds_have_a_bounded_number_of_devices():
    refused(UsageError, Kind, "cpu", 0)
    refused(UsageError, preset("wait").with_devices, {"tpu": 1})
