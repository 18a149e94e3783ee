"""The experiments that are committed: their specifications can be used, and their figures are of them."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from schedtel.experiments.design import cells
from schedtel.experiments.packed import unpack
from schedtel.experiments.spec import PLACEBO, read_spec
from schedtel.schedulers.names import parse_arm
from schedtel.workloads.spec import load_workload

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "datasets"
WORKLOADS = ("stress.toml", "editor-build.toml")
SPECS = sorted(path for path in FOLDER.glob("*.toml") if path.name not in WORKLOADS)
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


def test_all_of_it_is_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 6 << 20
