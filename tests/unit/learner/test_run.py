"""Runs: checkpoints that are damaged, foreign or killed in the making, going on, and the command `train`."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from waiting import eventually

pytest.importorskip("torch", reason="torch is not installed (pip install 'schedtel[learn]')")

from schedtel.errors import SchedtelError
from schedtel.training.learner import checkpoint
from schedtel.training.learner.run import Run
from schedtel.training.learner.settings import Settings

COUNT = 16
CHUNK = 16 * COUNT
SMALL = Settings("MigrateSim", steps=4 * CHUNK, count=COUNT, hidden=8)


def finished(directory, settings=SMALL):
    run = Run(settings, directory)
    for _ in run:
        pass
    return run


def test_a_run_goes_on_where_it_was_and_counts_each_step_once(tmp_path):
    first = Run(SMALL, tmp_path)
    for counters in first:
        if counters.steps == 2 * CHUNK:
            first.stop()
    assert checkpoint.load(tmp_path).counters.steps == 2 * CHUNK
    second = finished(tmp_path)
    assert (second.counters.steps, second.counters.begun) == (4 * CHUNK, 2)
    assert [row["steps"] for row in second.rows] == [CHUNK, 2 * CHUNK, 3 * CHUNK, 4 * CHUNK]
    longer = finished(tmp_path, replace(SMALL, steps=5 * CHUNK))
    assert longer.counters.steps == 5 * CHUNK
    assert pq.read_table(tmp_path / "metrics.parquet")["steps"].to_pylist() == [CHUNK * n for n in range(1, 6)]


def test_rows_after_the_checkpoint_do_not_count(tmp_path):
    finished(tmp_path)
    before = (tmp_path / checkpoint.NAME).read_bytes()
    finished(tmp_path, replace(SMALL, steps=6 * CHUNK))
    (tmp_path / checkpoint.NAME).write_bytes(before)  # as if it had been killed after the rows were written
    assert [row["steps"] for row in finished(tmp_path, replace(SMALL, steps=5 * CHUNK)).rows] == [
        CHUNK * n for n in range(1, 6)
    ]


def test_what_was_learned_is_what_is_saved(tmp_path):
    run = finished(tmp_path)
    found = checkpoint.load(tmp_path)
    other = Run(SMALL, tmp_path / "other")
    other.algorithm.fill(found.arrays)
    assert {n: v.tobytes() for n, v in other.algorithm.arrays().items()} == {
        n: v.tobytes() for n, v in run.algorithm.arrays().items()
    }
    assert oct((tmp_path / checkpoint.NAME).stat().st_mode)[-3:] == "600"


def _flipped(content):
    return content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]


@pytest.mark.parametrize(
    "damage",
    [
        _flipped,
        lambda content: content[:-10],
        lambda content: b"\xff" * 8 + content[8:],
        lambda _: b"\x80\x04.",
        lambda _: b"",
        lambda content: content.replace(b'\\"count\\": 16', b'\\"count\\": 17'),
        lambda content: content.replace(b'\\"format\\": 1', b'\\"format\\": 2'),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_nothing_is_written(tmp_path, damage):
    finished(tmp_path)
    path = tmp_path / checkpoint.NAME
    content = damage(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(SchedtelError, match=r"cannot (read|use) .*checkpoint"):
        finished(tmp_path)
    assert path.read_bytes() == content


def test_a_run_of_other_settings_is_refused(tmp_path):
    finished(tmp_path)
    with pytest.raises(SchedtelError, match="holds a run of other settings"):
        finished(tmp_path, replace(SMALL, seed=1))


def test_a_directory_of_something_else_is_refused(run, tmp_path):
    (tmp_path / "letter").write_text("dear")
    status, _, err = run("train", "MigrateSim", "-o", tmp_path, "--steps", "1", "-q")
    assert (status, err.count("\n")) == (2, 1)
    assert "it holds something else" in err


def train(directory, steps, *more):
    words = ("-m", "schedtel.cli", "train", "MigrateSim", "-o", directory, "--steps", steps, "--environments", COUNT)
    return subprocess.Popen(
        [sys.executable, *map(str, words), *more, "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_run_that_is_killed_goes_on_from_its_checkpoint(tmp_path):
    process = train(tmp_path, 10**9, "--checkpoint", "100ms")
    try:
        eventually((tmp_path / checkpoint.NAME).exists, 200)
        with pytest.raises(SchedtelError, match="another process does"):
            finished(tmp_path)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    counted = checkpoint.load(tmp_path).counters.steps
    again = train(tmp_path, counted + 3 * CHUNK)
    assert again.wait(200) == 0, again.communicate()
    assert str(counted + 3 * CHUNK) in again.communicate()[0].replace(",", "")
    found = checkpoint.load(tmp_path)
    assert (found.counters.steps, found.counters.begun) == (counted + 3 * CHUNK, 2)
    steps = pq.read_table(tmp_path / "metrics.parquet")["steps"].to_pylist()
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("words", [("MigrateSim", "-o"), ("judge",), ("export", "-o", "/no/such")])
def test_without_torch_it_is_one_line(tmp_path, words):
    finished(tmp_path)
    code = "import sys; sys.modules['torch'] = None; from schedtel.cli import main; main()"
    call = [sys.executable, "-c", code, "train", *words, str(tmp_path)]
    found = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1)
    assert "pip install 'schedtel[learn]'" in found.stderr


def test_what_is_done_is_told_and_judged(run, tmp_path):
    finished(tmp_path)
    status, out, err = run("train", "report", tmp_path)
    assert (status, err) == (0, "")
    assert f"{4 * CHUNK:,} of {4 * CHUNK:,} steps" in out
    told = json.loads(run("train", "report", tmp_path, "--format", "json")[1])
    assert told["counters"]["steps"] == told["rows"][-1]["steps"] == 4 * CHUNK
    status, out, err = run("train", "judge", tmp_path, tmp_path, "--episodes", "4", "--format", "json")
    assert (status, err) == (0, "")
    costs = json.loads(out)["costs"]
    assert costs["mixed"]["learned"][0] == costs["mixed"]["learned"][1]
    status, out, err = run("train", "judge", tmp_path, "--episodes", "4")
    assert (status, err) == (0, "")
    assert "steal only small" in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("train", "MigrateSin", "-o", "x"), "MigrateSin"),
        (("train", "MigrateSim"), "output"),
        (("train", "MigrateSim", "-o", "x", "--algo", "sarsa"), "algo"),
        (("train", "MigrateSim", "-o", "x", "--steps", "0"), "steps"),
        (("train", "report", "/no/such"), "No such file"),
        (("train", "judge", "/no/such"), "No such file"),
    ],
)
def test_bad_input_is_one_line(run, words, why):
    status, out, err = run(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert why in err
