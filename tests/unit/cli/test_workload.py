"""The command `workload`, as far as nothing is run."""

import itertools
import json
import shutil

import pytest

from schedtel.workloads.plan import make_plan
from schedtel.workloads.presets import preset_names, preset_text
from schedtel.workloads.spec import load_workload


def test_list_names_every_preset_with_what_it_is(run):
    status, out, err = run("workload", "list")
    assert (status, err) == (0, "")
    for name in preset_names():
        lines = [line for line in out.splitlines() if line.startswith(f"{name} ")]
        assert load_workload(name).description in lines[0]
    assert set(json.loads(run("workload", "list", "--format", "json")[1])["presets"]) == set(preset_names())


def test_list_says_which_programs_of_others_are_missing(run, monkeypatch, tmp_path):
    (tmp_path / "hackbench").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    out = run("workload", "list")[1]
    assert f"hackbench         {tmp_path}/hackbench\n" in out
    assert "rt-app            no (apt install rt-app)\n" in out
    programs = json.loads(run("workload", "list", "--format", "json")[1])["programs"]
    assert {name: path is None for name, path in programs.items()} == {
        name: name != "hackbench" for name in ("stress-ng", "rt-app", "perf bench sched", "hackbench", "schbench")
    }


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


def test_a_replay_takes_one_run_and_not_a_dataset_of_several(run, tmp_path, recording):
    replay = 'duration = "1s"\n[classes.x]\narrival = {{ kind = "recorded", recording = "{}", comm = "{}" }}\n'
    path = tmp_path / "replay.toml"
    path.write_text(replay.format(recording, ""))
    status, out, err = run("workload", "plan", path)
    assert (status, err) == (0, "")
    assert "recorded" in out
    path.write_text(replay.format(recording, "no such name"))
    assert "no task 'no such name' arrived in" in run("workload", "plan", path)[2]
    for table, host in itertools.product(("summary", "tasks", "cpus"), "ab"):
        shutil.copytree(recording / table, tmp_path / "fleet" / table / f"host={host}" / "day=2026-01-31" / "run=1")
    path.write_text(replay.format(tmp_path / "fleet", ""))
    status, _, err = run("workload", "plan", path)
    assert (status, err.count("\n")) == (2, 1)
    assert "it has 2 runs, each with a clock of its own" in err


@pytest.mark.parametrize("command", ["plan", "show"])
def test_what_is_no_workload_is_one_line_and_status_2(run, command):
    status, out, err = run("workload", command, "wep")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "did you mean 'web'" in err
