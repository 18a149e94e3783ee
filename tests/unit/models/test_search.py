"""A rule that is searched for: judged by what no rule without waiting can have, and by HEFT."""

import json

import pytest

pytest.importorskip("numba", reason="numba is not installed (pip install 'schedtel[sim]')")
pytest.importorskip("safetensors", reason="safetensors is not installed (pip install 'schedtel[agent]')")


def test_a_rule_is_found_and_becomes_a_model(run, tmp_path):
    """It waits where that is the optimum, 13, and is better than HEFT, 486, on a graph that it was not searched on."""
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for file in files:
        status, out, err = run("dag", "search", "wait", "cholesky-3", "cholesky-4", "--rounds", "40", "-o", file)
        assert (status, err) == (0, "")
    assert files[0].read_bytes() == files[1].read_bytes()
    words = ("--graph", "wait", "--graph", "cholesky-5", "--registry", tmp_path / "models", "--format", "json")
    status, out, _ = run("models", "update", "rule", files[0], *words)
    assert status == 0
    assert '"wait": 13.0' in out
    assert 403 <= json.loads(out)["after"]["cholesky-5"] < 486


def test_what_cannot_be_searched_for_is_refused(run, tmp_path):
    for words in (("no-such", "-o", tmp_path / "x"), ("wait", "-o", tmp_path / "no" / "x"), ("wait",)):
        status, out, err = run("dag", "search", *words, "--rounds", "1")
        assert (status, out, err.count("\n")) == (2, "", 1)
