"""Policy arms of cgroups on the running kernel: their files, and the threads in them."""

import os
from pathlib import Path

import pytest
from scheduled import BATCH, OTHER, policy_of
from surroundings import made_cgroup

from schedtel.host.cgroups import cpu_hierarchy
from schedtel.schedulers.switching import Schedulers


@pytest.fixture
def cgroup():
    """A cgroup of the test with the cpu controller, in whichever version has it."""
    root = Path(cpu_hierarchy() or "/none")
    with made_cgroup(root / f"schedtel-arm-{os.getpid()}.service") as path:
        if not (path / "cpu.shares").exists() and not (path / "cpu.weight").exists():
            pytest.skip("needs a cgroup with the cpu controller enabled")
        yield path


def knobs_of(cgroup):
    names = ("cpu.shares", "cpu.weight", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.max", "cpu.idle")
    return {name: (cgroup / name).read_text().strip() for name in names if (cgroup / name).exists()}


@pytest.mark.parametrize("by", ["cgroup", "unit"])
@pytest.mark.parametrize("old_weight", ["default", "own"])
def test_the_knobs_of_a_cgroup_are_set_and_put_back(cgroup, journals, by, old_weight):
    is_v1 = (cgroup / "cpu.shares").exists()
    if old_weight == "own":
        (cgroup / ("cpu.shares" if is_v1 else "cpu.weight")).write_text("300")
    before = knobs_of(cgroup)
    scope = f"cgroup=/{cgroup.name}" if by == "cgroup" else f"unit={cgroup.stem}"
    with Schedulers(scope, journals=journals) as schedulers:
        schedulers.switch("policy:weight=10")
        assert knobs_of(cgroup) == before | ({"cpu.shares": "102"} if is_v1 else {"cpu.weight": "10"})
        schedulers.switch("policy:max=20ms/50ms")
        limited = {"cpu.cfs_quota_us": "20000", "cpu.cfs_period_us": "50000"} if is_v1 else {"cpu.max": "20000 50000"}
        assert knobs_of(cgroup) == before | limited
        schedulers.switch("policy:group-idle")
        assert knobs_of(cgroup)["cpu.idle"] == "1"
    assert knobs_of(cgroup) == before


def test_the_threads_of_a_cgroup_are_selected(cgroup, sleeper, journals):
    (cgroup / "cgroup.procs").write_text(str(sleeper))
    try:
        with Schedulers(journals=journals) as schedulers:
            assert schedulers.switch(f"policy:cgroup={cgroup}:batch+unit={cgroup.stem}:nice=1") == 1
            assert policy_of(sleeper) == BATCH
        assert policy_of(sleeper) == OTHER
    finally:
        (cgroup.parent / "cgroup.procs").write_text(str(sleeper))
