"""`make datasets-oracle` in a small form: runs in a guest and on this machine, and networks that learn from both."""

import os
import subprocess
from pathlib import Path

import pytest
from kernels import UnavailableError

from schedtel.lab import jobs, packages
from schedtel.oracle.dataset import Dataset
from schedtel.oracle.evaluation import POINTER, RECURRENT
from schedtel.oracle.models import load_model
from schedtel.oracle.page import PARTS, read_evaluation

ROOT = Path(__file__).parents[2]
#: One guest, two short runs of a workload, and networks that hardly learn.
SMALL = {
    "FIRST": "pipe sensors",
    "SECOND": "",
    "LIVE": "pipe",
    "RUNS": "2",
    "GUEST_RUN": "500ms",
    "LIVE_RUN": "500ms",
    "FORECASTS": "40",
    "SEEDS": "1",
    "EPOCHS": "1",
}
PATIENCE_S = 900


@pytest.fixture
def made(tmp_path):
    """The folder that the command has filled. What it needs is installed already, so nothing is installed again."""
    if os.geteuid():
        pytest.skip("to record this machine's events needs root")
    pytest.importorskip("torch", reason="needs torch, of the extra learn")
    try:
        jobs.machine(packages.DEFAULT_KERNEL, 2)
    except UnavailableError as reason:
        pytest.skip(str(reason))
    folder = tmp_path / "oracle"
    folder.mkdir()
    words = [f"{name}={value}" for name, value in {**SMALL, "ORACLE": folder, "KEPT": tmp_path / "kept"}.items()]
    command = ["make", "--old-file", ".venv/.env", "PIP=true", "datasets-oracle", *words]
    subprocess.run(command, cwd=ROOT, check=True, timeout=PATIENCE_S)
    return folder


def test_one_command_makes_both_datasets_a_model_of_both_its_evaluation_and_its_page(made):
    guests, live = Dataset(made / "guests"), Dataset(made / "live")
    assert (guests.workloads, live.workloads) == (("pipe", "sensors"), ("pipe",))
    assert "others" in live.card["note"]
    assert live.card["kernel"] == os.uname().release != guests.card["kernel"]
    learned = [entry.digest for each in (guests, live) for entry in each.entries if entry.is_for_training]
    assert list(load_model(made / "model.safetensors").learned_from) == learned
    judged = read_evaluation(str(made / "evaluation.json"))["datasets"]
    assert [one["kernel"] for one in judged] == [guests.card["kernel"], live.card["kernel"]]
    for one in judged:
        assert list(one["parts"]) == list(PARTS)
        for name, part in one["parts"].items():
            networks = {POINTER} if name == "datasets" else {POINTER, *RECURRENT}
            assert networks | {"markov2"} <= {row["forecaster"] for row in part["all"]["rows"]}
    assert "<h1>" in (made / "evaluation.html").read_text()
