"""What runs show, on runs that were made up: the figures that must come out can be seen from them."""

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schedtel.errors import RecordingError, UsageError
from schedtel.experiments.design import Cell
from schedtel.experiments.findings import COST, findings_of
from schedtel.experiments.packed import pack, unpack
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
    cpus = {str(cpu): {"core_busy_share": 0.5 + cpu * repeat / 1e3, "core_switches_per_s": 100.0} for cpu in (0, 10)}
    return Run(Cell("w", scheduler, repeat, repeat), figures, said, {"hog.x": {"tat_mean_ns": 5.0}}, cpus)


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


def test_a_placebo_that_does_something_is_one_note():
    """Three times what the baseline took, each time."""
    runs = [
        run_of(arm, r, 3.0 * CHANCE[r - 1] if arm == "placebo" else 1.0) for r in range(1, 6) for arm in SPEC.schedulers
    ]
    where = "3 of 5 comparisons (cost of w, tat_mean_ns of w, rt_mean_ns of w)"
    said = f"the placebo differs from the baseline in {where}: intervals may be too narrow here"
    assert findings_of("x", runs, SPEC.schedulers).notes == [said]


def test_a_placebo_of_which_nothing_but_the_cost_differs_is_told_that_scatter_does_so():
    """In each repeat, one of the three figures is 3 times the baseline's and two are a third: (3 + 1/3 + 1/3) / 3."""
    runs, parts = [], ("tat_mean_ns", "rt_mean_ns", "share_cv")
    for repeat in range(1, 6):
        runs += [run_of(arm, repeat, 1.0) for arm in SPEC.schedulers if arm != "placebo"]
        same = run_of("placebo", repeat, 1.0)
        factors = {name: 3 if parts.index(name) == repeat % 3 else 1 / 3 for name in parts}
        runs.append(replace(same, figures=same.figures | {name: same.figures[name] * factors[name] for name in parts}))
    found = findings_of("x", runs, SPEC.schedulers)
    ratio = next(c.difference.ratio for c in found.comparisons if (c.scheduler, c.figure) == ("placebo", "cost"))
    assert ratio == pytest.approx(11 / 9)
    where = "1 of 5 comparisons (cost of w)"
    assert found.notes == [f"the placebo differs from the baseline in {where}: scatter alone raises a cost"]


def test_more_throughput_has_the_colour_of_what_is_better():
    """Half the turnaround time and twice the jobs are blue; the placebo is the other way round, and red."""
    runs = []
    for repeat in range(1, 6):
        for arm, factor in (("eevdf", 1.0), ("policy:batch", 0.5), ("placebo", 2.0)):
            run = run_of(arm, repeat, factor)
            runs.append(replace(run, figures={**run.figures, "jobs_completed": 100 / factor}))
    page = render(findings_of("x", runs, SPEC.schedulers))
    throughput = page.partition("<h2>jobs_completed")[2].partition("</table>")[0]
    assert re.findall(r"hsl\((\d+) [^>]*>([\d.]+)", throughput) == [("212", "2"), ("12", "0.5")]
    cost = page.partition("<h2>cost")[2].partition("</table>")[0]
    assert [hue for hue, _ in re.findall(r"hsl\((\d+) [^>]*>([\d.]+)", cost)] == ["212", "12"]


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
    "no cell": json.dumps({"figures": {}, "provenance": {}, "classes": {}, "cpus": {}}),
    "another field": json.dumps(
        {"cell": {"workload": "w", "x": 1}, "figures": {}, "provenance": {}, "classes": {}, "cpus": {}}
    ),
    "a text as a figure": '{"cell": {"workload": "w", "scheduler": "s", "repeat": 1, "seed": 1}, "figures": {"a": "b"},'
    ' "provenance": {}, "classes": {}, "cpus": {}}',
    "infinity": '{"cell": {"workload": "w", "scheduler": "s", "repeat": 1, "seed": 1}, "figures": {"a": Infinity},'
    ' "provenance": {}, "classes": {}, "cpus": {}}',
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


def test_the_variability_of_each_cpu_is_in_all_reports(store):
    """Over repeats 1 to 5, CPU 10 is busy for 0.51 to 0.55 of the time: the standard deviation is 0.01 x sqrt(2.5)."""
    found = findings_of("made up", read_store(store.root)[1], SPEC.schedulers)
    rows = [row for row in table_of(found).to_pylist() if row["cpu"] is not None]
    assert len(rows) == 3 * 2 * 2, "arms, CPUs, figures"
    [row] = [r for r in rows if (r["scheduler"], r["cpu"], r["figure"]) == ("placebo", 10, "core_busy_share")]
    assert (row["runs"], row["mean"]) == (5, pytest.approx(0.53))
    assert row["std"] == pytest.approx(0.01 * 2.5**0.5)
    assert row["cv_percent"] == pytest.approx(100 * row["std"] / row["mean"])
    assert "core_busy_share" not in text_of(found)
    lines = [line.split() for line in text_of(found, cores=True).splitlines()]
    assert ["core_switches_per_s", "w", "eevdf", "10", "5", "100", "0", "0.0"] in lines
    assert "<summary><h2>Variability of each CPU</h2></summary>" in render(found)


# ---- packed ----


def packed(store, path):
    path.write_bytes(pack(*read_store(store.root)))
    return path


def test_a_packed_experiment_makes_the_same_reports_without_the_runs(store, tmp_path):
    path = tmp_path / "runs.parquet"

    def experiment(*words):
        command = [sys.executable, "-m", "schedtel.cli", "experiment", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert experiment("pack", store.root, "-o", path) == ""
    shown = experiment("report", path, "--cores")
    spec, runs = unpack(path)
    assert shown == text_of(findings_of(spec["title"], runs, spec["schedulers"]), cores=True)
    assert (spec, runs) == read_store(store.root)
    table = pq.read_table(path)
    assert table.num_rows == 15
    assert table["figures.tat_mean_ns"].to_pylist() == [run.figures["tat_mean_ns"] for run in runs]
    assert table["classes.hog.x.tat_mean_ns"].to_pylist() == [5.0] * 15
    assert table["provenance.foreign_cpu_share"].to_pylist() == [0.01] * 15
    assert path.stat().st_mode & 0o077 == 0


def _no_parquet(path):
    path.write_bytes(b"PAR1" * 100)


def _another_table(path):
    pq.write_table(pa.table({"x": [1]}), path)


def _truncated(path):
    path.write_bytes(path.read_bytes()[:-50])


def _with(column):
    """Damage that replaces or adds a column."""

    def damage(path):
        table = pq.read_table(path)
        rows = table.num_rows
        for name, value in column.items():
            if name in table.schema.names:
                table = table.drop_columns([name])
            table = table.append_column(name, pa.array([value] * rows))
        pq.write_table(table, path)

    return damage


def _spec_is(text):
    def damage(path):
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({b"schedtel.experiment": text}), path)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        _no_parquet,
        _another_table,
        _truncated,
        _with({"repeat": "one"}),
        _with({"figures.tat_mean_ns": float("inf")}),
        _with({"figures.tat_mean_ns": "many"}),
        _with({"figures.x": {"nested": 1}}),
        _with({"cpus.first.core_busy_share": 1.0}),
        _with({"unknown.x": 1.0}),
        _with({"provenance.late": "x" * 5000}),
        _spec_is(b"["),
        _spec_is(b"[" * 100_000),
        _spec_is(b"7"),
    ],
)
def test_a_file_that_holds_no_experiment_is_told_by_its_path(store, tmp_path, damage):
    path = packed(store, tmp_path / "runs.parquet")
    damage(path)
    with pytest.raises(RecordingError, match=re.escape(f"cannot read {path}: it holds no experiment (")):
        unpack(path)


def test_a_file_that_claims_to_be_too_large_is_not_read(tmp_path):
    """A constant of 200,000 rows is a few hundred bytes of Parquet."""
    path = tmp_path / "large.parquet"
    pq.write_table(pa.table({"workload": ["w"] * 200_000}), path)
    assert path.stat().st_size < 100_000
    with pytest.raises(RecordingError, match="it holds no experiment"):
        unpack(path)


def test_names_cannot_write_markup_or_act_on_a_terminal():
    evil = '<script>alert("1")</script>\x1b[2J'
    runs = [Run(Cell(evil, s, r, r), {"tat_mean_ns": 1.0}, {}) for s in ("eevdf", evil) for r in (1, 2, 3)]
    found = findings_of(evil, runs, ["eevdf", evil])
    assert "<script" not in render(found)
    assert "\x1b" not in render(found) + text_of(found)
