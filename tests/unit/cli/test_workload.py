"""The command `workload`, as far as nothing is run."""

import json

import pytest

from schedtel.workloads.plan import make_plan
from schedtel.workloads.presets import preset_names, preset_text
from schedtel.workloads.spec import load_workload


def test_list_names_every_preset_with_what_it_is(run):
    status, out, err = run("workload", "list")
    assert (status, err) == (0, "")
    for name in preset_names():
        (line,) = [line for line in out.splitlines() if line.split()[0] == name]
        assert load_workload(name).description in line
    assert set(json.loads(run("workload", "list", "--format", "json")[1])) >= set(preset_names())


def test_show_prints_the_file_with_its_comments(run):
    assert run("workload", "show", "web") == (0, preset_text("web"), "")
    assert preset_text("web").startswith("# ")
    assert json.loads(run("workload", "show", "web", "--format", "json")[1])["classes"][0]["workers"] == 64


def test_plan_prints_the_digest_and_every_job(run):
    expected = make_plan(load_workload("web").with_options(7, 2_000_000_000))
    words = ("workload", "plan", "web", "--seed", "7", "-d", "2s")
    assert expected.sha256 in run(*words)[1]
    assert json.loads(run(*words, "--format", "json")[1])["sha256"] == expected.sha256
    jobs = [json.loads(line) for line in run(*words, "--format", "ndjson")[1].splitlines()]
    assert [(job["at_ns"], job["work_ns"]) for job in jobs] == expected.jobs[["at_ns", "work_ns"]].tolist()
    assert {job["class"] for job in jobs} == {"request", "hog"}


def test_a_file_is_planned_as_a_preset_is(run, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(preset_text("web"))
    assert run("workload", "plan", path) == run("workload", "plan", "web")


@pytest.mark.parametrize("command", ["plan", "show"])
def test_what_is_no_workload_is_one_line_and_status_2(run, command):
    status, out, err = run("workload", command, "wep")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "did you mean 'web'" in err
