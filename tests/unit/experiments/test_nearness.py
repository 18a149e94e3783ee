"""Runs beside their simulated twins: what must come out can be worked out on paper."""

import csv
import io
import json
from dataclasses import replace

import pytest

pytest.importorskip("numba", reason="numba is not installed (pip install 'schedtel[sim]')")

from simulated import FREE

from schedtel.errors import RecordingError, UsageError
from schedtel.experiments.design import cells
from schedtel.experiments.nearness import nearness_of
from schedtel.experiments.nearness_report import csv_of, json_of, text_of
from schedtel.experiments.packed import pack
from schedtel.experiments.simulated import Twins
from schedtel.experiments.spec import spec_of
from schedtel.experiments.store import Run, Store, read_store
from schedtel.simulator.machine import Machine
from schedtel.workloads.plan import make_plan
from schedtel.workloads.spec import load_workload

MS = 1_000_000
#: a arrives at 0 and b at 5 ms, once each in 50 ms; each is 10 ms of work.
TEXT = """
duration = "50ms"
[classes.a]
arrival = { kind = "periodic", period = "1s" }
service = "10ms"
workers = 1
[classes.b]
arrival = { kind = "periodic", period = "1s", offset = "5ms" }
service = "10ms"
workers = 1
"""
#: One CPU, first come first served: a ends at 10 ms, b waits for 5 and ends at 20.
ON_PAPER = {"tat_mean_ns": 12.5 * MS, "rt_mean_ns": 2.5 * MS, "wait_mean_ns": 2.5 * MS}
MACHINE = Machine(**FREE)


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(TEXT)
    arms = ["scx:fifo", "scx:simple", "policy:a:nice=5"]
    return spec_of({"workloads": [str(path)], "schedulers": arms, "repeats": 2, "settle": "0s"}, "made up")


def run_of(cell, figures, **facts):
    plan = make_plan(load_workload(cell.workload).with_options(seed=cell.seed))
    return Run(cell, figures, {"cpus": 1, "kernel": "6.18", "plan_sha256": plan.sha256, "steal_share": 0.0} | facts)


def made(spec, root):
    """A store: in repeat 1 all was measured as on paper, in repeat 2 it took twice as long."""
    store = Store(root, spec)
    for cell in cells(spec):
        store.begin(cell)
        store.finish(run_of(cell, {name: value * cell.repeat for name, value in ON_PAPER.items()}))
    return root


def test_a_twin_has_the_figures_that_are_worked_out_on_paper(spec):
    cell = next(cell for cell in cells(spec) if cell.scheduler == "scx:fifo")
    figures = Twins(spec, MACHINE).figures(run_of(cell, {}))
    assert {name: figures[name] for name in ON_PAPER} == ON_PAPER


def test_errors_are_medians_over_pairs(spec, tmp_path):
    """The ratios are 1 and a half: their median is 0.75. scx:simple is a program of others, and left out."""
    found = nearness_of(made(spec, tmp_path / "runs"), MACHINE)
    rows = {(row.scheduler, row.figure): row for row in found.rows}
    for name, value in ON_PAPER.items():
        row = rows["scx:fifo", name]
        assert (row.pairs, row.measured, row.simulated) == (2, pytest.approx(1.5 * value), pytest.approx(value))
        assert row.error == pytest.approx(-0.25)
    assert {row.scheduler for row in found.rows} == {"scx:fifo", "policy:a:nice=5"}
    assert list(found.left_out.values()) == [2]
    assert found.median_errors(held_out=False) == {}
    assert found.conditions == {"steal_share": 0.0}
    assert "scx:simple" in text_of(found)
    assert "-25%" in text_of(found)
    assert {line["held_out"] for line in csv.DictReader(io.StringIO(csv_of(found)))} == {"True"}
    assert json.loads(json_of(found))["median_errors"]["calibrated"] == {}


def test_a_workload_to_calibrate_on_is_told_apart(spec, tmp_path):
    root, name = made(spec, tmp_path / "runs"), spec.workloads[0]
    found = nearness_of(root, MACHINE, [name])
    assert found.median_errors(held_out=True) == {}
    assert found.median_errors(held_out=False)["tat_mean_ns"][1] == 2
    with pytest.raises(UsageError, match="no such workload"):
        nearness_of(root, MACHINE, ["web"])


def test_a_file_of_packed_runs_gives_the_same(spec, tmp_path):
    root, path = made(spec, tmp_path / "runs"), tmp_path / "runs.parquet"
    path.write_bytes(pack(*read_store(root)))
    assert nearness_of(path, MACHINE).rows == nearness_of(root, MACHINE).rows


@pytest.mark.parametrize("facts", [{"plan_sha256": "0" * 64}, {"cpus": 5000}])
def test_what_is_no_twin_is_left_out(spec, facts):
    with pytest.raises(UsageError):
        Twins(spec, MACHINE).figures(run_of(cells(spec)[0], {}, **facts))


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 1 << 70}, {"workload": "web"}, {"scheduler": "scx:fifo:"}])
def test_a_run_that_is_none_of_its_experiment_is_left_out(spec, wrong):
    run = run_of(cells(spec)[0], {})
    with pytest.raises(UsageError):
        Twins(spec, MACHINE).figures(replace(run, cell=replace(run.cell, **wrong)))


def test_what_holds_no_experiment_is_refused(tmp_path):
    with pytest.raises(RecordingError):
        nearness_of(tmp_path, MACHINE)
    (tmp_path / "experiment.json").write_text('{"spec": {"workloads": 5}}')
    with pytest.raises(RecordingError, match="it says of no experiment"):
        nearness_of(tmp_path, MACHINE)
