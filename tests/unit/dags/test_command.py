"""The command `dag`: what it prints and what it refuses."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("ortools", reason="OR-Tools is not installed (pip install 'schedtel[learn]')")


def test_solve_shows_each_method_and_draws_the_best(run):
    status, out, err = run("dag", "solve", "wait")
    assert (status, err) == (0, "")
    rows = dict(line.split()[:2] for line in out.splitlines()[1:7])
    assert rows["optimum"] == "13"
    assert rows["heft"] == "16"
    assert "the optimum is 13, proven" in out
    cpu, gpu = out.splitlines()[-2:]
    assert cpu.startswith("cpu0  ")
    assert "|t0" in cpu + gpu


def test_json_has_the_schedule(run):
    found = json.loads(run("dag", "solve", "cholesky-3", "--format", "json", "--devices", "cpu=1,gpu=2")[1])
    assert found["devices"] == ["cpu0", "gpu0", "gpu1"]
    assert found["bound_is_reached"]
    best = found["methods"]["optimum"]
    assert max(job["end"] for job in best["jobs"]) == best["makespan"] == found["bound"]
    assert len(best["jobs"]) == 10


def test_the_same_seed_draws_the_same_noise(run):
    words = ("dag", "solve", "cholesky-4", "--method", "heft", "--noise", "0.2", "--draws", "200", "--format", "json")
    one, two = (json.loads(run(*words)[1])["methods"]["heft"] for _ in range(2))
    assert one == two
    assert 0.8 * one["makespan"] - 1 < one["noisy_makespan_mean"] < one["noisy_makespan_p95"]
    assert one["noisy_makespan_p95"] < 1.2 * one["makespan"] + 1


def test_a_bound_is_told_where_the_optimum_is_not_known(run):
    status, out, _ = run("dag", "solve", "cholesky-4", "--method", "heft")
    assert status == 0
    assert "the optimum is not proven by the longest chain and the least work" in out


def test_names_of_others_do_not_act_on_the_terminal(run, tmp_path):
    jobs = {"\x1b[31mred": {"cpu": 9}}
    (tmp_path / "x.json").write_text(json.dumps({"name": "\x1b[2J", "devices": {"c\npu": 1, "cpu": 1}, "jobs": jobs}))
    status, out, _ = run("dag", "solve", tmp_path / "x.json")
    assert status == 0
    assert "\x1b" not in out


def test_periodic_compares_edf_with_the_most_that_can_be(run):
    words = ("dag", "periodic", "--periods", "875,350,875,350", "--scale", "1", "--optimum", "--format", "json")
    (row,) = json.loads(run(*words)[1])["configurations"]
    assert (row["edf_fused"], row["most"], row["bound"], row["jobs"]) == (14, 14, 14, 14)
    out = run("dag", "periodic", "--scale", "2.0")[1]
    assert "all 81" in out


def test_list_names_the_graphs(run):
    assert "cholesky-T-readys" in run("dag", "list")[1]
    tiled, recipes = (
        {"cholesky", "lu", "qr", "gemm"},
        {"montage", "epigenomics", "blast", "seismology", "genome", "srasearch"},
    )
    assert set(json.loads(run("dag", "list", "--format", "json")[1])["graphs"]) == {"wait"} | tiled | recipes


def test_times_that_are_drawn_are_said_to_be(run):
    words = ("dag", "solve", "srasearch-2@7", "--method", "heft")
    assert "all times are drawn by seed 7, none is measured" in run(*words)[1]
    assert "drawn by seed 7" in json.loads(run(*words, "--format", "json")[1])["note"]


REFUSED = {
    ("solve", "no-such"): "no preset has this name",
    ("solve", "cholesky-99"): "99 tiles a side",
    ("solve", "blast-0"): "it is 0 wide",
    ("solve", "wait", "--devices", "cpu"): "no KIND=COUNT",
    ("solve", "wait", "--devices", "cpu=1,cpu=2"): "there twice",
    ("solve", "wait", "--devices", "tpu=1"): "unknown",
    ("solve", "wait", "--devices", "cpu=0"): "there are 0 of them",
    ("solve", "wait", "--limit", "soon"): "cannot read duration",
    ("solve", "wait", "--method", "best"): "--method",
    ("solve", "wait", "--noise", "2"): "--noise",
    ("periodic", "--optimum"): "81 optima",
    ("periodic", "--periods", "1,2"): "a set of its own",
    ("periodic", "--periods", "x"): "no list of ms",
    ("periodic", "--scale", "0"): "--scale",
}


@pytest.mark.parametrize("words", REFUSED)
def test_bad_input_is_one_line_and_status_2(run, words):
    status, out, err = run("dag", *words)
    assert (status, out) == (2, "")
    assert REFUSED[words] in err
    assert err.count("\n") == 1


def test_without_or_tools_it_says_what_to_install():
    program = "import sys; sys.modules['ortools'] = None; from schedtel.cli import main; main()"
    words = [sys.executable, "-c", program, "dag", "solve", "wait"]
    done = subprocess.run([*words, "--method", "optimum"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'schedtel[learn]'" in done.stderr
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "heft" in done.stdout
    assert "pip install 'schedtel[learn]'" in done.stderr
