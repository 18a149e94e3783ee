"""The dataset, model and evaluation that are committed: they can be read, and belong together."""

import re
from pathlib import Path

import pytest

from schedtel.oracle.dataset import Dataset
from schedtel.oracle.evaluation import refuse_what_was_learned
from schedtel.oracle.models import load_model
from schedtel.oracle.page import read_evaluation, render
from schedtel.oracle.runs import comm_of

FOLDER = Path(__file__).parents[3] / "datasets/oracle"


@pytest.fixture(scope="module")
def dataset():
    return Dataset(FOLDER / "runs")


def test_there_are_14_workloads_with_five_runs_of_each_in_which_others_hardly_run(dataset):
    assert len(dataset.workloads) == 14
    assert max(run["others"] for run in dataset.card["runs"]) < 0.15
    for workload in dataset.workloads:
        sides = [entry.is_for_training for entry in dataset.entries if entry.workload == workload]
        assert sides == [True] * 3 + [False] * 2


def test_the_model_learned_from_the_training_runs_and_from_no_other(dataset):
    model = load_model(FOLDER / "model.safetensors")
    refuse_what_was_learned(dataset, model)
    assert set(model.learned_from) == {entry.digest for entry in dataset.entries if entry.is_for_training}
    assert len(model.networks) >= 5


def test_the_page_is_of_the_evaluation(dataset):
    evaluation = read_evaluation(str(FOLDER / "evaluation.json"))
    assert tuple(evaluation["workloads"]) == dataset.workloads
    assert render(evaluation, "evaluation.json") == (FOLDER / "evaluation.html").read_text()


def test_names_in_it_are_of_the_workload_and_of_the_kernel(dataset):
    own = re.compile(
        "idle|other|workload|kworker/.*|rcu_.*|ksoftirqd/.*|migration/.*|k[a-z]+d[.0-9/]*|hwrng|irq/.*|cpuhp/.*|"
        "request|hog|job|cc|make|pair|ext|key|index|build|draw|watch|lsp|frame|writer|sound|tree|cache|decode|reader|"
        "gyro|accel|wheel|radar|filter|camera|front|search|log|transact|wal|checkpoint|user|poller|backup"
    )
    names = {comm_of(role) for entry in dataset.entries[::5] for role in dataset.read(entry).roles}
    assert {name for name in names if not own.fullmatch(name)} == set()


def test_it_is_small():
    assert sum(path.stat().st_size for path in (FOLDER / "runs").rglob("*") if path.is_file()) <= 2 << 20
    assert (FOLDER / "model.safetensors").stat().st_size <= 1 << 20
