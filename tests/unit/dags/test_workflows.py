"""Workflows of WfCommons: its format in both generations, and graphs in the shape of its recipes."""

import copy
import json
from collections import Counter

import pytest
from refusals import refused

from schedtel.dags.dag import NEVER, Edge
from schedtel.dags.families import is_preset, preset
from schedtel.dags.heuristics import heft
from schedtel.dags.recipes import RECIPES
from schedtel.dags.spec import as_table, graph_of, parse_graph
from schedtel.errors import UsageError


def new():
    """As versions 1.5 and 1.6 have it: three tasks, of which the first writes 5 MB for the second."""
    rows = [("a", "split_1", [], ["b"]), ("b", "work_2", ["a"], []), ("c", "work_3", ["a"], [])]
    tasks = [{"id": i, "name": n, "parents": p, "children": c} for i, n, p, c in rows]
    tasks[0]["outputFiles"] = tasks[1]["inputFiles"] = ["f"]
    runs = [{"id": i, "runtimeInSeconds": s} for i, s in (("a", 0), ("b", 2), ("c", 0.0101))]
    specification = {"tasks": tasks, "files": [{"id": "f", "sizeInBytes": 4_000_001}]}
    return {"schemaVersion": "1.5", "workflow": {"specification": specification, "execution": {"tasks": runs}}}


def old():
    """The same as versions 1.0 to 1.4 have it."""
    tasks = [
        {"name": "a", "category": "split", "runtime": 0, "parents": [], "files": [file("output")]},
        {"name": "b", "category": "work", "runtimeInSeconds": 2, "parents": ["a"], "files": [file("input")]},
        {"name": "c", "id": "ID3", "category": "work", "runtime": 0.0101, "parents": ["a"]},
    ]
    return {"schemaVersion": "1.4", "workflow": {"tasks": tasks}}


def file(link):
    return {"link": link, "name": "f", "sizeInBytes": 4_000_001}


def read(tmp_path, table, seed=""):
    path = tmp_path / "w.json"
    path.write_text(json.dumps(table))
    return graph_of(f"{path}{seed}")


@pytest.mark.parametrize("table", [new(), old(), {"workflow": {"jobs": old()["workflow"]["tasks"]}}])
def test_both_generations_are_read(tmp_path, table):
    dag = read(tmp_path, table)
    assert dag.jobs == ("a", "b", "c")
    assert [times[0] for times in dag.times] == [1, 2_000, 11]  # in whole ms, at least one
    assert set(dag.edges) == {Edge(0, 1, 5), Edge(0, 2, 0)}  # a gigabyte a second
    assert (dag.unit, dag.name) == ("ms", "w.json")
    assert "drawn by seed 0" in dag.note


def test_the_seed_says_which_times_a_gpu_has(tmp_path):
    draws = [read(tmp_path, new(), f"@{seed}") for seed in range(40)]
    assert read(tmp_path, new(), "@7") == draws[7]
    assert {dag.times[1][0] for dag in draws} == {2_000}
    on_gpu = [dag.times[1][1] for dag in draws]
    assert 2 < on_gpu.count(NEVER) < 20
    known = [time for time in on_gpu if time != NEVER]
    assert 2_000 / 30 - 1 <= min(known) < 200 < 1_000 < max(known) <= 4_000
    assert len(set(known)) == len(known)


def test_a_kind_of_task_has_one_speed_up(tmp_path):
    table = new()
    table["workflow"]["execution"]["tasks"][2]["runtimeInSeconds"] = 2
    for seed in range(8):
        dag = read(tmp_path, table, f"@{seed}")
        assert dag.times[1] == dag.times[2]


def changed(path, value, table=None):
    """The table with another value, or without one, at a path."""
    found = copy.deepcopy(table or new())
    *before, last = path.split(".")
    inner = found
    for key in before:
        inner = inner[int(key) if key.isdigit() else key]
    if value is ...:
        del inner[last]
    else:
        inner[int(last) if last.isdigit() else last] = value
    return found


TASK, RUN, FILE = "workflow.specification.tasks.1", "workflow.execution.tasks.1", "workflow.specification.files.0"
REFUSED = [
    (changed("workflow", 7), "workflow is not there, or no object"),
    (changed("workflow", {}), "jobs are not there"),
    (changed("workflow.execution", ...), "execution, which has the times, is not there"),
    (changed("workflow.execution.tasks", []), "tasks are not there"),
    (changed("workflow.specification.tasks", {}), "tasks are not there"),
    (changed("workflow.specification.tasks", [7]), "one of tasks is not there, or no object"),
    (changed("workflow.specification.tasks", [{"id": f"t{n}"} for n in range(2_001)]), "it has 2001 tasks"),
    (changed(f"{TASK}.id", ...), "one id is missing"),
    (changed(f"{TASK}.id", "zz"), "'zz' was not executed"),
    (changed(f"{TASK}.id", "a"), "two of its tasks are called 'a'"),
    (changed(f"{TASK}.parents", ["zz"]), "no task is called 'zz'"),
    (changed(f"{TASK}.parents", "a"), "no list of texts"),
    (changed(f"{TASK}.parents", [7]), "no list of texts"),
    (changed(f"{TASK}.children", ["a"]), "wait for each other"),
    (changed(f"{TASK}.children", ["b"]), "wait for each other: b → b"),
    (changed(f"{RUN}.runtimeInSeconds", -1), "a task takes -1 s"),
    (changed(f"{RUN}.runtimeInSeconds", ...), "a task takes None s"),
    (changed(f"{RUN}.runtimeInSeconds", float("nan")), "a task takes nan s"),
    (changed(f"{RUN}.runtimeInSeconds", 10**400), "a task takes 1000"),
    (changed(f"{RUN}.runtimeInSeconds", True), "a task takes True s"),
    (changed(f"{FILE}.sizeInBytes", -1), "a file has -1 bytes"),
    (changed(f"{FILE}.sizeInBytes", 1.5), "a file has 1.5 bytes"),
    (changed("workflow.tasks.1.parents", ["b"], old()), "wait for each other: b → b"),
    (changed("workflow.tasks.1.name", "ID3", old()), "two of its tasks are called 'ID3'"),
    (changed("workflow.tasks.0.runtime", "1", old()), "a task takes 1 s"),
    (changed("workflow.tasks.0.files", [7], old()), "one of files is not there, or no object"),
]


@pytest.mark.parametrize(("table", "why"), REFUSED)
def test_what_is_no_workflow_is_refused(tmp_path, table, why):
    assert why in refused(UsageError, read, tmp_path, table)


def test_a_file_of_another_kind_has_nothing_to_draw(tmp_path):
    table = {"devices": {"cpu": 1}, "jobs": {"a": {"cpu": 1}}}
    assert read(tmp_path, table).jobs == ("a",)
    assert "leave @3 out" in refused(UsageError, read, tmp_path, table, "@3")
    (tmp_path / "w.json").write_text(" " * (17 << 20))
    assert "larger than 16 MiB" in refused(UsageError, graph_of, str(tmp_path / "w.json"))


def kinds_of(dag):
    return [job.rstrip("0123456789") for job in dag.jobs]


#: Jobs and edges of instances that wfcommons 1.6 generates from its recipes, without its own source and sink.
SHAPES = {
    "montage-2": (58, 114),
    "epigenomics-9": (41, 48),
    "epigenomics-17": (73, 88),
    "blast-40": (43, 120),
    "seismology-100": (101, 100),
    "genome-2": (52, 76),
    "srasearch-10": (22, 30),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_recipe_has_the_shape_that_wfcommons_generates(name):
    dag = preset(name)
    assert (len(dag.jobs), len(dag.edges)) == SHAPES[name]
    assert "all times are drawn by seed 0" in dag.note


def test_montage_compares_images_that_touch():
    counts = Counter(kinds_of(preset("montage-2")))
    assert counts == {
        "mProject": 12,
        "mDiffFit": 18,
        "mConcatFit": 3,
        "mBgModel": 3,
        "mBackground": 12,
        "mImgtbl": 3,
        "mAdd": 3,
        "mViewer": 4,
    }
    assert Counter(kinds_of(preset("montage-3")))["mDiffFit"] == 3 * 20


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_as_large_as_it_may_be_and_no_larger(name):
    most = RECIPES[name][2]
    assert len(preset(f"{name}-{most}").jobs) <= 2_000
    for width in (0, most + 1):
        refused(UsageError, preset, f"{name}-{width}")


def test_times_of_a_recipe_are_its_seeds():
    one, other = preset("genome-2@1"), preset("genome-2@2")
    assert one == preset("genome-2@1")
    assert one.edges != other.edges
    assert one.times != other.times
    assert all(14 <= times[0] <= 501 for times in one.times)
    assert is_preset("genome-2@1")
    assert not is_preset("wait@1")
    assert "its seed is 9999999999" in refused(UsageError, preset, "genome-2@9999999999")


def test_a_table_keeps_the_note():
    dag = preset("montage-2@3")
    assert parse_graph(as_table(dag), "x") == dag
    assert heft(dag).makespan(dag) >= dag.least_makespan
