"""The experiments that are committed: their specifications can be used, and their figures are of them."""

import csv
import json
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq
import pytest

from schedtel.experiments.design import cells
from schedtel.experiments.packed import unpack
from schedtel.experiments.spec import PLACEBO, read_spec
from schedtel.schedulers.names import parse_arm
from schedtel.simulator.machine_file import read_machine
from schedtel.workloads.spec import load_workload

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "datasets"
WORKLOADS = ("stress.toml", "editor-build.toml")
SPECS = sorted(path for path in FOLDER.glob("*.toml") if path.name not in WORKLOADS)
#: The columns of the simulator's errors.
COMPARED = ("tat_mean_ns", "tat_p99_ns", "rt_mean_ns", "rt_p99_ns", "wait_mean_ns", "wait_p50_ns", "wait_p95_ns")
COMPARED += ("wait_p99_ns", "share_cv", "share_jain")
PACKED = sorted(FOLDER.glob("*.parquet"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_specification_can_be_used(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    spec = read_spec(path)
    assert PLACEBO in spec.schedulers
    classes = {c.name for name in spec.workloads for c in load_workload(name).classes}
    assert {member for members in spec.classes.values() for member in members} <= classes
    rules = [rule for arm in spec.schedulers if arm != PLACEBO for rule in parse_arm(arm).rules]
    named = {rule.selector.name for rule in rules if rule.selector is not None}
    assert named <= classes | set(spec.classes)
    assert cells(spec)


def test_a_heat_map_has_ten_workloads_and_eight_arms():
    for name in ("heatmap-live", "heatmap-lab"):
        spec = read_spec(FOLDER / f"{name}.toml")
        assert len(spec.workloads) >= 10
        assert len(spec.schedulers) >= 8
        assert spec.repeats >= 5


def test_the_card_tells_of_each():
    card = (FOLDER / "README.md").read_text()
    assert [path.name for path in SPECS if f"`{path.stem}`" not in card] == []


@pytest.mark.parametrize("path", PACKED, ids=lambda path: path.stem)
def test_figures_are_of_the_specification_beside_them(path):
    asked, runs = unpack(path)
    spec = read_spec(path.with_suffix(".toml"))
    made = [run.cell for run in runs]
    assert sorted(made, key=repr) == sorted(cells(spec), key=repr)
    assert (asked["title"], tuple(asked["schedulers"])) == (spec.title, spec.schedulers)
    assert path.with_suffix(".html").exists()
    assert json.loads(pq.read_schema(path).metadata[b"schedtel.experiment"]) == asked


def test_with_one_seed_the_labs_runs_have_the_same_figures():
    """What `same_seed` promises, on two CPUs and beside other work."""
    _, runs = unpack(FOLDER / "variability-lab-one-seed.parquet")
    assert len(runs) == 20
    assert len({json.dumps([run.figures, run.classes, run.cpus], sort_keys=True) for run in runs}) == 1


@pytest.mark.parametrize("path", sorted(FOLDER.glob("simulator/*.csv")), ids=lambda path: path.stem)
def test_the_page_of_the_simulator_has_the_medians_of_its_errors(path):
    """Of what was held out, without signs, in the order of the columns; where there are none, the cell is empty."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["held_out"] == "True"]
    errors = [[abs(float(row["error"])) for row in rows if row["figure"] == figure] for figure in COMPARED]
    cells = [f"{median(each):.0%}".replace("%", " %") if each else "" for each in errors]
    line = f"| `{path.stem}` | {len(errors[0])} | {' | '.join(cells)} |"
    assert line in (ROOT / "docs" / "simulator.md").read_text().splitlines()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("simulator/machine-*.toml")), ids=lambda path: path.stem)
def test_a_file_of_a_machine_can_be_used(path):
    assert read_machine(path)


def test_all_of_it_is_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 6 << 20
