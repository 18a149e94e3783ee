"""The datasets, model and evaluation that are committed: they can be read, and belong together."""

import re
from pathlib import Path

import pytest

from schedtel.oracle.dataset import datasets_at
from schedtel.oracle.evaluation import refuse_what_was_learned
from schedtel.oracle.models import load_model
from schedtel.oracle.page import PARTS, read_evaluation, render
from schedtel.oracle.runs import comm_of

FOLDER = Path(__file__).parents[3] / "datasets/oracle"
NAMES = ("guests", "live")


@pytest.fixture(scope="module")
def datasets():
    return dict(zip(NAMES, datasets_at([str(FOLDER / name) for name in NAMES]), strict=True))


def test_of_each_workload_there_are_three_runs_to_learn_from_and_two_to_test_on(datasets):
    assert [len(datasets[name].workloads) for name in NAMES] == [14, 10]
    for dataset in datasets.values():
        for workload in dataset.workloads:
            sides = [entry.is_for_training for entry in dataset.entries if entry.workload == workload]
            assert sides == [True] * 3 + [False] * 2


def test_others_hardly_run_in_guests_and_much_on_the_machine_and_its_card_says_so(datasets):
    others = {name: [run["others"] for run in datasets[name].card["runs"]] for name in NAMES}
    assert max(others["guests"]) < 0.15
    assert sum(others["live"]) / len(others["live"]) > 0.4
    assert "tasks of other jobs" in datasets["live"].card["note"]


def test_the_model_learned_from_the_training_runs_of_both_and_from_no_other(datasets):
    model = load_model(FOLDER / "model.safetensors")
    for dataset in datasets.values():
        refuse_what_was_learned(dataset, model)
    entries = [entry for dataset in datasets.values() for entry in dataset.entries]
    assert set(model.learned_from) == {entry.digest for entry in entries if entry.is_for_training}
    assert len(model.networks) >= 5


def test_the_page_is_of_the_evaluation(datasets):
    evaluation = read_evaluation(str(FOLDER / "evaluation.json"))
    for told, name in zip(evaluation["datasets"], NAMES, strict=True):
        assert told["name"] == f"datasets/oracle/{name}"
        assert tuple(told["workloads"]) == datasets[name].workloads
        assert list(told["parts"]) == list(PARTS)
    assert render(evaluation, "evaluation.json") == (FOLDER / "evaluation.html").read_text()


def test_names_in_it_are_of_the_workload_and_of_the_kernel(datasets):
    own = re.compile(
        "idle|other|workload|kworker/.*|rcu_.*|ksoftirqd/.*|migration/.*|k[a-z]+d[.0-9/]*|hwrng|irq/.*|cpuhp/.*|"
        "request|hog|job|cc|make|pair|ext|key|index|build|draw|watch|lsp|frame|writer|sound|tree|cache|decode|reader|"
        "gyro|accel|wheel|radar|filter|camera|front|search|log|transact|wal|checkpoint|user|poller|backup"
    )
    names = {
        comm_of(role) for each in datasets.values() for entry in each.entries[::3] for role in each.read(entry).roles
    }
    assert {name for name in names if not own.fullmatch(name)} == set()


def test_they_are_small():
    files = [path for name in NAMES for path in (FOLDER / name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 2 << 20
    assert (FOLDER / "model.safetensors").stat().st_size <= 1 << 20
