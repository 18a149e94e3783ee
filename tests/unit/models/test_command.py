"""The command `models`: from weights to a version, and what it refuses."""

import json
import pickle
import sys

import pytest

pytest.importorskip("numba", reason="numba is not installed (pip install 'schedtel[sim]')")
pytest.importorskip("safetensors", reason="safetensors is not installed (pip install 'schedtel[agent]')")
import hand_made

from schedtel.models.weights import weights_bytes


@pytest.fixture
def models(run, tmp_path):
    """Run a command of `models` on a registry of the test."""
    return lambda *words: run("models", *words, "--registry", tmp_path / "registry")


@pytest.fixture
def files(tmp_path):
    """Weights by hand: the job that ends first; the one that leads to the longest way; another place is never asked."""
    made = {"first": hand_made.scorer(), "longest": hand_made.scorer(time=0.0, arrival=0.0, tail=1.0)}
    made["patient"] = hand_made.scorer(tail=0.3, wait=-0.6)
    for name, arrays in made.items():
        (tmp_path / f"{name}.safetensors").write_bytes(weights_bytes(arrays))
    return {name: str(tmp_path / f"{name}.safetensors") for name in made}


def test_from_weights_to_a_version_and_back(models, files):
    """Who always places the job that ends first never waits, so 16 is the best there is for `wait`."""
    words = ("update", "m", files["first"], "--graph", "wait", "--graph", "cholesky-4", "--format", "json")
    status, out, err = models(*words)
    first = json.loads(out)
    assert (status, err, first["accepted"]) == (0, "", True)
    assert first["after"]["wait"] == 16
    assert first["after"]["cholesky-4"] > 276  # the optimum
    status, out, _ = models("update", "m", files["longest"])
    assert status == 1
    assert "m stays as it was" in out
    status, out, _ = models("update", "m", files["longest"], "--threshold", "10")
    assert (status, "is" in out) == (0, True)
    assert "history" in models("show", "m")[1]
    assert models("rollback", "m") == (0, f"m is {first['version'][:12]} again\n", "")
    assert json.loads(models("show", first["version"][:9], "--format", "json")[1])["weights"]
    assert "cholesky-4" in models("list")[1]
    near = json.loads(models("pick", "cholesky-5", "--format", "json")[1])["models"]
    assert [(one["name"], one["graph"], one["is"]) for one in near] == [("m", "cholesky-4", "near")]
    assert models("split", "m")[1] == "m stays whole: no version that it comes from is better on a graph\n"
    assert models("verify") == (0, "nothing is damaged and nothing is missing\n", "")


def test_models_that_were_trained_on_from_one_are_merged(models, files):
    assert models("update", "base", files["first"], "--graph", "wait")[0] == 0
    assert models("update", "other", files["longest"], "--from", "base", "--threshold", "10")[0] == 0
    status, out, _ = models("merge", "both", "base", "other", "--threshold", "10", "--format", "json")
    assert (status, json.loads(out)["accepted"]) == (0, True)
    assert models("update", "stranger", files["longest"], "--graph", "wait")[0] == 0
    status, _, err = models("merge", "none", "base", "stranger", "--method", "average")
    assert (status, "no common ancestor" in err) == (2, True)


def test_strangers_are_merged_into_a_network_that_does_as_well_as_each_on_its_graph(models, files):
    """Who waits where it should has 13 on `wait`; who never does has 16 at best, and another cost elsewhere."""
    pytest.importorskip("torch", reason="torch is not installed (pip install 'schedtel[learn]')")
    assert models("update", "patient", files["patient"], "--graph", "wait")[0] == 0
    assert models("update", "first", files["first"], "--graph", "cholesky-3")[0] == 0
    status, out, _ = models("merge", "both", "patient", "first", "--threshold", "0", "--format", "json")
    told = json.loads(out)
    assert (status, told["accepted"], told["before"]["wait"]) == (0, True, 13)
    assert told["after"] == told["before"]
    assert "distil" in models("show", "both")[1]


def test_without_torch_strangers_are_not_merged_and_it_is_said_why(models, files, monkeypatch):
    assert models("update", "patient", files["patient"], "--graph", "wait")[0] == 0
    assert models("update", "first", files["first"], "--graph", "cholesky-3")[0] == 0
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "schedtel.training.learner.distilling", raising=False)
    status, out, err = models("merge", "both", "patient", "first", "--method", "distil")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "cannot distil: torch is not installed (pip install 'schedtel[learn]')" in err


def test_what_is_damaged_is_found_and_not_used(models, files, tmp_path):
    assert models("update", "m", files["first"], "--graph", "wait")[0] == 0
    path = next((tmp_path / "registry" / "weights").iterdir())
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for words in (("show", "m"), ("rollback", "m", "--to", "00000000")):
        status, out, err = models(*words)
        assert (status, out, err.count("\n")) == (2, "", 1)
    status, out, _ = models("verify")
    assert status == 1
    assert "are not those that were written" in out


def test_bad_input_is_one_line_and_changes_nothing(models, files, tmp_path):
    (tmp_path / "pickled").write_bytes(pickle.dumps([1]))
    (tmp_path / "small").write_bytes(
        weights_bytes({"0.weight": hand_made.scorer()["0.weight"][:, :3], "0.bias": hand_made.scorer()["0.bias"]})
    )
    for words, why in {
        ("update", "m", str(tmp_path / "pickled"), "--graph", "wait"): "no file of safetensors",
        ("update", "m", str(tmp_path / "small"), "--graph", "wait"): "it has 3 inputs and 1 outputs",
        ("update", "m", files["first"]): "no graph is known",
        ("update", "M", files["first"], "--graph", "wait"): "cannot call a model",
        ("update", "m", files["first"], "--graph", "no-such"): "no preset",
        ("merge", "m", "a", "b"): "cannot find model",
        ("show", "m"): "cannot find model",
        ("split", "m"): "cannot find model",
        ("rollback", "m"): "cannot find model",
    }.items():
        status, out, err = models(*words)
        assert (status, out, err.count("\n")) == (2, "", 1), (words, err)
        assert why in err
    assert models("list")[0] == 0
    assert models("verify")[0] == 0
