"""What runs show, on runs that were made up: the figures that must come out can be seen from them."""

import csv
import io
import json
import re
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from schedtel.errors import RecordingError, UsageError
from schedtel.experiments.design import Cell
from schedtel.experiments.findings import COST, findings_of
from schedtel.experiments.page import render
from schedtel.experiments.spec import spec_of
from schedtel.experiments.store import Run, Store, read_store
from schedtel.experiments.tables import csv_of, table_of, text_of

SPEC = spec_of({"title": "made up", "workloads": ["w"], "schedulers": ["eevdf", "policy:batch", "placebo"]}, "it")
BASE = {"tat_mean_ns": 1e6, "rt_mean_ns": 1e5, "share_cv": 0.5, "jobs_completed": 100.0}
#: Drift of the machine from repeat to repeat, which pairs remove.
DRIFT = (1.0, 3.0, 0.5, 2.0, 1.5)
#: What chance adds.
CHANCE = (1.01, 0.99, 1.02, 0.985, 1.0)


def run_of(scheduler, repeat, factor, **provenance):
    scale = factor * DRIFT[repeat - 1]
    figures = {name: value * (scale if name.endswith("_ns") else 1) for name, value in BASE.items()}
    said = {"late": "", "foreign_cpu_share": 0.01, **provenance}
    return Run(Cell("w", scheduler, repeat, repeat), figures, said)


def made_up(**provenance):
    runs = []
    for repeat, chance in enumerate(CHANCE, 1):
        runs += [
            run_of("eevdf", repeat, 1.0, **provenance),
            run_of("policy:batch", repeat, 0.5 * chance),
            run_of("placebo", repeat, chance),
        ]
    return runs


def test_a_cost_is_the_sum_of_three_ratios_and_that_of_the_baseline_is_3():
    found = findings_of("x", made_up(), SPEC.schedulers)
    assert found.variability["w", "eevdf", COST].mean == pytest.approx(3)
    assert found.variability["w", "eevdf", COST].std == pytest.approx(0)
    assert found.variability["w", "policy:batch", COST].mean == pytest.approx(0.5 + 0.5 + 1, rel=0.02)
    assert found.difference("w", "policy:batch", COST).ratio == pytest.approx(2 / 3, rel=0.02)


def test_drift_that_both_have_is_no_difference_and_the_placebo_does_not_win():
    found = findings_of("x", made_up(), SPEC.schedulers)
    placebo, batch = (found.difference("w", arm, "tat_mean_ns") for arm in ("placebo", "policy:batch"))
    assert not placebo.shown
    assert placebo.high < 1.1
    assert batch.shown
    assert {winner.objective: winner.scheduler for winner in found.winners} == {
        "cost L": "policy:batch",
        "mean TAT": "policy:batch",
        "p99 response": "eevdf",
        "fairness": "eevdf",
        "throughput": "eevdf",
    }
    assert found.variability["w", "eevdf", "tat_mean_ns"].cv_percent > 50


def test_notes_tell_of_what_disturbed_the_runs():
    notes = findings_of("x", made_up(late="late: …", foreign_cpu_share=0.2), SPEC.schedulers).notes
    assert notes == [
        "in 5 of 15 runs the generator could not keep its plan",
        "in 5 of 15 runs others took more than 5% of the CPUs",
    ]
    without = [run for run in made_up() if run.cell.scheduler != "placebo"]
    assert findings_of("x", without, SPEC.schedulers).notes == [
        'no placebo arm was run (add "placebo" to the schedulers)'
    ]


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "runs", SPEC)
    for run in made_up():
        made.begin(run.cell)
        made.finish(run)
    return made


def test_what_was_stored_is_read_back_and_a_run_without_its_file_is_made_again(store):
    spec, runs = read_store(store.root)
    assert spec["title"] == "made up"
    assert sorted(runs, key=repr) == sorted(made_up(), key=repr)
    cell = runs[0].cell
    (store.root / "runs" / cell.key / "run.json").unlink()
    assert not store.has(cell)
    assert len(read_store(store.root)[1]) == 14
    assert store.begin(cell).parent.exists()


def test_files_are_private(store):
    assert {path.stat().st_mode & 0o077 for path in store.root.rglob("*")} == {0}


def test_a_directory_of_another_experiment_or_of_something_else_is_refused(store, tmp_path):
    other = spec_of({"workloads": ["other"], "schedulers": ["eevdf"]}, "it")
    with pytest.raises(UsageError, match="it holds another experiment"):
        Store(store.root, other)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(UsageError, match="not empty, and no experiment"):
        Store(tmp_path / "full", SPEC)
    assert (tmp_path / "full" / "file").read_text() == "mine"
    with pytest.raises(RecordingError, match="no experiment in it"):
        read_store(tmp_path / "full")


DAMAGE = {
    "no JSON": "{",
    "a list": "[]",
    "no cell": json.dumps({"figures": {}, "provenance": {}, "classes": {}}),
    "another field": json.dumps({"cell": {"workload": "w", "x": 1}, "figures": {}, "provenance": {}, "classes": {}}),
    "a text as a figure": '{"cell": {"workload": "w", "scheduler": "s", "repeat": 1, "seed": 1}, "figures": {"a": "b"},'
    ' "provenance": {}, "classes": {}}',
    "infinity": '{"cell": {"workload": "w", "scheduler": "s", "repeat": 1, "seed": 1}, "figures": {"a": Infinity},'
    ' "provenance": {}, "classes": {}}',
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("text", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_run_is_told_by_its_path(store, text):
    path = next(store.root.glob("runs/*/run.json"))
    path.write_text(text)
    with pytest.raises(RecordingError, match=re.escape(str(path))):
        read_store(store.root)


def test_text_csv_parquet_and_page_say_the_same(store, tmp_path):
    def report(*words):
        command = [sys.executable, "-m", "schedtel.cli", "experiment", "report", str(store.root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    found = findings_of("made up", read_store(store.root)[1], SPEC.schedulers)
    ratio = f"{found.difference('w', 'policy:batch', COST).ratio:.3g}"
    for name in ("page.html", "table.csv", "table.parquet"):
        assert report("-o", str(tmp_path / name)) == ""
    shown = report()
    assert shown == text_of(found)
    assert f"{ratio} [" in shown
    assert f">{ratio} *" in (tmp_path / "page.html").read_text()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    table = pq.read_table(tmp_path / "table.parquet")
    assert table.equals(table_of(found))
    assert len(rows) == table.num_rows
    (row,) = [r for r in rows if (r["scheduler"], r["figure"]) == ("policy:batch", COST)]
    assert f"{float(row['ratio']):.3g}" == ratio
    assert csv_of(found) == (tmp_path / "table.csv").read_bytes().decode()


def test_names_cannot_write_markup_or_act_on_a_terminal():
    evil = '<script>alert("1")</script>\x1b[2J'
    runs = [Run(Cell(evil, s, r, r), {"tat_mean_ns": 1.0}, {}) for s in ("eevdf", evil) for r in (1, 2, 3)]
    found = findings_of(evil, runs, ["eevdf", evil])
    assert "<script" not in render(found)
    assert "\x1b" not in render(found) + text_of(found)
